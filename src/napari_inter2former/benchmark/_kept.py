"""Figures of earlier runs, to which others are added."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from napari_inter2former.benchmark._result import Result
from napari_inter2former.errors import Inter2FormerError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FiguresError", "kept"]

SAME = ("processor", "threads", "torch", "kernels_instruction_set", "encoder_precision", "version")
"""What has to be the same for figures to stand in one file."""


class FiguresError(Inter2FormerError, ValueError):
    """A file of figures can't be added to."""


def kept(path: Path, machine: dict[str, Any]) -> dict[tuple[str, str, str, int], Result]:
    """Return the figures of an earlier run on the same machine, if there was one.

    Raises
    ------
    FiguresError
        If the file is of another machine or setting, or no benchmark's.
    """
    if not path.is_file():
        return {}
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
        results = [Result.from_dict(values) for values in before["results"]]
        same = all(before["machine"][key] == machine[key] for key in SAME)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FiguresError(f"{path} is not the output of a benchmark: {error!r}.") from error
    if not same:
        raise FiguresError(
            f"The figures in {path} were measured on another machine or with other settings; "
            "leave --keep out, or name another file."
        )
    return {result.key: result for result in results}
