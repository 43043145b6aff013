"""First use: importing the package, and from weights to the first click, in fresh processes."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

import torch

from napari_inter2former.benchmark._result import Result

__all__ = ["run"]

_IMPORT = """
import time
start = time.perf_counter()
import napari_inter2former
print(time.perf_counter() - start)
"""

# A fresh file of weights for each preset; the image is small, as encoding has its own figure.
_FIRST_CLICK = """
import json, sys, tempfile, time
from pathlib import Path
import numpy as np
import torch
torch.set_num_threads(int(sys.argv[2]))
from napari_inter2former.predictor import Predictor
from napari_inter2former.prompts import Click
image = np.random.default_rng(0).random((256, 256), dtype=np.float32)
start = time.perf_counter()
predictor = Predictor(sys.argv[1])
loaded = time.perf_counter()
predictor.set_image(image)
predictor.predict([Click(128, 128)])
done = time.perf_counter()
print(json.dumps([loaded - start, done - start]))
"""


def run(quick: bool) -> list[Result]:
    """Measure the import, and loading the default weights with a first click on 256 x 256."""
    times = 2 if quick else 5
    imports = [float(_python(_IMPORT)) for _ in range(times)]
    threads = str(torch.get_num_threads())
    clicks = [json.loads(_python(_FIRST_CLICK, "tiny", threads)) for _ in range(times)]
    loading = statistics.median(loaded for loaded, _ in clicks)
    return [
        Result(suite="start", name="import", preset="", ms=1e3 * statistics.median(imports)),
        Result(
            suite="start",
            name="weights to first click",
            preset="tiny",
            size=256,
            ms=1e3 * statistics.median(done for _, done in clicks),
            figures={"loading_ms": 1e3 * loading},
        ),
    ]


def _python(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout
