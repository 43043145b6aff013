"""Everything mode: time on 1024 x 1024 pixels, and memory on a large image made while it is read.

python benchmarks/everything.py --json everything.json  # 1024 x 1024, a grid of 16 x 16
python benchmarks/everything.py --side 20000 --filled 0.02 --interrupt --json large.json

Where all of a large image is full of objects, it takes hours on two cores. Of a sparse one, as a
slide with little tissue is, empty parts are only read.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

from napari_inter2former.everything import EverythingSettings, stream_everything
from napari_inter2former.weights import load_model

STEP = 64
"""Distance of the discs in pixels."""
FIELD = 512
"""Side of the fields that are full or empty."""


class Discs:
    """A uint16 image of discs, 64 pixels apart, whose pixels are computed when they are read.

    Parameters
    ----------
    side : int
        Length in pixels.
    filled : float
        Share of the fields of 512 x 512 pixels with discs and noise; the others are even.
    """

    dtype = np.dtype(np.uint16)
    ndim = 2

    def __init__(self, side: int, filled: float = 1.0) -> None:
        self.shape = (side, side)
        fields = -(-side // FIELD)
        self.fields = np.random.default_rng(0).random((fields, fields)) < filled

    def __getitem__(self, key: tuple[slice, slice]) -> np.ndarray:
        rows, columns = (np.arange(*part.indices(self.shape[0])) for part in key)
        r, c = rows[:, None], columns[None]
        radius = 14 + (r // STEP * 7 + c // STEP * 13) % 12
        inside = (r % STEP - 32) ** 2 + (c % STEP - 32) ** 2 <= radius**2
        noise = (r * 7919 + c * 104729) % 61
        pixels = 300 + noise + 700 * inside
        return np.where(self.fields[r // FIELD, c // FIELD], pixels, 300).astype(np.uint16)

    @property
    def objects(self) -> int:
        """Number of discs that lie in the image as a whole."""
        places = np.arange(STEP // 2, self.shape[0] - STEP // 2 + 1, STEP) // FIELD
        return int(self.fields[np.ix_(places, places)].sum())


class InterruptedRun(Exception):
    """Ends a run half-way."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--filled", type=float, default=1.0, help="share of the image with objects")
    parser.add_argument("--spacing", type=int, default=64)
    parser.add_argument("--model", default="tiny")
    parser.add_argument(
        "--interrupt", action="store_true", help="also end a run half-way, go on, and compare"
    )
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    model = load_model(options.model)
    settings = EverythingSettings(spacing=options.spacing, zoom=1)
    image = Discs(options.side, options.filled)
    process, peak = psutil.Process(), 0
    digests: list[str] = []

    def progress(done: int, total: int) -> None:
        nonlocal peak
        peak = max(peak, process.memory_info().rss)
        if total:
            print(f"\r{done} of {total} blocks", end="", flush=True)

    def stop(done: int, total: int) -> None:
        progress(done, total)
        if total and done == total // 2:
            raise InterruptedRun

    def write(labels: object, _: object) -> None:
        digest = hashlib.blake2b()
        for start in range(0, options.side, 256):
            digest.update(labels[start : start + 256, :].tobytes())
            progress(0, 0)
        digests.append(digest.hexdigest())

    def run(folder: str, report: object) -> dict[str, np.ndarray]:
        work = Path(folder) / "work"
        return stream_everything(image, write, work, model, settings=settings, progress=report)

    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        table = run(folder, progress)
        seconds = time.perf_counter() - start
    figures = {
        "side": options.side,
        "filled": options.filled,
        "grid": (options.side // options.spacing) ** 2,
        "seconds": seconds,
        "peak_mb": peak / 2**20,
        "objects": len(table["label"]),
        "true_objects": image.objects,
    }
    if options.interrupt:
        with tempfile.TemporaryDirectory() as folder:
            try:
                run(folder, stop)
            except InterruptedRun:
                run(folder, progress)
        figures["identical_after_interruption"] = digests[0] == digests[1]
        figures["peak_mb"] = peak / 2**20
    print("\n" + json.dumps(figures, indent=2))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
