"""Annotated images for training: pairs of an image and a label map."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_inter2former._cache import BoundedCache
from napari_inter2former.evaluation.datasets import DatasetError, Pair, find_datasets
from napari_inter2former.images import as_image_source

MIN_AREA = 24
"""Objects with fewer pixels are not trained on."""

MEMORY_BYTES = 6 << 30
"""Pixels and labels kept in memory, by all datasets together."""

MOST_CHECKED = 3000
"""Of a larger dataset so many images are read before training begins; the others when drawn."""

Stamp = tuple[tuple[int, int], ...]
Content = tuple[NDArray[np.uint8], NDArray[np.int32]]

_memory: BoundedCache[tuple[Pair, Stamp], Content] = BoundedCache(MEMORY_BYTES)
_lock = threading.Lock()


class TrainingImage:
    """A pair of files whose pixels are read when they are used, and kept as memory allows.

    Parameters
    ----------
    pair : Pair
        The image file and the label file.
    """

    def __init__(self, pair: Pair) -> None:
        self.pair = pair

    @cached_property
    def _key(self) -> tuple[Pair, Stamp]:
        """Name what the files hold now: labels that are corrected later are read again."""
        files = (path.stat() for path in (self.pair.image, self.pair.label) if path.exists())
        return self.pair, tuple((file.st_mtime_ns, file.st_size) for file in files)

    @property
    def _content(self) -> Content:
        with _lock:
            content = _memory.get(self._key)
        if content is None:
            content = self._read()
            with _lock:
                _memory.put(self._key, content, sum(array.nbytes for array in content))
        return content

    def _read(self) -> Content:
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
        """Objects as rows of (row, column, area), in pixels: of each the pixel nearest its centre.

        The centre itself may lie between pieces that are far apart.
        """
        rows = []
        labels = self.labels
        for label, box in enumerate(ndimage.find_objects(labels), start=1):
            inside = labels[box] == label
            area = int(inside.sum())
            if area >= MIN_AREA:
                places = np.argwhere(inside)
                row, column = places[((places - places.mean(0)) ** 2).sum(1).argmin()]
                rows.append((box[0].start + row, box[1].start + column, area))
        return np.array(rows, np.float32).reshape(-1, 3)


class LazyImages(Sequence[TrainingImage]):
    """Images of which only some have been read; those that turn out unusable are replaced.

    Parameters
    ----------
    images : list of TrainingImage
        All of them. At least one must be usable.
    """

    def __init__(self, images: Sequence[TrainingImage]) -> None:
        self._images = list(images)
        self.skipped: list[str] = []

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: Any) -> Any:
        """Return the image there, or another one instead of one that can't be used.

        That one is named on the standard error stream, once, with the number of such images.
        """
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        while reason := unusable(self._images[index]):
            self.skipped.append(reason)
            print(f"left out ({len(self.skipped)} by now): {reason}", file=sys.stderr)
            last = self._images.pop()
            if not self._images:
                raise DatasetError(f"No image is left to train on. {reason}")
            if index < len(self._images):
                self._images[index] = last
            index %= len(self._images)
        return self._images[index]


@dataclass(frozen=True)
class Dataset:
    """A named set of images that hold at least one object each.

    Attributes
    ----------
    name : str
        For messages and weights files.
    images : sequence of TrainingImage
        The images.
    objects : int
        Number of objects in all; an estimate for large datasets.
    """

    name: str
    images: Sequence[TrainingImage]
    objects: int


def unusable(image: TrainingImage) -> str:
    """Return why an image can't be trained on, or nothing if it can."""
    try:
        if len(image.objects):
            return ""
    except (ValueError, OSError) as error:
        return str(error)
    return f"{image.pair.label}: no object of at least {MIN_AREA} pixels."


def make_dataset(name: str, pairs: Sequence[Pair]) -> tuple[Dataset, list[str]]:
    """Read pairs, leaving out what can't be used.

    Parameters
    ----------
    name : str
        For messages and weights files.
    pairs : sequence of Pair
        The files. Of more than `MOST_CHECKED` a part, spread over all, is read; the others when
        they are drawn.

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
    images = [TrainingImage(pair) for pair in pairs]
    step = -(-len(images) // MOST_CHECKED) or 1
    reasons = {image: unusable(image) for image in images[::step]}
    skipped = [reason for reason in reasons.values() if reason]
    usable = [image for image, reason in reasons.items() if not reason]
    if not usable:
        told = "\n".join(skipped[:5]) or "There are no pairs."
        raise DatasetError(f"The dataset {name!r} holds nothing to train on.\n{told}")
    objects = sum(len(image.objects) for image in usable)
    if step == 1:
        return Dataset(name, usable, objects), skipped
    left = [image for image in images if not reasons.get(image)]
    return Dataset(name, LazyImages(left), round(objects / len(usable) * len(left))), skipped


def read_pool(folder: Path, split: str) -> tuple[list[Dataset], list[str]]:
    """Read every dataset of a pool, such as ``folder/NAME/split``; see `make_dataset`."""
    datasets, skipped = [], []
    for name, source in find_datasets(folder, split).items():
        dataset, left_out = make_dataset(name, source.pairs)
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
