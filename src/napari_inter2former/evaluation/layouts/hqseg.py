"""HQSeg-44K: six collections of photographs with one finely drawn object each (Ke et al., 2023).

The folders as they are published, and the split of SegNext (Liu et al., CVPR 2024, section 4):
44,320 images for training, 1,537 for validation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_inter2former.evaluation.layouts.masks import read_nonzero
from napari_inter2former.evaluation.layouts.names import pictures, stem_of
from napari_inter2former.evaluation.pairs import DatasetError, Pair

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["find"]

# Folder of the images (JPEG) and folder of the masks (PNG).
PARTS = {
    "train": {
        "DIS5K-TR": ("DIS5K/DIS-TR/im", "DIS5K/DIS-TR/gt"),
        "ThinObject5K-TR": (
            "thin_object_detection/ThinObject5K/images_train",
            "thin_object_detection/ThinObject5K/masks_train",
        ),
        "FSS": ("cascade_psp/fss_all", "cascade_psp/fss_all"),
        "DUTS-TR": ("cascade_psp/DUTS-TR", "cascade_psp/DUTS-TR"),
        "DUTS-TE": ("cascade_psp/DUTS-TE", "cascade_psp/DUTS-TE"),
        "ECSSD": ("cascade_psp/ecssd", "cascade_psp/ecssd"),
        "MSRA10K": ("cascade_psp/MSRA_10K", "cascade_psp/MSRA_10K"),
    },
    "val": {
        "DIS5K-VD": ("DIS5K/DIS-VD/im", "DIS5K/DIS-VD/gt"),
        "ThinObject5K-TE": (
            "thin_object_detection/ThinObject5K/images_test",
            "thin_object_detection/ThinObject5K/masks_test",
        ),
        "COIFT": ("thin_object_detection/COIFT/images", "thin_object_detection/COIFT/masks"),
        "HRSOD": ("thin_object_detection/HRSOD/images", "thin_object_detection/HRSOD/masks_max255"),
    },
}


def find(folder: Path, split: str) -> list[Pair]:
    """List the images of those parts of a split that are there.

    Raises
    ------
    DatasetError
        When it is HQSeg-44K, but has no such split.
    """
    present = {
        name: {part: (folder / i, folder / m) for part, (i, m) in parts.items()
               if (folder / i).is_dir() and (folder / m).is_dir()}
        for name, parts in PARTS.items()
    }  # fmt: skip
    if not any(present.values()):
        return []
    if not present.get(split):
        there = " and ".join(name for name, parts in present.items() if parts)
        raise DatasetError(f"{folder}: HQSeg-44K with the split {there}, but not {split!r}.")
    pairs = []
    for part, (images, masks) in present[split].items():
        found = {stem_of(path): path for path in pictures(masks) if path.suffix.lower() == ".png"}
        for path in pictures(images):
            if path.suffix.lower() != ".png" and stem_of(path) in found:
                name = f"{part}/{stem_of(path)}"
                pairs.append(Pair(name, path, found[stem_of(path)], read_nonzero))
    return pairs
