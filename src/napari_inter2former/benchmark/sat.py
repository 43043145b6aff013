"""Segmenting everything (SAT: a grid of clicks), and seconds per click (SPC)."""

from __future__ import annotations

import statistics
import time

import torch

from napari_inter2former.benchmark._result import Result
from napari_inter2former.benchmark._scene import Scene, image, model, object_mask, scene, seen
from napari_inter2former.benchmark._suites import PRESETS, chosen_presets
from napari_inter2former.benchmark._timing import matmul_rate
from napari_inter2former.benchmark.decoder import click, plain, plainly
from napari_inter2former.model import reference_mask
from napari_inter2former.predictor._engine import Engine

__all__ = ["run"]

SIDE = 1024
GRID = 16
CLICKS = 20
AREA = 0.02


def run(quick: bool) -> list[Result]:
    """Measure SAT latency (encoding and 16 x 16 first clicks), 20-SPC and Online SPC."""
    results = []
    for preset in chosen_presets(("tiny",) if quick else PRESETS):
        results += _measure(preset, quick)
    return results


@torch.inference_mode()
def _measure(preset: str, quick: bool) -> list[Result]:
    network, picture = model(preset), image(SIDE)
    engine = Engine(network, 1 << 30)
    network.encode(picture)
    start = time.perf_counter()
    features = network.encode(picture)
    encode_ms = 1e3 * (time.perf_counter() - start)
    mask = object_mask(SIDE, AREA)
    new = reference_mask.new(SIDE, SIDE)
    places = [(2 * i + 1) * SIDE // (2 * GRID) for i in range(GRID)]
    grid = [Scene(mask, new, (row, column)) for row in places for column in places]
    chosen = grid[:: len(grid) // 8] if quick else grid
    # 20 clicks on one object: the first one, then corrections.
    session = [scene(SIDE, AREA, first=True)] + [scene(SIDE, AREA)] * (CLICKS - 1)
    with seen(network, mask):
        click(engine, features, session[0])
        first = [_milliseconds(engine, features, one) for one in chosen]
        online = [_milliseconds(engine, features, one) for one in session]
        twin = plain(features)
        with plainly(network):
            slow_first = [_milliseconds(engine, twin, one) for one in chosen[::8]]
            slow = [_milliseconds(engine, twin, one) for one in session[:: 4 if quick else 1]]
    spc, slow_spc = statistics.mean(online), statistics.mean(slow)
    figures = {
        "sat/16x16": (
            encode_ms + GRID**2 * statistics.mean(first),
            encode_ms + GRID**2 * statistics.mean(slow_first),
        ),
        "spc/online": (spc, slow_spc),
        "spc/20": (spc + encode_ms / CLICKS, slow_spc + encode_ms / CLICKS),
    }
    return [
        Result(
            suite="sat",
            name=name,
            preset=preset,
            size=SIDE,
            ms=ms,
            reference="plain PyTorch twin of the decoder",
            reference_ms=plain_ms,
            rate=matmul_rate(),
            figures={"measured_clicks": len(chosen)} if name.startswith("sat") else None,
        )
        for name, (ms, plain_ms) in figures.items()
    ]


def _milliseconds(engine: Engine, features: object, known: Scene) -> float:
    start = time.perf_counter()
    click(engine, features, known)  # type: ignore[arg-type]
    return 1e3 * (time.perf_counter() - start)
