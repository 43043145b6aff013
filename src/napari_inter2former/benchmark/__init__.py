"""Measure this machine: the efficiency figures of the paper (Fig. 3, Table 1), and more.

A suite is a module with ``run(quick: bool) -> list[Result]``; `SUITES` names them all.
"""

from __future__ import annotations

from ._kept import FiguresError, kept
from ._machine import processor
from ._result import Result
from ._suites import PRESETS, SIDES, SUITES, available, run_suite

__all__ = [
    "PRESETS",
    "SIDES",
    "SUITES",
    "FiguresError",
    "Result",
    "available",
    "kept",
    "processor",
    "run_suite",
]
