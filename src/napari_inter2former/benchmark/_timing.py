"""Medians of times, and the machine's own matrix-multiply rate to compare them with."""

from __future__ import annotations

import statistics
import time
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["matmul_rate", "medians", "milliseconds"]

MATMUL_SIDE = 1024
"""Side of the square matrices that measure the rate."""


def medians(
    functions: dict[str, Callable[[], object]], seconds: float = 1.0, least: int = 5
) -> dict[str, float]:
    """Measure several functions in turn, so that all meet the same disturbances.

    Parameters
    ----------
    functions : dict
        What to call, by name. Each is called once beforehand, unmeasured.
    seconds : float
        How long to go on, for all together.
    least : int
        Fewest calls of each.

    Returns
    -------
    dict
        Median milliseconds by name.
    """
    times: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        function()
    end = time.perf_counter() + seconds
    rounds = 0
    while rounds < least or time.perf_counter() < end:
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - start)
        rounds += 1
    return {name: 1e3 * statistics.median(values) for name, values in times.items()}


def milliseconds(function: Callable[[], object], seconds: float = 1.0, least: int = 5) -> float:
    """Return a function's median time in milliseconds."""
    return medians({"": function}, seconds, least)[""]


@cache
def matmul_rate(dtype: str = "float32") -> float:
    """Measure the machine's matrix-multiply rate, once per run.

    Parameters
    ----------
    dtype : str
        "float32" or "bfloat16".

    Returns
    -------
    float
        10^12 operations per second, with PyTorch's number of threads.
    """
    import torch

    a, b = (torch.rand(MATMUL_SIDE, MATMUL_SIDE).to(getattr(torch, dtype)) for _ in range(2))
    ms = milliseconds(lambda: a @ b, 1.0, 20)
    return 2 * MATMUL_SIDE**3 / ms * 1e-9
