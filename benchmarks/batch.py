"""Batch: how much faster two Dask workers are than one, and whether the results are the same.

python benchmarks/batch.py --images 200 --json batch.json

Each worker computes with one thread. Starting the workers counts in.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile

from napari_inter2former.batch import Job, find_images, outputs_of, run_jobs
from napari_inter2former.everything import EverythingSettings


def make_images(folder: Path, count: int, side: int) -> None:
    """Write grey images of bright discs on a noisy ground."""
    folder.mkdir()
    rows, columns = np.ogrid[:side, :side]
    for number in range(count):
        random = np.random.default_rng(number)
        image = random.normal(300, 40, (side, side))
        for _ in range(12):
            row, column = random.uniform(0, side, 2)
            inside = (rows - row) ** 2 + (columns - column) ** 2 <= random.uniform(8, 16) ** 2
            image[inside] += random.uniform(400, 900)
        tifffile.imwrite(folder / f"{number:04}.tif", image.astype(np.uint16))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        make_images(base / "images", options.images, options.side)
        settings = EverythingSettings(zoom=1)
        seconds, pixels = {}, {}
        from distributed import Client, LocalCluster

        for workers in (1, 2):
            out = base / str(workers)
            jobs = [
                Job(kind="everything", settings=settings, **outputs_of(image, out))
                for image in find_images([base / "images"])
            ]
            start = time.perf_counter()
            with (
                LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    dashboard_address=None,
                    env={"OMP_NUM_THREADS": "1"},
                ) as cluster,
                Client(cluster) as client,
            ):
                outcomes = run_jobs(jobs, scheduler=client.scheduler.address)
            seconds[workers] = time.perf_counter() - start
            assert not any(outcome.error for outcome in outcomes), outcomes
            pixels[workers] = [tifffile.imread(job.labels) for job in jobs]
    figures = {
        "images": options.images,
        "seconds/1": seconds[1],
        "seconds/2": seconds[2],
        "speedup": seconds[1] / seconds[2],
        "identical": all(map(np.array_equal, pixels[1], pixels[2])),
    }
    print(json.dumps(figures, indent=2))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
