"""Encode a whole image ahead, so that every first click in it is instant."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_inter2former.predictor._predictor import Predictor

__all__ = ["precompute"]


def precompute(
    predictor: Predictor,
    zooms: Sequence[float] | None = None,
    region: tuple[int, int, int, int] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Encode all windows that first clicks can use, into the predictor's cache on disk.

    Windows that are there already are left alone, so an interrupted run goes on where it was, and
    several processes may share the work.

    Parameters
    ----------
    predictor : Predictor
        Made with ``disk_cache=True`` or a folder; its image has been set.
    zooms : sequence of float, optional
        Powers of two; by default the zoom that a first click starts with.
    region : tuple of int, optional
        (r0, c0, r1, c1) in image pixels: only for clicks in there.
    progress : callable, optional
        Called with the number of windows done and of all; may raise to stop.

    Returns
    -------
    int
        How many windows were encoded now.

    Raises
    ------
    ImageError
        If no image is set, or it can't be read.
    OutputError
        If the cache can't keep them.
    PromptError
        If a zoom can't be used, or the region lies outside the image.
    ValueError
        If the predictor keeps nothing on disk.
    """
    if predictor.disk_cache is None:
        raise ValueError("The predictor has no cache on disk: make it with disk_cache=True.")
    windows = []
    for zoom in zooms or (None,):
        windows += predictor.first_windows(zoom, region)
    encoded = 0
    if progress is not None:
        progress(0, len(windows))
    for done, window in enumerate(windows, start=1):
        encoded += predictor.store(window)
        if progress is not None:
            progress(done, len(windows))
    return encoded
