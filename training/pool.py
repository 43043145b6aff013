"""Annotated images for training: pairs of an image and a label map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_inter2former.images import as_image_source, read_image

MIN_AREA = 24
"""Objects with fewer pixels are not trained on."""


@dataclass(frozen=True)
class Pair:
    """An image file and its label file.

    The pixels are read on first use and kept, 8 bits per channel, normalised.
    """

    image_path: Path
    label_path: Path

    @cached_property
    def image(self) -> NDArray[np.uint8]:
        """The normalised image, (H, W, 3) in 0..255."""
        source = as_image_source(read_image(self.image_path))
        pixels = source.read(0, 0, *source.shape, 0)
        return np.asarray(pixels * 255 + 0.5).astype(np.uint8)

    @cached_property
    def labels(self) -> NDArray[np.int32]:
        """The label map (H, W), 0 for background."""
        labels = read_image(self.label_path)
        if labels.ndim != 2 or labels.dtype.kind not in "bui":
            raise ValueError(
                f"{self.label_path} holds {labels.dtype} values of shape {labels.shape}; a label "
                "map is two-dimensional and holds whole numbers."
            )
        if labels.shape != self.image.shape[:2]:
            raise ValueError(
                f"{self.label_path} is {labels.shape[0]} x {labels.shape[1]} pixels, its image "
                f"{self.image.shape[0]} x {self.image.shape[1]}; a pair must agree."
            )
        return labels.astype(np.int32)

    @cached_property
    def objects(self) -> NDArray[np.float32]:
        """Objects as rows of (label, centre row, centre column, area)."""
        labels = self.labels
        rows = []
        for label, box in enumerate(ndimage.find_objects(labels), start=1):
            if box is None:
                continue
            inside = labels[box] == label
            area = int(inside.sum())
            if area >= MIN_AREA:
                r, c = (axis.mean() for axis in inside.nonzero())
                rows.append((label, box[0].start + r, box[1].start + c, area))
        return np.array(rows, np.float32).reshape(-1, 4)


@dataclass(frozen=True)
class Dataset:
    """A named set of pairs."""

    name: str
    pairs: Sequence[Pair]


def read_dataset(folder: Path, name: str) -> Dataset:
    """Find the pairs ``*_image.*`` and ``*_label.*`` of a folder.

    Raises
    ------
    FileNotFoundError
        If there is no pair.
    """
    pairs = []
    for image in sorted(folder.glob("*_image.*")):
        labels = sorted(folder.glob(image.name.rsplit("_image.", 1)[0] + "_label.*"))
        if labels:
            pairs.append(Pair(image, labels[0]))
    if not pairs:
        raise FileNotFoundError(
            f"{folder} holds no pairs of files named NAME_image.* and NAME_label.*."
        )
    return Dataset(name, pairs)


def read_pool(folder: Path, split: str) -> list[Dataset]:
    """Read every dataset ``folder/NAME/split`` of a pool."""
    found = [
        read_dataset(child / split, child.name)
        for child in sorted(folder.iterdir())
        if (child / split).is_dir()
    ]
    if not found:
        raise FileNotFoundError(f"{folder} holds no dataset with a folder called {split!r}.")
    return found


def dataset_weights(datasets: Sequence[Dataset]) -> NDArray[np.float64]:
    """Return sampling probabilities that favour large datasets, but only mildly.

    Proportional to (images x objects) ** 1/4, so that the largest, with half of all objects,
    gets about a quarter.
    """
    sizes = [len(d.pairs) * sum(len(pair.objects) for pair in d.pairs) for d in datasets]
    weights = np.array(sizes, float) ** 0.25
    return np.asarray(weights / weights.sum())

