"""The suites, by name; each is a module with ``run(quick) -> list[Result]``."""

from __future__ import annotations

from contextvars import ContextVar
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_inter2former.benchmark._result import Result

__all__ = ["PRESETS", "SIDES", "SUITES", "available", "chosen_presets", "chosen_sides", "run_suite"]

PRESETS = ("tiny", "small", "base")

SIDES = (1024, 2048)
"""Of images, in pixels."""

_chosen: ContextVar[tuple[str, ...]] = ContextVar("presets", default=())
_sides: ContextVar[tuple[int, ...]] = ContextVar("sides", default=())

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


def run_suite(
    name: str, quick: bool, presets: tuple[str, ...] = (), sides: tuple[int, ...] = ()
) -> list[Result]:
    """Run one suite.

    Parameters
    ----------
    name : str
        Of `SUITES`.
    quick : bool
        Whether to measure less, in a few seconds.
    presets : tuple of str
        Of `PRESETS`, instead of the suite's own choice.
    sides : tuple of int
        Of `SIDES`, instead of the suite's own choice.
    """
    token, other = _chosen.set(presets), _sides.set(sides)
    try:
        results: list[Result] = import_module(SUITES[name]).run(quick)
    finally:
        _chosen.reset(token)
        _sides.reset(other)
    return results


def chosen_presets(default: tuple[str, ...]) -> tuple[str, ...]:
    """Return the presets that a suite is to measure, `default` where nobody chose."""
    return _chosen.get() or default


def chosen_sides(default: tuple[int, ...]) -> tuple[int, ...]:
    """Return the sides of images that a suite is to measure, `default` where nobody chose."""
    return _sides.get() or default
