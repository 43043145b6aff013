"""Which columns of a click file name the plane in which a click lies, and which plane that is."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["PLANE", "plane_columns", "plane_number"]

PLANE = "plane"
"""Counts the planes from 0, the last axis counting fastest."""
NAMED = ("t", "z", PLANE)


def plane_columns(header: Sequence[str], stack: Mapping[str, int]) -> dict[str, str]:
    """Find the columns that name planes.

    Parameters
    ----------
    header : sequence of str
        All columns of the file.
    stack : mapping of str to int
        Length of each axis that numbers planes, in the image's order.

    Returns
    -------
    dict of str to str
        Columns by what they hold: an axis of the stack, ``t``, ``z`` or ``plane``.

    Raises
    ------
    ValueError
        If they don't tell all planes apart.
    """
    points = sum(name.startswith("axis-") for name in header)
    if points == len(stack) + 2:
        return {name: f"axis-{i}" for i, name in enumerate(stack)}
    if points > 2:
        planes = f"numbered by {', '.join(stack)}" if stack else "not numbered: it has only one"
        raise ValueError(
            f"the points have {points} coordinates, and the image's planes are {planes}. Save the "
            f"points of {'this image' if stack else 'one 2-D plane'}."
        )
    columns = {name: name for name in (*stack, *NAMED) if name in header}
    missing = [name for name, size in stack.items() if size > 1 and name not in columns]
    if missing and PLANE not in columns:
        counted = ", ".join(f"{name}: {size}" for name, size in stack.items())
        raise ValueError(
            f"the column {missing[0]!r} is missing: the image has {math.prod(stack.values())} "
            f"planes ({counted}). Say in which each click lies, in columns named like the axes, or "
            f"in one column {PLANE!r} that counts the planes from 0."
        )
    return columns


def plane_number(places: Mapping[str, float], stack: Mapping[str, int]) -> int:
    """Return the number of a plane, the last axis of the stack counting fastest.

    Parameters
    ----------
    places : mapping of str to float
        What the columns of `plane_columns` hold.
    stack : mapping of str to int
        As there.

    Raises
    ------
    ValueError
        If there is no such plane.
    """
    total = math.prod(stack.values())
    sizes = {**dict.fromkeys(NAMED, 1), **stack, PLANE: total}
    for name, place in places.items():
        # What napari saves may be a little off a whole number, from scaling to the world and back.
        if abs(place - round(place)) > 0.01 or not 0 <= round(place) < sizes[name]:
            raise ValueError(
                f"{name} must be a whole number from 0 to {sizes[name] - 1}, not {place:g}: "
                f"the image has {sizes[name]} plane(s)"
                + ("." if name == PLANE else f" along {name}.")
            )
    if any(size > 1 and name not in places for name, size in stack.items()):
        return round(places[PLANE])
    number = 0
    for name, size in stack.items():
        number = number * size + round(places.get(name, 0))
    return number
