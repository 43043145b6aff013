"""2018 Data Science Bowl (BBBC038): a folder for each image, a mask file for each nucleus.

``stage1_train/ID/images/ID.png`` and ``stage1_train/ID/masks/*.png``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_inter2former.errors import ImageError
from napari_inter2former.evaluation.layouts.masks import read_bright
from napari_inter2former.evaluation.layouts.names import (
    IMAGE_ENDINGS,
    LABEL_ENDINGS,
    common_name,
    pictures,
)
from napari_inter2former.evaluation.pairs import DatasetError, Pair

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["find", "read_mask_files"]


def find(folder: Path, split: str) -> list[Pair]:
    """List the images of ``stage1_SPLIT``, or of a folder that itself holds the images' folders.

    Raises
    ------
    DatasetError
        When there are stages, but none for the split has masks.
    """
    if not folder.is_dir():
        return []
    pairs = _images_of(folder)
    if pairs:
        return pairs
    stages = sorted(path for path in folder.glob("stage*_*") if path.is_dir())
    with_masks = {path.name: found for path in stages if (found := _images_of(path))}
    if not with_masks:
        return []
    of_split = [name for name in with_masks if name.endswith(f"_{split}")]
    if not of_split:
        raise DatasetError(
            f"{folder}: masks are in {', '.join(with_masks)}, none for the split {split!r}. "
            f"Give a --split that is there, or the folder itself."
        )
    return [pair for name in of_split for pair in with_masks[name]]


def _images_of(folder: Path) -> list[Pair]:
    pairs = []
    for each in sorted(folder.iterdir()):
        if (each / "masks").is_dir() and (images := pictures(each / "images")):
            masks = {common_name(path, LABEL_ENDINGS) for path in pictures(each / "masks")}
            if masks.intersection(common_name(path, IMAGE_ENDINGS) for path in images):
                return []  # label maps are named after their images: a dataset, not an image
            if len(images) > 1:
                raise DatasetError(f"{each / 'images'}: {len(images)} images where one belongs.")
            pairs.append(Pair(each.name, images[0], each / "masks", read_mask_files))
    return pairs


def read_mask_files(folder: Path) -> NDArray[np.int32]:
    """Read a folder of masks of one object each.

    Parameters
    ----------
    folder : pathlib.Path
        Objects are numbered in the order of the files' names. Where two overlap, the later one is
        on top.

    Raises
    ------
    ImageError
        When there is none, one cannot be read, or their sizes differ.
    """
    labels: NDArray[np.int32] | None = None
    for number, path in enumerate(pictures(folder), start=1):
        mask = read_bright(path)
        if labels is None:
            labels = np.zeros(mask.shape, np.int32)
        if mask.shape != labels.shape:
            raise ImageError(
                f"{path}: {mask.shape[0]} x {mask.shape[1]} pixels, but the other masks of the "
                f"image have {labels.shape[0]} x {labels.shape[1]}."
            )
        labels[mask > 0] = number
    if labels is None:
        raise ImageError(f"{folder}: there are no mask files.")
    return labels
