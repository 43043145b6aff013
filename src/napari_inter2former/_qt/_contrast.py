"""Which intensities the model sees: normalised by percentiles, or as napari displays them."""

from __future__ import annotations

from enum import Enum
from typing import Any

import numpy as np
from napari.layers import Image

from napari_inter2former._qt._own_layers import transform_of
from napari_inter2former.annotation.planes import Plane, StackLayout
from napari_inter2former.images import (
    Normalization,
    as_displayed,
    as_image_source,
    stack_channels,
)

__all__ = ["CONTRAST_EVENTS", "Contrast", "picture"]

CONTRAST_EVENTS = "contrast_limits gamma colormap visible"


class Contrast(Enum):
    """Which intensities the model sees."""

    PERCENTILES = "automatic"
    """Each channel's percentiles become black and white."""

    DISPLAYED = "displayed"
    """The layer's contrast limits, gamma and colormap."""

    VISIBLE = "visible"
    """All visible images of the same size and place, added, each as it is displayed."""


def picture(
    image: Image, layout: StackLayout, plane: Plane, contrast: Contrast, others: list[Image]
) -> tuple[Any, int | None, bool]:
    """Return what the predictor's ``set_image`` takes; no pixels are read.

    Parameters
    ----------
    image : Image
        The layer that is annotated.
    layout : StackLayout
        Its axes.
    plane : Plane
        Which part of it.
    contrast : Contrast
        What the model is to see.
    others : list of Image
        All image layers, for `Contrast.VISIBLE`.

    Returns
    -------
    image, channel_axis, rgb
        Three arguments; the first is an `ImageSource` unless `contrast` is the percentiles'.
    """
    levels, channel_axis = layout.cut(levels_of(image), plane)
    if contrast is Contrast.PERCENTILES:
        return levels if image.multiscale else levels[0], channel_axis, layout.rgb
    layers = [image]
    if contrast is Contrast.VISIBLE and channel_axis is None and not layout.rgb:
        layers = [layer for layer in others if layer is image or _lies_on(layer, image, layout)]
    if channel_axis is not None:
        # One layer with one contrast: it counts for each of its channels.
        low, high = (float(value) for value in image.contrast_limits)
        count = int(levels[0].shape[channel_axis])
        limits = Normalization((low,) * count, (high,) * count)
        return as_image_source(levels, channel_axis, False, limits), None, False
    if len(layers) == 1:
        rendering = as_displayed(image)
        return as_image_source(levels, **rendering.arguments()), None, layout.rgb
    stacks = stack_channels([layout.cut(levels_of(layer), plane)[0] for layer in layers])
    return as_image_source(stacks, **as_displayed(layers).arguments()), None, False


def levels_of(image: Image) -> list[Any]:
    """Resolution levels of a layer, finest first; one for an ordinary layer."""
    return list(image.data) if image.multiscale else [image.data]


def _lies_on(layer: Image, image: Image, layout: StackLayout) -> bool:
    """Whether a layer shows the same pixels as the image, as another channel of it."""
    if not layer.visible or layer.rgb or layer.ndim != image.ndim:
        return False
    if tuple(levels_of(layer)[0].shape) != tuple(levels_of(image)[0].shape):
        return False
    here, there = transform_of(image, layout), transform_of(layer, layout)
    return all(
        np.allclose(here[name], there[name]) for name in ("scale", "translate", "rotate", "affine")
    )
