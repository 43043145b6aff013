"""Training samples: crops at a random scale, real or synthetic, each with several objects."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_inter2former.evaluation.pairs import DatasetError
from napari_inter2former.training.augmentation import augment
from napari_inter2former.training.pool import Dataset, TrainingImage, dataset_weights
from napari_inter2former.training.synthetic import displacement, draw_scene, draw_superpixels
from napari_inter2former.training.targets import draw_targets

MOST_FAILURES = 500
"""So many crops in a row that show no object don't come about by chance."""

Crop: TypeAlias = tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.int32]]


@dataclass(frozen=True)
class SamplingOptions:
    """How crops are drawn.

    Parameters
    ----------
    side : int
        Side of a crop in pixels; a multiple of 32.
    large : float
        Share of batches with larger crops, mostly of about the predictor's windows and up to
        twice the side: fewer crops, and larger objects in proportion.
    crops, objects : int
        Crops per batch, and objects per crop.
    smallest, largest : float
        Range of the size (square root of the area) that the crop's main object is scaled to, in
        pixels; log-uniform.
    usual, small : float
        The predictor looks once at objects that are smaller, to find the zoom, and then at larger
        ones: only this share of crops has a main object below the usual size, in pixels.
    whole : float
        Share of crops in which neither objects that the crop cuts nor (in those of a usual size)
        small ones are asked for while there are others, once or again: so the predictor's windows
        show objects.
    union, parts, background : float
        Shares of targets that are a whole group of neighbouring objects, a piece of an object, and
        background between objects.
    synthetic : float
        Share of crops that are synthetic scenes.
    elastic : float
        Share of real crops that are deformed elastically.
    superpixels : float
        Share of the other crops whose targets are superpixels. Their `labels` stay those of the
        real objects, which is what the auxiliary task learns.
    """

    side: int = 192
    large: float = 0.3
    crops: int = 6
    objects: int = 3
    smallest: float = 20.0
    largest: float = 100.0
    usual: float = 36.0
    small: float = 0.25
    whole: float = 0.8
    union: float = 0.05
    parts: float = 0.04
    background: float = 0.03
    synthetic: float = 0.15
    elastic: float = 0.15
    superpixels: float = 0.05

    def __post_init__(self) -> None:
        check_side(self.side)


def check_side(side: int) -> None:
    """Refuse sides of crops, in pixels, that the network has no whole windows for."""
    if side % 32:
        raise DatasetError(f"--side must be a multiple of 32, not {side}.")


@dataclass(frozen=True)
class Batch:
    """A batch of crops.

    Attributes
    ----------
    images : Tensor
        float32 (B, H, W, 3) in [0, 1].
    targets : Tensor
        bool (B * K, H, W), the first crop's K objects, then the second's, and so on.
    labels : Tensor
        int32 (B, H, W), all objects of each crop.
    """

    images: Tensor
    targets: Tensor
    labels: Tensor


def draw_crop(
    image: TrainingImage, options: SamplingOptions, rng: np.random.Generator
) -> Crop | None:
    """Draw one crop around one of an image's objects.

    Returns
    -------
    image : ndarray
        float32 (side, side, 3) in [0, 1].
    targets : ndarray
        bool (K, side, side).
    labels : ndarray
        int32 (side, side), all objects.

    None if no object is visible well enough.
    """
    row, column, area = image.objects[rng.integers(len(image.objects))]
    smallest = draw_smallest(options, rng)
    size = np.exp(rng.uniform(np.log(smallest), np.log(options.largest)))
    zoom = np.clip(size / np.sqrt(area), 1 / 16, 8)
    side = options.side
    # From crop to image: centre, turn, flip, scale, some stretch, move.
    angle = rng.integers(4) * np.pi / 2 if rng.random() < 0.5 else rng.uniform(0, 2 * np.pi)
    stretch = np.exp(np.clip(rng.normal(0, 0.2), -0.5, 0.5))
    scale = np.diag([stretch, 1 / stretch]) / zoom
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = turn @ scale @ np.diag([rng.choice([-1, 1]), 1])
    reach = np.clip((side - 1.3 * size) / 2, 0.05 * side, 0.3 * side)  # mostly without a cut
    centre = side / 2 - 0.5 + rng.uniform(-reach, reach, 2)
    matrix = np.column_stack([linear, np.array([column, row]) - linear @ centre])

    source: NDArray[Any] = image.pixels
    if zoom < 0.7:  # averaging before sampling, against aliasing
        factor = min(1 / zoom, max(source.shape[:2]))
        shape = (max(round(source.shape[1] / factor), 1), max(round(source.shape[0] / factor), 1))
        source = cv2.resize(source, shape, interpolation=cv2.INTER_AREA)
        shrink = np.array(shape) / image.pixels.shape[1::-1]
        moved = matrix.copy()
        moved[:, 2] += 0.5
        moved = shrink[:, None] * moved
        moved[:, 2] -= 0.5
    else:
        moved = matrix
    bend = None
    if rng.random() < options.elastic:
        bend = displacement(side, rng.uniform(0.03, 0.15), rng)
    pixels = warp(source, moved, side, bend, cv2.INTER_LINEAR, 0)
    labels = warp(image.labels, matrix, side, bend, cv2.INTER_NEAREST, -1).astype(np.int32)
    outside = labels < 0
    objects = labels
    if rng.random() < options.superpixels:
        objects = superpixel_objects(pixels, outside, rng)
    return finish(pixels, objects, np.where(outside, 0, labels), options, rng, smallest)


