"""Images of any kind and size, read window by window."""

from __future__ import annotations

from napari_inter2former.images._channels import ROLES, Channels, Rendering
from napari_inter2former.images._choice import RenderedImage, RenderingChoice
from napari_inter2former.images._displayed import as_displayed
from napari_inter2former.images._estimate import normalization_of
from napari_inter2former.images._lazy import LazyPlane, cut, planes_of, stack_channels
from napari_inter2former.images._normalize import Normalization
from napari_inter2former.images._open import open_image
from napari_inter2former.images._read import read_image
from napari_inter2former.images._source import ImageSource, as_image_source
from napari_inter2former.images._spacing import Spacing, ome_attributes
from napari_inter2former.images._stored import StoredImage

__all__ = [
    "ROLES",
    "Channels",
    "ImageSource",
    "LazyPlane",
    "Normalization",
    "RenderedImage",
    "Rendering",
    "RenderingChoice",
    "Spacing",
    "StoredImage",
    "as_displayed",
    "as_image_source",
    "cut",
    "normalization_of",
    "ome_attributes",
    "open_image",
    "planes_of",
    "read_image",
    "stack_channels",
]
