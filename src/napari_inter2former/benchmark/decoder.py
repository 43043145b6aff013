"""Times of a click: everything from prompts to a mask with its bounding box (Table 1)."""

from __future__ import annotations

import statistics
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from napari_inter2former.benchmark._result import Result
from napari_inter2former.benchmark._scene import Scene, image, model, scene, seen
from napari_inter2former.benchmark._suites import PRESETS, SIDES, chosen_presets, chosen_sides
from napari_inter2former.benchmark._timing import matmul_rate, medians
from napari_inter2former.predictor._drawing import measure, to_mask
from napari_inter2former.predictor._engine import Engine
from napari_inter2former.predictor._windows import Window
from napari_inter2former.prompts import Click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_inter2former.model import ImageFeatures, Inter2Former
    from napari_inter2former.predictor import Mask

__all__ = ["click", "plain", "plainly", "run"]

AREAS = (0.005, 0.02, 0.1, 0.25, 0.5)


def click(engine: Engine, features: ImageFeatures, known: Scene) -> Mask:
    """Take a click in: reference mask, decoding, its update, measurement, mask and box."""
    side = len(known.mask)
    window = Window(exponent=0, row=0, column=0, height=side, width=side)
    prompt = Click(*known.click)
    drawing = engine.step(features, known.reference.clone(), (prompt,), window)
    measure(drawing, window, (side, side), [known.click])
    return to_mask(drawing, window, (side, side), known.click)


def plain(features: ImageFeatures) -> ImageFeatures:
    """Return features with which a network decodes by its plain twin; within `plainly`."""
    return replace(features, decoder=None, first_layer=None)


@contextmanager
def plainly(network: Inter2Former) -> Iterator[None]:
    """Keep a network from packing its decoder."""
    packing = network._packing
    network._packing = _NoPacking()  # type: ignore[assignment]
    try:
        yield
    finally:
        network._packing = packing


class _NoPacking:
    def of(self, network: object) -> None:
        """Say that the compiled decoder can't be used."""


PARTS = ("embed", "attend", "refine", "locate", "upsample")
"""Methods of the compiled decoder, in their order: prompt embedding (DPE) and edge map, hybrid
attention (DHA), experts (HMoE), localisation, upsampling (DLU)."""


def parts(network: Inter2Former, call: Callable[[], object], times: int) -> dict[str, float]:
    """Return the median milliseconds of a click's parts; `rest` is all that lies between them."""
    decoder = network._packing.of(network)
    if decoder is None:
        return {}
    spent = dict.fromkeys(PARTS, 0.0)

    def timed(name: str) -> Callable[..., object]:
        method = getattr(decoder, name)

        def measured(*arguments: object) -> object:
            start = time.perf_counter()
            try:
                return method(*arguments)
            finally:
                spent[name] += time.perf_counter() - start

        return measured

    before = {name: vars(decoder).get(name) for name in PARTS}
    for name in PARTS:
        setattr(decoder, name, timed(name))
    rounds = []
    try:
        for _ in range(times):
            spent.update(dict.fromkeys(PARTS, 0.0))
            start = time.perf_counter()
            call()
            whole = time.perf_counter() - start
            rounds.append({**spent, "rest": whole - sum(spent.values())})
    finally:
        for name, method in before.items():
            if method is None:
                delattr(decoder, name)
            else:
                setattr(decoder, name, method)
    return {name: 1e3 * statistics.median(round_[name] for round_ in rounds) for name in rounds[0]}


def run(quick: bool) -> list[Result]:
    """Measure clicks over area ratios, at windows of 1024 and 2048 pixels."""
    results = []
    for preset in chosen_presets(("tiny",) if quick else PRESETS):
        for side in chosen_sides(SIDES[:1] if quick else SIDES):
            results += _clicks(preset, side, quick)
    return results


@torch.inference_mode()
def _clicks(preset: str, side: int, quick: bool) -> list[Result]:
    network = model(preset)
    features = network.encode(image(side))
    engine = Engine(network, 1 << 30)
    areas = (0.02, 0.5) if quick or side > SIDES[0] else AREAS
    cases = {f"click/area={area}": scene(side, area) for area in areas}
    cases["click/first"] = scene(side, 0.02, first=True)
    results = []
    for name, known in cases.items():

        def fast(known: Scene = known) -> object:
            return click(engine, features, known)

        def slow(known: Scene = known) -> object:
            with plainly(network):
                return click(engine, plain(features), known)

        calls: dict[str, Callable[[], object]] = {"fast": fast, "plain": slow}
        with seen(network, known.mask):
            little = quick or side > SIDES[0]
            ms = medians(calls, 0.3 if little else 2.0, 3 if little else 7)
            shares = parts(network, fast, 5 if little else 11)
        results.append(
            Result(
                suite="decoder",
                name=name,
                preset=preset,
                size=side,
                ms=ms["fast"],
                reference="plain PyTorch twin",
                reference_ms=ms["plain"],
                rate=matmul_rate(),
                figures={"parts": shares},
            )
        )
    return results