def draw_smallest(options: SamplingOptions, rng: np.random.Generator) -> float:
    """Draw the least size that a crop's main object is to have."""
    if rng.random() < options.small:
        return options.smallest
    return max(options.smallest, min(options.usual, options.largest))


def warp(
    source: NDArray[Any],
    matrix: NDArray[np.float64],
    side: int,
    bend: tuple[NDArray[np.float32], NDArray[np.float32]] | None,
    way: int,
    outside: float,
) -> NDArray[Any]:
    """Return a square of `source`: `matrix` leads from its bent pixels to those of the source."""
    ends = [(0, side - 1)] * 2 if bend is None else [(x.min(), x.max()) for x in bend]
    corners = matrix @ np.array([[x, y, 1] for x in ends[0] for y in ends[1]]).T
    # Only what is needed: OpenCV takes no source of 32,767 pixels, and labels become floats.
    limits = source.shape[1::-1]
    first = np.clip(np.floor(corners.min(1)).astype(int) - 2, 0, np.subtract(limits, 1))
    last = np.clip(np.ceil(corners.max(1)).astype(int) + 3, first + 1, limits)
    source = source[first[1] : last[1], first[0] : last[0]]
    if source.dtype == np.int32:
        source = source.astype(np.float32)
    matrix = matrix - np.column_stack([np.zeros((2, 2)), first])
    if bend is None:
        flags = cv2.WARP_INVERSE_MAP | way
        size = (side, side)
        return cv2.warpAffine(source, matrix, size, flags=flags, borderValue=[outside] * 3)
    (a, b, c), (d, e, f) = matrix.astype(np.float32)
    columns, rows = bend
    place = (a * columns + b * rows + c, d * columns + e * rows + f)
    return cv2.remap(source, *place, way, borderValue=[outside] * 3)


def draw_synthetic(options: SamplingOptions, rng: np.random.Generator) -> Crop | None:
    """Draw a synthetic crop; see `draw_crop`."""
    pixels, labels = draw_scene(options.side, rng)
    return finish(pixels, labels, labels, options, rng, draw_smallest(options, rng))


def superpixel_objects(
    pixels: NDArray[np.uint8], outside: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.int32]:
    """Return superpixels without those that lie outside the image or are most of the crop."""
    regions = draw_superpixels(pixels, rng)
    sizes = np.bincount(regions.ravel())
    beyond = np.bincount(regions.ravel(), outside.ravel())
    unfit = (beyond > sizes / 2) | (sizes > 0.6 * regions.size)
    return np.asarray(np.where(unfit[regions], 0, regions), np.int32)


def finish(
    pixels: NDArray[np.uint8],
    objects: NDArray[np.int32],
    labels: NDArray[np.int32],
    options: SamplingOptions,
    rng: np.random.Generator,
    smallest: float,
) -> Crop | None:
    """Choose a crop's targets among `objects` (-1 outside the image), and change its appearance."""
    # A little less, as what others cover of an object, or the crop's stretching, takes away.
    targets = draw_targets(pixels, objects, options, rng, 0.9 * smallest)
    if targets is None:
        return None
    return augment(np.asarray(pixels, np.float32) / np.float32(255), rng), targets, labels


def enlarged(options: SamplingOptions, rng: np.random.Generator) -> SamplingOptions:
    """Draw the crops' side; the number of crops keeps the pixels per batch about the same."""
    if rng.random() >= options.large:
        return options
    steps = options.side // 32
    side = 32 * int(rng.integers(steps + 1, (2 * steps if rng.random() < 0.3 else steps + 2) + 1))
    factor = side / options.side
    crops = max(1, round(options.crops / factor**2))
    return replace(options, side=side, crops=crops, largest=options.largest * factor)


def batches(
    datasets: Sequence[Dataset],
    options: SamplingOptions,
    rng: np.random.Generator,
    shapes: np.random.Generator,
    emphasis: Mapping[str, float] | None = None,
) -> Iterator[Batch]:
    """Draw batches without end: a dataset, one of its images, one of its objects.

    The crops' side comes from `shapes`, which all processes seed alike, so that their batches
    are of one size. `emphasis` is that of `dataset_weights`.
    """
    weights = dataset_weights(datasets, emphasis or {})
    failures = 0
    while True:
        batch = enlarged(options, shapes)
        crops: list[Crop] = []
        while len(crops) < batch.crops:
            if failures == MOST_FAILURES:
                raise DatasetError(
                    f"{failures} crops in a row show no object well enough to be learned. Are the "
                    "labels objects of connected pixels?"
                )
            if rng.random() < options.synthetic:
                crop = draw_synthetic(batch, rng)
            else:
                dataset = datasets[rng.choice(len(datasets), p=weights)]
                image = dataset.images[int(rng.integers(len(dataset.images)))]
                crop = draw_crop(image, batch, rng)
            if crop is None:
                failures += 1
                continue
            failures = 0
            crops.append(crop)
        images, targets, labels = zip(*crops, strict=True)
        yield Batch(
            torch.from_numpy(np.stack(images)),
            torch.from_numpy(np.concatenate(targets)),
            torch.from_numpy(np.stack(labels)),
        )


def prefetch(source: Iterator[Batch], depth: int = 2) -> Iterator[Batch]:
    """Draw batches in a thread of its own, so that they are ready when they are needed."""
    with ThreadPoolExecutor(1, "batches") as thread:
        ready = deque(thread.submit(next, source) for _ in range(depth))
        try:
            while True:
                ready.append(thread.submit(next, source))
                yield ready.popleft().result()
        finally:
            for batch in ready:
                batch.cancel()
