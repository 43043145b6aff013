"""Folders of images with instance labels, and the objects that are drawn from them.

A dataset is a folder with pairs ``ANY_image.EXT`` and ``ANY_label.EXT``. A folder of datasets
holds one such folder for each, either directly or split (``NAME/train``, ``NAME/val``).
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from napari_inter2former.errors import ImageError, Inter2FormerError
from napari_inter2former.evaluation.reading import Picture, read_labels, read_picture
from napari_inter2former.evaluation.regions import object_regions

if TYPE_CHECKING:
    from typing import Any

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["DatasetError", "Pair", "Selection", "find_datasets", "find_pairs", "select_objects"]

MIN_AREA = 64
"""Smaller objects (in pixels) are not evaluated."""


class DatasetError(Inter2FormerError, ValueError):
    """A dataset that cannot be used; the message names the folder or file and says why."""


class Pair(NamedTuple):
    """An image file and its label file.

    Attributes
    ----------
    name : str
        What both file names begin with.
    image, label : pathlib.Path
        The files.
    """

    name: str
    image: Path
    label: Path

    def read(self) -> tuple[Picture, NDArray[np.integer[Any]]]:
        """Read both files.

        Returns
        -------
        image : Picture
            The image.
        labels : ndarray of an integer type, shape (H, W)
            The labels, of the image's size.

        Raises
        ------
        ImageError
            When one of them cannot be read.
        DatasetError
            When their sizes differ.
        """
        labels = read_labels(self.label)
        picture = read_picture(self.image)
        if picture.shape != labels.shape:
            high, wide = picture.shape
            raise DatasetError(
                f"{self.label}: the labels have {labels.shape[0]} x {labels.shape[1]} pixels, "
                f"but the image {self.image.name} has {high} x {wide}. "
                "Image and labels must have the same size."
            )
        return picture, labels


@dataclass
class Selection:
    """The objects of a dataset that are evaluated.

    Attributes
    ----------
    objects : dict of Pair to list of int
        Object numbers for each image, in the order in which they are evaluated.
    skipped : list of str
        One line for every file that could not be read, naming it.
    """

    objects: dict[Pair, list[int]] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return sum(len(numbers) for numbers in self.objects.values())


def find_pairs(folder: str | Path) -> list[Pair]:
    """List the pairs of a folder, sorted by name.

    Parameters
    ----------
    folder : path-like
        A folder with files ``*_image.*`` and ``*_label.*``; other files are ignored.

    Returns
    -------
    list of Pair
        Empty when the folder has no such files.

    Raises
    ------
    DatasetError
        When an image has no labels, labels have no image, or two files claim the same name.
    """
    folder = Path(folder)
    images, labels = _by_name(folder, "_image"), _by_name(folder, "_label")
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


def find_datasets(root: str | Path, split: str = "val") -> dict[str, Path]:
    """Find the datasets in a folder.

    Parameters
    ----------
    root : path-like
        One dataset, split or not, or a folder of datasets.
    split : str
        The subfolder to use where a dataset is split. An unsplit dataset is used whole.

    Returns
    -------
    dict of str to pathlib.Path
        Name and folder of each dataset, sorted by name.

    Raises
    ------
    DatasetError
        When there is no dataset, or none with this split.
    """
    root = Path(root)
    if not root.is_dir():
        raise DatasetError(f"{root}: there is no such folder.")
    found = _dataset_folder(root, split)
    if found is not None:
        name = root.resolve().name
        return {root.resolve().parent.name if name == split else name: found}
    inside = {
        child.name: folder
        for child in sorted(root.iterdir())
        if child.is_dir() and (folder := _dataset_folder(child, split)) is not None
    }
    if not inside:
        raise DatasetError(
            f"{root}: no dataset found. A dataset is a folder with pairs of files "
            f"NAME_image.* and NAME_label.*, directly or in a subfolder {split!r}."
        )
    return inside


def select_objects(
    folder: str | Path, max_objects: int | None = None, seed: int = 0, min_area: int = MIN_AREA
) -> Selection:
    """Draw objects from a dataset, the same ones for the same seed.

    The objects are spread over the images: every image gives one before any gives a second.
    No more label files are read than that takes. Files that cannot be read are skipped and listed.

    Parameters
    ----------
    folder : path-like
        A folder of pairs.
    max_objects : int or None
        At most so many; None for all.
    seed : int
        Of the draw.
    min_area : int
        Smaller objects (in pixels) are left out.

    Returns
    -------
    Selection
        The objects, grouped by image.

    Raises
    ------
    DatasetError
        When the folder has no pairs, sizes differ within a pair, or there is no object.
    """
    pairs = find_pairs(folder)
    if not pairs:
        raise DatasetError(f"{folder}: there are no files NAME_image.* and NAME_label.* here.")
    if max_objects is not None and max_objects < 1:
        raise DatasetError(f"The number of objects must be at least 1, not {max_objects}.")
    draw = random.Random(seed)
    draw.shuffle(pairs)
    selection = Selection()
    offered: dict[Pair, list[int]] = {}
    for pair in pairs:
        if max_objects is not None and len(offered) >= max_objects:
            break
        try:
            _, labels = pair.read()
        except ImageError as error:
            selection.skipped.append(str(error))
            continue
        numbers = list(object_regions(labels, min_area))
        draw.shuffle(numbers)
        if numbers:
            offered[pair] = numbers
    if not offered:
        raise DatasetError(
            f"{folder}: no object of at least {min_area} pixels in {len(pairs)} label file(s)"
            + (
                f"; {len(selection.skipped)} could not be used, the first: {selection.skipped[0]}"
                if selection.skipped
                else "."
            )
        )
    quota = _shares([len(numbers) for numbers in offered.values()], max_objects)
    for (pair, numbers), share in zip(offered.items(), quota, strict=True):
        if share:
            selection.objects[pair] = numbers[:share]
    return selection


def _shares(available: list[int], total: int | None) -> list[int]:
    """Deal out `total` objects in rounds, one per image and round."""
    if total is None:
        return list(available)
    shares = [0] * len(available)
    left = min(total, sum(available))
    while left:
        for index, count in enumerate(available):
            if left and shares[index] < count:
                shares[index] += 1
                left -= 1
    return shares


def _by_name(folder: Path, ending: str) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if not path.stem.endswith(ending) or path.name.startswith(".") or not path.is_file():
            continue
        name = path.stem.removesuffix(ending)
        if name in found:
            raise DatasetError(f"{path}: {found[name].name} is there too; keep one of them.")
        found[name] = path
    return found


def _dataset_folder(folder: Path, split: str) -> Path | None:
    for candidate in (folder / split, folder):
        if candidate.is_dir() and any(_by_name(candidate, "_image")):
            return candidate
    return None
