"""Folders of images with instance labels, and the objects that are drawn from them.

A dataset is a folder in one of the layouts of `layouts`, first of all pairs ``ANY_image.EXT`` and
``ANY_label.EXT``. A folder of datasets holds one such folder for each, either directly or split
(``NAME/train``, ``NAME/val``).
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

from napari_inter2former.errors import ImageError
from napari_inter2former.evaluation.layouts import LAYOUTS, Source, recognise
from napari_inter2former.evaluation.pairs import DatasetError, Pair
from napari_inter2former.evaluation.regions import object_regions

__all__ = ["DatasetError", "Pair", "Selection", "find_datasets", "find_pairs", "select_objects"]

MIN_AREA = 64
"""Smaller objects (in pixels) are not evaluated."""
SPLITS = frozenset(("train", "training", "val", "validation", "test"))
"""A folder of one of these names is a part of a dataset, not a dataset among others."""


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


def find_pairs(folder: str | Path, split: str = "val") -> list[Pair]:
    """List the pairs of one dataset, sorted by name.

    Parameters
    ----------
    folder : path-like
        A folder in any of the layouts, or a COCO file.
    split : str
        Which part to take, where the layout has parts.

    Returns
    -------
    list of Pair
        Empty when the folder is in none of the layouts.

    Raises
    ------
    DatasetError
        When files are missing, say an image's labels, or two files claim the same name.
    """
    source = recognise(Path(folder), split)
    return source.pairs if source else []


def find_datasets(root: str | Path, split: str = "val") -> dict[str, Source]:
    """Find the datasets in a folder.

    Parameters
    ----------
    root : path-like
        One dataset, split or not, or a folder of datasets. A COCO file is a dataset too.
    split : str
        The subfolder or part to use where a dataset is split. An unsplit dataset is used whole.

    Returns
    -------
    dict of str to Source
        Folder, layout and pairs of each dataset by its name, sorted by name.

    Raises
    ------
    DatasetError
        When there is no dataset, or none with this split.
    """
    root = Path(root)
    if not root.exists():
        raise DatasetError(f"{root}: there is no such folder.")
    found = _dataset_in(root, split)
    if found is not None:
        place = root.resolve()
        return {place.parent.name if place.name == split else place.stem: found}
    inside = {
        child.name: source
        for child in (sorted(root.iterdir()) if root.is_dir() else ())
        if child.is_dir() and (source := _dataset_in(child, split)) is not None
    }
    parts = sorted(SPLITS.intersection(inside))
    if parts:
        raise DatasetError(
            f"{root}: a dataset in parts ({', '.join(parts)}), none of which is called {split!r}. "
            "Choose one of them by its name, or give the folder of one."
        )
    if not inside:
        raise DatasetError(
            f"{root}: no dataset found. A dataset is a folder with pairs of files "
            f"NAME_image.* and NAME_label.*, directly or in a subfolder {split!r}; or another of "
            f"the layouts known: {'; '.join(list(LAYOUTS)[1:])}."
        )
    return inside


def select_objects(
    source: str | Path | Source,
    max_objects: int | None = None,
    seed: int = 0,
    min_area: int = MIN_AREA,
) -> Selection:
    """Draw objects from a dataset, the same ones for the same seed.

    The objects are spread over the images: every image gives one before any gives a second.
    No more label files are read than that takes. Files that cannot be read are skipped and listed.

    Parameters
    ----------
    source : path-like or Source
        A dataset.
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
    folder, pairs = (
        (source.folder, list(source.pairs))
        if isinstance(source, Source)
        else (source, find_pairs(source))
    )
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


def _dataset_in(folder: Path, split: str) -> Source | None:
    if (folder / split).is_dir():
        found = recognise(folder / split, split)
        if found is not None:
            return found
    return recognise(folder, split)
