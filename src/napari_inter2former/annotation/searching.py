"""Everything mode for the worker: a search that gives way to clicks and goes on afterwards."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_inter2former.scripting import paint

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_inter2former.everything import Parts

__all__ = ["Search"]

Box = tuple[int, int, int, int]
Indices = npt.NDArray[np.intp]


class Search:
    """The search for all objects in a part of an image plane.

    Parameters
    ----------
    region : tuple of int
        (r0, c0, r1, c1) in pixels of the plane.
    """

    def __init__(self, region: Box) -> None:
        self.region = region
        self._parts: Parts | None = None

    def run(
        self, predictor: Any, image: tuple[Any, int | None, bool], progress: Callable[..., None]
    ) -> tuple[Indices, Indices, Indices]:
        """Search, or go on with what `progress` broke off by raising.

        Parameters
        ----------
        predictor : Predictor
            What draws.
        image : tuple
            Array, channel axis, and whether it is RGB.
        progress : callable
            Called with the blocks done and their number.

        Returns
        -------
        rows, columns, numbers : array of int, (n,)
            The objects' pixels in the plane, and which object, from 1, each belongs to.
        """
        from napari_inter2former.everything import MemoryParts, find_everything
        from napari_inter2former.images import as_image_source

        if self._parts is None:
            self._parts = MemoryParts()
        array, channel_axis, rgb = image
        source = as_image_source(array, channel_axis, rgb)
        found = find_everything(
            source, predictor, region=self.region, progress=progress, parts=self._parts
        )
        masks = [mask for part in found for mask in part]
        if not masks:
            nothing = np.zeros(0, np.intp)
            return nothing, nothing, nothing
        # Objects reach a little beyond the region; no more of the plane is held in memory.
        r0, c0, r1, c1 = (
            pick(mask.box[i] for mask in masks) for i, pick in enumerate((min, min, max, max))
        )
        canvas = np.zeros((r1 - r0, c1 - c0), np.intp)
        for number, mask in enumerate(masks, start=1):
            box = (mask.box[0] - r0, mask.box[1] - c0, mask.box[2] - r0, mask.box[3] - c0)
            paint(canvas, replace(mask, box=box), number)
        rows, columns = np.nonzero(canvas)
        return rows + r0, columns + c0, canvas[rows, columns]
