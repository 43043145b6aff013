"""Set an image, click, get masks: `Predictor` and `Mask`."""

from __future__ import annotations

from napari_inter2former.predictor._disk_cache import DiskCache, weights_key
from napari_inter2former.predictor._mask import Mask
from napari_inter2former.predictor._precompute import precompute
from napari_inter2former.predictor._predictor import Predictor

__all__ = ["DiskCache", "Mask", "Predictor", "precompute", "weights_key"]
