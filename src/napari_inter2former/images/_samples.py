"""What the samples of a TIFF's pixels are: colours, channels, or transparency."""

from __future__ import annotations

from typing import Any

from napari_inter2former.images._lazy import cut

__all__ = ["take_samples"]

RGB, YCBCR = 2, 6
ALPHA = (1, 2)
"""Associated and unassociated alpha, by the tag ExtraSamples."""


def take_samples(levels: list[Any], axes: str, page: Any) -> tuple[list[Any], str, bool]:
    """Leave out transparency, and call samples that are no colours channels.

    Parameters
    ----------
    levels : list of array-like
        The levels of an image.
    axes : str
        A letter for each axis, ``s`` for the samples.
    page : tifffile.TiffPage
        Its tags PhotometricInterpretation and ExtraSamples say what the samples are.

    Returns
    -------
    levels : list of array-like
        Without transparency; nothing is read.
    axes : str
        ``s`` stands for red, green and blue only.
    alpha : bool
        Whether something was left out.
    """
    if "s" not in axes:
        return levels, axes, False
    place = axes.index("s")
    count = int(levels[0].shape[place])
    colours = page.photometric in (RGB, YCBCR)
    kept = count - _alphas(page.extrasamples, count, colours)
    if kept < count:
        chosen = 0 if kept == 1 else slice(kept)
        index = tuple(chosen if i == place else None for i in range(len(axes)))
        levels = [cut(level, index) for level in levels]
    if kept == 1 < count:
        axes = axes.replace("s", "")
    elif not (colours and kept == 3) and "c" not in axes:
        axes = axes.replace("s", "c")
    return levels, axes, kept < count


def _alphas(extra: tuple[int, ...], count: int, colours: bool) -> int:
    """Count the samples at the end that are transparency."""
    found = 0
    while found < min(len(extra), count - 1) and extra[-1 - found] in ALPHA:
        found += 1
    # Many programs write RGBA and don't say what the A is; libtiff takes it for alpha, too.
    return 1 if colours and count == 4 and extra in ((), (0,)) else found
