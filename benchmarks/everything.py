"""Everything mode: time on 1024 x 1024 pixels, and memory on a large image made while it is read.

python benchmarks/everything.py --json everything.json               # 256 clicks, 1024 x 1024
python benchmarks/everything.py --side 20000 --json everything.json  # takes hours on two cores
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

from napari_inter2former.everything import EverythingSettings, stream_everything
from napari_inter2former.weights import load_model


class Discs:
    """A uint16 image of discs, 64 pixels apart, whose pixels are computed when they are read."""

    dtype = np.dtype(np.uint16)
    ndim = 2

    def __init__(self, side: int) -> None:
        self.shape = (side, side)

    def __getitem__(self, key: tuple[slice, slice]) -> np.ndarray:
        rows, columns = (np.arange(*part.indices(self.shape[0])) for part in key)
        r, c = rows[:, None], columns[None]
        radius = 14 + (r // 64 * 7 + c // 64 * 13) % 12
        inside = (r % 64 - 32) ** 2 + (c % 64 - 32) ** 2 <= radius**2
        noise = (r * 7919 + c * 104729) % 61
        return (300 + noise + 700 * inside).astype(np.uint16)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--spacing", type=int, default=64)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    model = load_model(options.model)
    settings = EverythingSettings(spacing=options.spacing, zoom=1)
    process, peak = psutil.Process(), 0

    def progress(done: int, total: int) -> None:
        nonlocal peak
        peak = max(peak, process.memory_info().rss)
        if total:
            print(f"\r{done} of {total} blocks", end="", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        table = stream_everything(
            Discs(options.side),
            lambda *_: progress(0, 0),
            Path(folder) / "work",
            model,
            settings=settings,
            progress=progress,
        )
        seconds = time.perf_counter() - start
    figures = {
        "side": options.side,
        "clicks": (options.side // options.spacing) ** 2,
        "seconds": seconds,
        "peak_mb": peak / 2**20,
        "objects": len(table["label"]),
        "true_objects": (options.side // 64) ** 2,
    }
    print("\n" + json.dumps(figures, indent=2))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
