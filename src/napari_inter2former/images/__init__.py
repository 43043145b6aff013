"""Images of any kind and size, read window by window."""

from __future__ import annotations

from napari_inter2former.images._normalize import Normalization
from napari_inter2former.images._read import read_image
from napari_inter2former.images._source import ImageSource, as_image_source

__all__ = ["ImageSource", "Normalization", "as_image_source", "read_image"]
