"""Recorded clicks: a CSV file with one click a line.

Two layouts are read: the columns ``object, row, column, positive``, and what napari saves for a
Points layer (``index, axis-0, axis-1``) with the features ``object`` and ``positive``. The order
of the lines is the order of the clicks; other columns are ignored. Semicolons between the columns,
as spreadsheets write them where numbers have a decimal comma, are read too. Clicks in a stack also
say in which plane they lie: in columns named like the stack's axes (``t``, ``z``), in one column
``plane`` that counts the planes from 0, or, as napari does, in more axes.
"""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from typing import TYPE_CHECKING

from napari_inter2former._files import write_csv
from napari_inter2former.errors import PromptError
from napari_inter2former.evaluation.click_planes import PLANE, plane_columns, plane_number
from napari_inter2former.prompts import Click

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["read_clicks", "read_stack_clicks", "write_clicks", "write_stack_clicks"]

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
    return read_stack_clicks(path, shape, {})[0]


def read_stack_clicks(
    path: str | Path, shape: tuple[int, int] | None, stack: Mapping[str, int]
) -> dict[int, dict[int, tuple[Click, ...]]]:
    """Read the clicks of a file, plane by plane and object by object.

    Parameters
    ----------
    path, shape
        See `read_clicks`.
    stack : mapping of str to int
        Length of each axis that numbers planes, in the image's order; none for a single plane.

    Returns
    -------
    dict of int to dict of int to tuple of Click
        By number of the plane, the last axis of the stack counting fastest, what `read_clicks`
        returns. An object may have clicks in several planes.

    Raises
    ------
    PromptError
        See `read_clicks`; also when a plane is not named, or does not exist.
    """
    path = Path(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            text = file.read()
        semicolons = _has_semicolons(text)
        lines = io.StringIO(text.replace(",", ".") if semicolons else text, newline="")
        separator = ";" if semicolons else ","
        rows = list(csv.reader(lines, delimiter=separator, skipinitialspace=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise PromptError(f"{path}: cannot be read as a CSV file of clicks ({error}).") from error
    if not any(rows):
        raise PromptError(f"{path}: the file is empty. It needs {_wanted()}.")
    places = _places(path, [name.strip() for name in rows[0]], stack)
    clicks: dict[int, dict[int, list[Click]]] = {}
    for line, cells in enumerate(rows[1:], start=2):
        if not any(cell.strip() for cell in cells):
            continue
        try:
            plane, number, click = _parse(cells, places, shape, stack)
        except ValueError as error:
            raise PromptError(f"{path}, line {line}: {error}") from error
        clicks.setdefault(plane, {}).setdefault(number, []).append(click)
    if not clicks:
        raise PromptError(f"{path}: there are no clicks in the file, only column names.")
    return {
        plane: {number: tuple(of_object) for number, of_object in of_plane.items()}
        for plane, of_plane in clicks.items()
    }


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
    write_csv(Path(path), _COLUMNS, _cells(clicks))


def write_stack_clicks(
    path: str | Path, clicks: Mapping[int, Mapping[int, Sequence[Click]]]
) -> None:
    """Write clicks in the first layout with a column ``plane``, whole or not at all.

    Parameters
    ----------
    path : path-like
        The file; an existing one is replaced.
    clicks : mapping of int to mapping of int to sequence of Click
        By number of the plane, the last axis of the stack counting fastest, what `write_clicks`
        takes.

    Raises
    ------
    OutputError
        When it cannot be written.
    """
    rows = (
        (number, plane, *place)
        for plane, of_plane in clicks.items()
        for number, *place in _cells(of_plane)
    )
    write_csv(Path(path), (_COLUMNS[0], PLANE, *_COLUMNS[1:]), rows)


def _cells(clicks: Mapping[int, Sequence[Click]]) -> Iterator[tuple[int, str, str, str]]:
    """Yield the cells of each click."""
    for number, of_object in clicks.items():
        for click in of_object:
            sign = "true" if click.positive else "false"
            yield number, f"{click.row:.10g}", f"{click.column:.10g}", sign


def _places(path: Path, header: list[str], stack: Mapping[str, int]) -> dict[str, int]:
    """Find the four columns, in either layout, and those that name the plane."""
    names = {name: name for name in _COLUMNS}
    if "axis-0" in header:
        last = sum(name.startswith("axis-") for name in header) - 1
        names |= {"row": f"axis-{last - 1}", "column": f"axis-{last}"}
    try:
        names |= plane_columns(header, stack)
    except ValueError as error:
        raise PromptError(f"{path}: {error}") from error
    missing = [name for name in names.values() if name not in header]
    if missing:
        raise PromptError(f"{path}: the column {missing[0]!r} is missing. It needs {_wanted()}.")
    return {name: header.index(column) for name, column in names.items()}


def _parse(
    cells: list[str],
    places: dict[str, int],
    shape: tuple[int, int] | None,
    stack: Mapping[str, int],
) -> tuple[int, int, Click]:
    if len(cells) <= max(places.values()):
        raise ValueError(f"there are only {len(cells)} values in this line.")
    text = {name: cells[place].strip() for name, place in places.items()}
    named = {name: _number(text[name], name) for name in text if name not in _COLUMNS}
    plane = plane_number(named, stack)
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
    return plane, int(number), Click(row, column, sign in _YES)


def _has_semicolons(text: str) -> bool:
    """Whether a spreadsheet has written ``;`` between columns, and perhaps ``1,5`` for 1.5."""
    header = text.split("\n", 1)[0]
    return ";" in header and "," not in header


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
