"""Recorded clicks: a CSV file with one click a line.

Two layouts are read: the columns ``object, row, column, positive``, and what napari saves for a
Points layer (``index, axis-0, axis-1``) with the features ``object`` and ``positive``. The order
of the lines is the order of the clicks; other columns are ignored.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import TYPE_CHECKING

from napari_inter2former._files import write_csv
from napari_inter2former.errors import PromptError
from napari_inter2former.prompts import Click

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["read_clicks", "write_clicks"]

_COLUMNS = ("object", "row", "column", "positive")
_YES = {"true", "1", "1.0", "yes", "+"}
_NO = {"false", "0", "0.0", "no", "-"}


def read_clicks(
    path: str | Path, shape: tuple[int, int] | None = None
) -> dict[int, tuple[Click, ...]]:
    """Read the clicks of a file, object by object.

    Parameters
    ----------
    path : path-like
        A CSV file, UTF-8.
    shape : tuple of int, optional
        Height and width of the image in pixels, to find clicks that lie outside.

    Returns
    -------
    dict of int to tuple of Click
        Object numbers (1 or more) in the order of their first clicks, with their clicks in order.

    Raises
    ------
    PromptError
        When the file is missing, a column is missing, there is no click, or a line cannot be
        used; the message names the file and the line.
    """
    path = Path(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file, skipinitialspace=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise PromptError(f"{path}: cannot be read as a CSV file of clicks ({error}).") from error
    if not any(rows):
        raise PromptError(f"{path}: the file is empty. It needs {_wanted()}.")
    places = _places(path, [name.strip() for name in rows[0]])
    clicks: dict[int, list[Click]] = {}
    for line, cells in enumerate(rows[1:], start=2):
        if not any(cell.strip() for cell in cells):
            continue
        try:
            number, click = _parse(cells, places, shape)
        except ValueError as error:
            raise PromptError(f"{path}, line {line}: {error}") from error
        clicks.setdefault(number, []).append(click)
    if not clicks:
        raise PromptError(f"{path}: there are no clicks in the file, only column names.")
    return {number: tuple(of_object) for number, of_object in clicks.items()}


def write_clicks(path: str | Path, clicks: Mapping[int, Sequence[Click]]) -> None:
    """Write clicks in the first layout, whole or not at all.

    Parameters
    ----------
    path : path-like
        The file; an existing one is replaced.
    clicks : mapping of int to sequence of Click
        Clicks by object number.

    Raises
    ------
    OutputError
        When it cannot be written.
    """
    rows = (
        (number, f"{click.row:.10g}", f"{click.column:.10g}", "true" if click.positive else "false")
        for number, of_object in clicks.items()
        for click in of_object
    )
    write_csv(Path(path), _COLUMNS, rows)


def _places(path: Path, header: list[str]) -> dict[str, int]:
    """Find the four columns, in either layout."""
    names = {name: name for name in _COLUMNS}
    if "axis-0" in header:
        names |= {"row": "axis-0", "column": "axis-1"}
        if "axis-2" in header:
            raise PromptError(
                f"{path}: the points have more than two coordinates. "
                "Save the points of one 2-D plane."
            )
    missing = [name for name in names.values() if name not in header]
    if missing:
        raise PromptError(f"{path}: the column {missing[0]!r} is missing. It needs {_wanted()}.")
    return {name: header.index(column) for name, column in names.items()}


def _parse(
    cells: list[str], places: dict[str, int], shape: tuple[int, int] | None
) -> tuple[int, Click]:
    if len(cells) <= max(places.values()):
        raise ValueError(f"there are only {len(cells)} values in this line.")
    text = {name: cells[place].strip() for name, place in places.items()}
    number = _number(text["object"], "object")
    if number != int(number) or number < 1:
        raise ValueError(f"object must be a whole number from 1, not {text['object']!r}.")
    row, column = _number(text["row"], "row"), _number(text["column"], "column")
    if shape is not None and not (-0.5 <= row < shape[0] - 0.5 and -0.5 <= column < shape[1] - 0.5):
        raise ValueError(
            f"the click at row {row:g}, column {column:g} is outside the image "
            f"of {shape[0]} x {shape[1]} pixels (rows x columns)."
        )
    sign = text["positive"].lower()
    if sign not in _YES | _NO:
        raise ValueError(f"positive must be true or false, not {text['positive']!r}.")
    return int(number), Click(row, column, sign in _YES)


def _number(text: str, name: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{name} must be a number, not {text!r}.") from None
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite, not {text!r}.")
    return value


def _wanted() -> str:
    return (
        "the columns object, row, column, positive "
        "(or napari's index, axis-0, axis-1 with the features object and positive)"
    )
