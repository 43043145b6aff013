"""Images in one folder, labels of the same names in another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_inter2former.evaluation.layouts.masks import read_any_mask, read_one_object
from napari_inter2former.evaluation.layouts.names import (
    IMAGE_ENDINGS,
    IMAGE_FOLDERS,
    LABEL_ENDINGS,
    LABEL_FOLDERS,
    by_name,
    pictures,
)
from napari_inter2former.evaluation.pairs import DatasetError, Pair

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

    import numpy as np
    from numpy.typing import NDArray

    Reader = Callable[[Path], NDArray[np.integer[Any]]]

__all__ = ["find", "match_files"]

ONE_OBJECT = (("im", "gt"), ("img", "gt"))
"""Folders of masks of one object, which is whatever isn't black, as others read them: DIS5K's (in
HQSeg-44K), and the 345 frames of DAVIS. Label maps in folders of these names are told from them."""


def find(folder: Path, split: str) -> list[Pair]:
    """List the pairs of ``images`` and ``labels``, or of folders with other usual names.

    Raises
    ------
    DatasetError
        When both folders are there, but no name is in both.
    """
    if not folder.is_dir():
        return []
    inside = {path.name.lower(): path for path in sorted(folder.iterdir()) if path.is_dir()}
    for images, labels in ONE_OBJECT:
        if images in inside and labels in inside:
            return match_files(inside[images], inside[labels], read_one_object)
    images_at = next((inside[name] for name in IMAGE_FOLDERS if name in inside), None)
    labels_at = next((inside[name] for name in LABEL_FOLDERS if name in inside), None)
    if images_at is None or labels_at is None:
        return []
    # images/val beside labels/val
    if (images_at / split).is_dir() and (labels_at / split).is_dir():
        images_at, labels_at = images_at / split, labels_at / split
    return match_files(images_at, labels_at)


def match_files(images: Path, labels: Path, reader: Reader = read_any_mask) -> list[Pair]:
    """Pair the images of one folder with the label maps of another one.

    An image and its labels share their name, apart from the endings ``_image`` or ``_img``, and
    ``_label``, ``_labels``, ``_mask``, ``_masks``, ``_cp_masks`` (Cellpose) or ``_seg``. Images
    without labels and labels without an image are ignored.

    Parameters
    ----------
    images, labels : pathlib.Path
        The folders.
    reader : callable
        Reads a label file.

    Raises
    ------
    DatasetError
        If a folder is missing, no image has labels, or two files claim one name.
    """
    for folder in (images, labels):
        if not folder.is_dir():
            raise DatasetError(f"{folder}: there is no such folder.")
    of_images = by_name(pictures(images), IMAGE_ENDINGS)
    of_labels = by_name(pictures(labels), LABEL_ENDINGS)
    names = sorted(of_images.keys() & of_labels.keys())
    if not names:
        raise DatasetError(
            f"No image in {images} has labels in {labels}. An image and its labels share their "
            "name, for example cells1.tif and cells1_labels.tif."
        )
    return [Pair(name, of_images[name], of_labels[name], reader) for name in names]
