"""Images and labels in one folder, told apart by the endings of their names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_inter2former.evaluation.layouts.masks import read_any_mask
from napari_inter2former.evaluation.layouts.names import (
    IMAGE_ENDINGS,
    LABEL_ENDINGS,
    by_name,
    ending_of,
    pictures,
)
from napari_inter2former.evaluation.pairs import DatasetError, Pair

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["find", "find_cellpose"]


def find(folder: Path, split: str) -> list[Pair]:
    """List pairs ``NAME_image.*`` and ``NAME_label.*``; other files are ignored.

    Raises
    ------
    DatasetError
        When an image has no labels, labels have no image, or two files claim the same name.
    """
    files = pictures(folder)
    images, labels = by_name(files, ["_image"]), by_name(files, ["_label"])
    if not images or (not labels and find_cellpose(folder, split)):
        return []
    for have, lack, kind, other in (
        (images, labels, "image", "label"),
        (labels, images, "label", "image"),
    ):
        alone = sorted(have.keys() - lack.keys())
        if alone:
            raise DatasetError(
                f"{have[alone[0]]}: this {kind} has no {other} file "
                f"({alone[0]}_{other}.*) beside it ({len(alone)} such file(s) in the folder)."
            )
    return [Pair(name, images[name], labels[name]) for name in sorted(images)]


def find_cellpose(folder: Path, split: str) -> list[Pair]:
    """List pairs such as ``NAME.tif`` and ``NAME_masks.tif``, as Cellpose keeps them.

    The image's name may end in ``_img`` or ``_image``; the labels' in ``_masks``, ``_cp_masks``,
    ``_mask``, ``_labels``, ``_label`` or ``_seg``. What has no partner is ignored: Cellpose puts
    other files beside its masks.
    """
    files = pictures(folder)
    endings = [ending for ending in LABEL_ENDINGS if ending]
    labels = by_name(files, endings)
    images = by_name((p for p in files if ending_of(p, endings) is None), IMAGE_ENDINGS)
    return [
        Pair(name, images[name], labels[name], read_any_mask)
        for name in sorted(images.keys() & labels.keys())
    ]
