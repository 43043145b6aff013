"""The colours and contrast that napari shows, as the model's input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from napari_inter2former.errors import ImageError
from napari_inter2former.images._channels import Channels, Colormap, Rendering
from napari_inter2former.images._normalize import Normalization

__all__ = ["as_displayed"]

MOST_COLOURS = 33
"""Points of a colormap that is not straight; napari's have up to 256, alike to the eye."""


def as_displayed(layers: Any) -> Rendering:
    """Take contrast limits, gammas and colormaps of napari image layers.

    Parameters
    ----------
    layers : napari.layers.Image, or a sequence of them
        Anything with ``rgb``, ``dtype``, ``contrast_limits``, ``gamma`` and ``colormap`` works.
        Several layers become channels of one image (see `stack_channels`) that are added, as
        napari's additive blending does.

    Returns
    -------
    Rendering
        For one grey layer without a channel axis; for several with channel axis 0.

    Raises
    ------
    ImageError
        If there are no layers, or RGB layers among several.

    Examples
    --------
    >>> layer = viewer.layers["nuclei"]  # doctest: +SKIP
    >>> predictor.set_image(layer.data, **as_displayed(layer).arguments())  # doctest: +SKIP
    """
    several = isinstance(layers, Sequence)
    chosen = list(layers) if several else [layers]
    if not chosen:
        raise ImageError("There is no layer to take the contrast of.")
    if any(bool(getattr(layer, "rgb", False)) for layer in chosen):
        if len(chosen) > 1:
            raise ImageError("RGB layers can't be channels beside others; choose grey layers.")
        # napari shows the colours of RGB images as they are.
        dtype = np.dtype(chosen[0].dtype)
        top = float(np.iinfo(dtype).max) if dtype.kind in "iu" else 1.0
        return Rendering(Normalization((0.0,) * 3, (top,) * 3), rgb=True)
    limits = [tuple(float(value) for value in layer.contrast_limits) for layer in chosen]
    normalization = Normalization(tuple(a for a, _ in limits), tuple(b for _, b in limits))
    channels = Channels(
        ("colormap",) * len(chosen),
        tuple(_colormap(layer.colormap) for layer in chosen),
        tuple(float(layer.gamma) for layer in chosen),
    )
    return Rendering(normalization, channels, 0 if several else None, False)


def _colormap(colormap: Any) -> Colormap:
    colours = np.asarray(colormap.colors, dtype=np.float64)[:, :3]
    controls = np.asarray(getattr(colormap, "controls", ()), dtype=np.float64)
    if str(getattr(colormap, "interpolation", "linear")) == "zero" or len(controls) != len(colours):
        controls = np.linspace(0, 1, len(colours))
    count = 2 if len(colours) == 2 else min(MOST_COLOURS, max(3, len(colours)))
    points = np.linspace(0, 1, count)
    columns = [np.interp(points, controls, colours[:, j]).round(4) for j in range(3)]
    return tuple((float(r), float(g), float(b)) for r, g, b in zip(*columns, strict=True))
