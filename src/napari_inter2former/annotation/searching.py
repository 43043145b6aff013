"""Everything mode for the worker: masks of all objects, small enough to be handed over and kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_inter2former.annotation.found import FoundMask

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["search"]


def search(
    predictor: Any,
    image: tuple[Any, int | None, bool],
    region: tuple[int, int, int, int],
    progress: Callable[[int, int], None],
) -> tuple[FoundMask, ...]:
    """Find all objects in a part of an image plane.

    Parameters
    ----------
    predictor : Predictor
        Whose network draws; its image doesn't matter, and stays.
    image : tuple
        Array, channel axis, and whether it is RGB.
    region : tuple of int
        (r0, c0, r1, c1) in pixels of the plane.
    progress : callable
        Called often, with the blocks done and their number, or (0, 0); what it raises ends the
        search.

    Returns
    -------
    tuple of FoundMask
        Pixels that several share belong to the first.
    """
    from napari_inter2former.everything import find_everything
    from napari_inter2former.images import as_image_source

    array, channel_axis, rgb = image
    source = as_image_source(array, channel_axis, rgb)
    found = find_everything(source, predictor, region=region, progress=progress)
    return tuple(FoundMask.of(mask.data, mask.box) for part in found for mask in part)
