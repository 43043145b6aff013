"""Found objects go into labels layers in steps, between which the window has its turn."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels

from napari_inter2former._qt import _targets as targets
from napari_inter2former._sparse import SparseLabels
from napari_inter2former.annotation.found import FoundObjects, plan_found
from napari_inter2former.annotation.planes import Plane

__all__ = ["FoundWriter"]


@dataclass
class _Order:
    layer: Labels
    plane: Plane
    parts: Iterator[Any]
    added: Callable[[int], None] | None
    numbers: set[int] = field(default_factory=set)


class FoundWriter:
    """Write found objects, one order after the other.

    Parameters
    ----------
    viewer : ViewerModel
        Layers that are no longer in it are not written to.
    later : callable
        Runs a function soon, on the window's thread.
    failed : callable
        Told in words what can't be written.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        later: Callable[[Callable[[], None]], None],
        failed: Callable[[str], None],
    ) -> None:
        self._viewer = viewer
        self._later = later
        self._failed = failed
        self._orders: deque[_Order] = deque()

    def write(
        self,
        layer: Labels,
        plane: Plane,
        found: FoundObjects,
        forward: bool = True,
        added: Callable[[int], None] | None = None,
    ) -> None:
        """Put objects into a layer, or take them out again; the first part at once.

        `added` is told at the end how many objects were put in.
        """
        parts = plan_found(partial(targets.read_box, layer, plane), found, forward)
        self._orders.append(_Order(layer, plane, parts, added))
        if len(self._orders) == 1:
            self._step()

    def finish(self) -> None:
        """Write all that is left now: nothing runs later any more."""
        while self._orders:
            self._go_on()

    def _step(self) -> None:
        if self._orders:
            self._go_on()
        if self._orders:
            self._later(self._step)

    def _go_on(self) -> None:
        order = self._orders[0]
        layer, part = order.layer, None
        try:
            if layer in self._viewer.layers:
                part = next(order.parts, None)
                if part is None and order.added is not None:
                    order.added(len(order.numbers))
            if part is not None:
                _put(layer, order.plane, *part)
                order.numbers.update(np.unique(part[2]).tolist())
        except (IndexError, OSError, TypeError, ValueError) as error:
            part = None
            self._failed(f"'{layer.name}' can't be written to: {error}")
        if part is None:
            self._orders.popleft()


def _put(layer: Labels, plane: Plane, rows: Any, columns: Any, values: Any) -> None:
    if not np.size(rows):
        return
    data, indices = targets.array_of(layer), plane.indices(rows, columns)
    if isinstance(data, SparseLabels):
        data[indices] = values
        layer.refresh(extent=False)
    else:
        layer.data_setitem(indices, values)
