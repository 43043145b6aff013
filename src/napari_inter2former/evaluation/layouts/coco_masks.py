"""Objects of COCO as a label image, drawn by pycocotools so that no pixel differs from COCO's."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_inter2former.errors import ImageError
from napari_inter2former.evaluation.pairs import DatasetError

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from numpy.typing import NDArray

    Placed = tuple[NDArray[np.bool_], tuple[int, int]]

__all__ = ["CocoLabels"]

MOST_HIDDEN = 0.1
"""An object of which others cover more than this part is left out."""


@dataclass(frozen=True, eq=False)
class CocoLabels:
    """The segmentations of one image.

    Attributes
    ----------
    shape : tuple of int
        Height and width as the file says.
    segmentations : tuple
        Each a list of polygons ``[x0, y0, x1, y1, ...]``, or run lengths as a dict of ``size`` and
        ``counts``, compressed or not.
    """

    shape: tuple[int, int]
    segmentations: tuple[Any, ...]

    def __call__(self, path: Path) -> NDArray[np.int32]:
        """Draw them.

        A label image has one number per pixel, but COCO's objects may overlap: smaller ones lie on
        top, and those of which less than nine tenths remain are left out.

        Parameters
        ----------
        path : pathlib.Path
            The JSON file, for messages.

        Returns
        -------
        ndarray of int32, shape (H, W)
            Numbers are those of the segmentations, from 1.

        Raises
        ------
        ImageError
            When a segmentation cannot be drawn.
        DatasetError
            When pycocotools is not installed.
        """
        masks = {}
        for number, segmentation in enumerate(self.segmentations, start=1):
            try:
                masks[number] = self._draw(segmentation)
            except ImportError as error:
                raise DatasetError(
                    f"{path}: COCO annotations need pycocotools: "
                    'pip install "napari-inter2former[coco]".'
                ) from error
            except Exception as error:
                raise ImageError(
                    f"{path}: segmentation {number} of an image cannot be drawn ({error})."
                ) from error
        labels = np.zeros(self.shape, np.int32)
        areas = {number: int(mask.sum()) for number, (mask, _) in masks.items()}
        for number in sorted(areas, key=lambda n: -areas[n]):
            mask, (r, c) = masks[number]
            labels[r : r + mask.shape[0], c : c + mask.shape[1]][mask] = number
        left = np.bincount(labels.ravel(), minlength=len(masks) + 1)
        hidden = [n for n, area in areas.items() if left[n] < (1 - MOST_HIDDEN) * area]
        labels[np.isin(labels, hidden)] = 0
        return labels

    def _draw(self, segmentation: Any) -> Placed:
        from pycocotools import mask as coco

        high, wide = self.shape
        if isinstance(segmentation, dict):
            runs = segmentation
            if tuple(runs["size"]) != self.shape:
                raise ValueError(f"its size is {runs['size']}, the image's {list(self.shape)}")
            if isinstance(runs["counts"], list):
                runs = coco.frPyObjects(runs, high, wide)
            return _decode(runs), (0, 0)
        # Polygons of fewer than three points have no inside.
        polygons = [np.asarray(p, float).reshape(-1, 2) for p in segmentation if len(p) >= 6]
        if not polygons:
            return np.zeros((0, 0), np.bool_), (0, 0)
        points = np.concatenate(polygons)
        if not np.isfinite(points).all():
            raise ValueError("a coordinate is not finite")
        # Only as much as the object needs: images of cells hold thousands of them.
        c0, r0 = (max(0, math.floor(v) - 1) for v in points.min(axis=0))
        c1, r1 = (math.ceil(v) + 2 for v in points.max(axis=0))
        size = (min(high, r1) - r0, min(wide, c1) - c0)
        if min(size) <= 0:
            return np.zeros((0, 0), np.bool_), (0, 0)
        shifted = [(p - (c0, r0)).ravel().tolist() for p in polygons]
        return _decode(coco.merge(coco.frPyObjects(shifted, *size))), (r0, c0)


def _decode(runs: Any) -> NDArray[np.bool_]:
    from pycocotools import mask as coco

    with warnings.catch_warnings():
        # Its arrays do not know NumPy 2's keyword `copy` yet; they work.
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        return np.asarray(coco.decode(runs), np.bool_)
