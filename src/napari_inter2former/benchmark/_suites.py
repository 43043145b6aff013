"""The suites, by name; each is a module with ``run(quick) -> list[Result]``."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_inter2former.benchmark._result import Result

__all__ = ["SUITES", "available", "run_suite"]

SUITES = {
    "kernels": "napari_inter2former.benchmark.parts",
    "decoder": "napari_inter2former.benchmark.decoder",
    "encoder": "napari_inter2former.benchmark.encoder",
    "sat": "napari_inter2former.benchmark.sat",
    "start": "napari_inter2former.benchmark.start",
    "scale": "napari_inter2former.benchmark.scale",
}
"""Module of each suite."""


def available() -> tuple[str, ...]:
    """Return the names of the suites that this installation has."""
    return tuple(name for name, module in SUITES.items() if find_spec(module) is not None)


def run_suite(name: str, quick: bool) -> list[Result]:
    """Run one suite.

    Parameters
    ----------
    name : str
        Of `SUITES`.
    quick : bool
        Whether to measure less, in a few seconds.
    """
    results: list[Result] = import_module(SUITES[name]).run(quick)
    return results
