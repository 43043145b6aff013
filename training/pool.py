"""Annotated images for training: pairs of an image and a label map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_inter2former.evaluation.datasets import (
    DatasetError,
    Pair,
    find_datasets,
    find_pairs,
)
from napari_inter2former.images import as_image_source

MIN_AREA = 24
"""Objects with fewer pixels are not trained on."""


class TrainingImage:
    """A pair of files whose pixels are read on first use and kept in memory.

    Parameters
    ----------
    pair : Pair
        The image file and the label file.
    """

    def __init__(self, pair: Pair) -> None:
        self.pair = pair

    @cached_property
    def _content(self) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        picture, labels = self.pair.read()
        source = as_image_source(picture.data, picture.channel_axis, picture.rgb)
        pixels = source.read(0, 0, *source.shape, 0)
        # Whatever numbers the file uses, ours are 1..n: they must fit float32 exactly.
        _, numbers = np.unique(labels, return_inverse=True)
        first = 0 if (labels == 0).any() else 1
        return (pixels * 255 + 0.5).astype(np.uint8), (
            numbers.reshape(labels.shape).astype(np.int32) + first
        )

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """The normalised image, (H, W, 3) in 0..255."""
        return self._content[0]

    @property
    def labels(self) -> NDArray[np.int32]:
        """The label map (H, W): 0 for background, objects from 1 on without gaps."""
        return self._content[1]

    @cached_property
    def objects(self) -> NDArray[np.float32]:
        """Objects as rows of (centre row, centre column, area), in pixels."""
        rows = []
        for label, box in enumerate(ndimage.find_objects(self.labels), start=1):
            inside = self.labels[box] == label
            area = int(inside.sum())
            if area >= MIN_AREA:
                row, column = (float(axis.mean()) for axis in inside.nonzero())
                rows.append((box[0].start + row, box[1].start + column, area))
        return np.array(rows, np.float32).reshape(-1, 3)


@dataclass(frozen=True)
class Dataset:
    """A named set of images that hold at least one object each."""

    name: str
    images: Sequence[TrainingImage]

    @property
    def objects(self) -> int:
        """Number of objects."""
        return sum(len(image.objects) for image in self.images)


def make_dataset(name: str, pairs: Sequence[Pair]) -> tuple[Dataset, list[str]]:
    """Read pairs, leaving out what can't be used.

    Parameters
    ----------
    name : str
        For messages and weights files.
    pairs : sequence of Pair
        The files.

    Returns
    -------
    dataset : Dataset
        The images that hold objects.
    skipped : list of str
        A line for every pair left out, naming it and saying why.

    Raises
    ------
    DatasetError
        If nothing is left.
    """
    images, skipped = [], []
    for pair in pairs:
        image = TrainingImage(pair)
        try:
            if len(image.objects):
                images.append(image)
            else:
                skipped.append(f"{pair.label}: no object of at least {MIN_AREA} pixels.")
        except (ValueError, OSError) as error:
            skipped.append(str(error))
    if not images:
        reasons = "\n".join(skipped[:5]) or "There are no pairs."
        raise DatasetError(f"The dataset {name!r} holds nothing to train on.\n{reasons}")
    return Dataset(name, images), skipped


def read_pool(folder: Path, split: str) -> tuple[list[Dataset], list[str]]:
    """Read every dataset ``folder/NAME/split`` of a pool; see `make_dataset`."""
    datasets, skipped = [], []
    for name, path in find_datasets(folder, split).items():
        dataset, left_out = make_dataset(name, find_pairs(path))
        datasets.append(dataset)
        skipped += left_out
    return datasets, skipped


def dataset_weights(
    datasets: Sequence[Dataset], emphasis: Mapping[str, float]
) -> NDArray[np.float64]:
    """Return sampling probabilities that favour large datasets, but only mildly.

    Proportional to (images x objects) ** 1/4, so that the largest of the pool, with half of all
    objects, gets about a quarter.

    Parameters
    ----------
    datasets : sequence of Dataset
        What is sampled from.
    emphasis : mapping
        Factors for some of the datasets, by name.
    """
    weights = np.array([len(d.images) * d.objects for d in datasets], float) ** 0.25
    weights *= [emphasis.get(d.name, 1.0) for d in datasets]
    return np.asarray(weights / weights.sum())
