"""What is asked for in a crop: objects mostly, now and then more, less or nothing of one.

Groups, pieces and background look like no object: the clicks alone say what is meant. So they do,
after the first, of where a border lies, which annotators of different data draw differently.
"""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from napari_inter2former.training.clicks import depth
from napari_inter2former.training.synthetic import smooth_noise

MIN_VISIBLE = 48
"""Targets with fewer pixels inside a crop are not asked for."""

Mask = NDArray[np.bool_]


class Shares(Protocol):
    """The part of `SamplingOptions` that matters here."""

    @property
    def objects(self) -> int: ...  # noqa: D102
    @property
    def whole(self) -> float: ...  # noqa: D102
    @property
    def union(self) -> float: ...  # noqa: D102
    @property
    def parts(self) -> float: ...  # noqa: D102
    @property
    def background(self) -> float: ...  # noqa: D102


def draw_targets(
    pixels: NDArray[np.uint8],
    labels: NDArray[np.int32],
    shares: Shares,
    rng: np.random.Generator,
    least: float = 0,
) -> Mask | None:
    """Choose what is asked for in a crop.

    Parameters
    ----------
    pixels : ndarray
        uint8 (H, W, 3).
    labels : ndarray
        int32 (H, W), 0 for background, -1 for what can't be a target.
    shares : SamplingOptions
        Number of targets and shares of their kinds.
    rng : numpy.random.Generator
        Source of randomness.
    least : float
        Objects of at least this size (square root of the area, in pixels) are asked for where
        there are any.

    Returns
    -------
    ndarray
        bool (K, H, W), not all of them different, each target with at least `MIN_VISIBLE` pixels;
        None if no object has.
    """
    visible, counts = np.unique(labels, return_counts=True)
    seen = (visible > 0) & (counts >= MIN_VISIBLE)
    visible, counts = visible[seen], counts[seen]
    if not len(visible):
        return None
    if rng.random() < shares.whole:
        rim = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
        whole = ~np.isin(visible, rim)
        for fit in (whole & (counts >= least**2), whole):
            if fit.any():
                visible = visible[fit]
                break
    chosen = rng.permutation(visible)[: shares.objects]
    if len(chosen) < shares.objects:
        chosen = np.concatenate([chosen, rng.choice(visible, shares.objects - len(chosen))])
    targets = labels == chosen[:, None, None]
    for target in targets:
        kind = rng.random()
        if kind < shares.union:
            target |= group(labels, target)
        elif kind < shares.union + shares.parts:
            target[:] = piece(pixels, target, rng)
        elif kind < shares.union + shares.parts + shares.background:
            between = gap(labels, rng)
            if between is not None:
                target[:] = between
    return np.asarray(targets)


def group(labels: NDArray[np.int32], target: Mask) -> Mask:
    """Return an object with all that touch it, or nearly do."""
    reach = cv2.dilate(target.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    return np.isin(labels, np.unique(labels[reach & (labels > 0)]))


def gap(labels: NDArray[np.int32], rng: np.random.Generator) -> Mask | None:
    """Return a connected region of background at random, None where there is none."""
    count, regions, stats, _ = cv2.connectedComponentsWithStats((labels == 0).astype(np.uint8))
    areas = stats[1:count, cv2.CC_STAT_AREA]
    fit = np.flatnonzero((areas >= MIN_VISIBLE) & (areas < 0.7 * labels.size)) + 1
    return np.asarray(regions == rng.choice(fit)) if len(fit) else None


def with_other_borders(
    targets: NDArray[np.bool_], labels: NDArray[np.int32], share: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Return targets of which some are `redrawn`.

    Parameters
    ----------
    targets : ndarray
        bool (B * K, H, W), K for each crop.
    labels : ndarray
        int32 (B, H, W), each crop's objects.
    share : float
        Probability of each target to be redrawn.
    rng : numpy.random.Generator
        Source of randomness.
    """
    result = targets.copy()
    each = len(targets) // len(labels)
    for i in np.flatnonzero(rng.random(len(targets)) < share):
        result[i] = redrawn(labels[i // each], targets[i], rng)
    return result


def redrawn(labels: NDArray[np.int32], target: Mask, rng: np.random.Generator) -> Mask:
    """Return an object with its border further in or out, as other annotators would draw it.

    By up to a tenth of its size; never into other objects, and never most of it away.
    """
    far = rng.uniform(1, max(0.1 * np.sqrt(np.count_nonzero(target)), 1.5))
    if rng.random() < 0.5:
        near = cv2.distanceTransform((~target).astype(np.uint8), cv2.DIST_L2, 5) <= far
        return np.asarray(target | (near & (labels <= 0)))
    # The crop's rim is no border of the object.
    inner = cv2.distanceTransform(target.astype(np.uint8), cv2.DIST_L2, 5) > far
    kept = np.count_nonzero(inner)
    return inner if kept >= max(MIN_VISIBLE, np.count_nonzero(target) / 2) else target


def piece(pixels: NDArray[np.uint8], target: Mask, rng: np.random.Generator) -> Mask:
    """Return a piece of an object, cut by its appearance, by its shape or by a smooth line.

    The whole object where no piece is large enough.
    """
    rows, columns = np.flatnonzero(target.any(1)), np.flatnonzero(target.any(0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    inside = target[box]
    way = (_by_appearance, _by_shape, _by_line)[rng.choice(3, p=[0.4, 0.2, 0.4])]
    kept = inside & way(pixels[box], inside, rng)
    if rng.random() < 0.5:
        kept = inside & ~kept
    count, regions, stats, _ = cv2.connectedComponentsWithStats(kept.astype(np.uint8))
    result = target.copy()
    if count > 1:
        largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
        area = stats[largest, cv2.CC_STAT_AREA]
        if MIN_VISIBLE <= area < 0.85 * np.count_nonzero(inside):
            result[box] = regions == largest
    return result


def _by_appearance(pixels: NDArray[np.uint8], inside: Mask, rng: np.random.Generator) -> Mask:
    """Cut at a brightness between the object's dark and bright parts (Otsu's threshold)."""
    sigma = 0.03 * max(inside.shape) + 1
    channel = np.ascontiguousarray(pixels[..., int(rng.integers(3))])
    smooth = cv2.GaussianBlur(channel, (0, 0), sigma)
    threshold, _ = cv2.threshold(smooth[inside], 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    return np.asarray(smooth > threshold)


def _by_shape(pixels: NDArray[np.uint8], inside: Mask, rng: np.random.Generator) -> Mask:
    """Cut off what is narrow, like an arm or a neck."""
    deep = depth(inside)
    core = (deep > rng.uniform(0.4, 0.9) * deep.max()).astype(np.uint8)
    reach = 2 * int(np.ceil(deep[core > 0].min())) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    return np.asarray(cv2.dilate(core, disc) > 0)


def _by_line(pixels: NDArray[np.uint8], inside: Mask, rng: np.random.Generator) -> Mask:
    """Cut along a bent line at a random place."""
    height, width = inside.shape
    side = max(height, width)
    rows, columns = np.ogrid[:height, :width]
    angle = rng.uniform(0, 2 * np.pi)
    across = rows * np.sin(angle) + columns * np.cos(angle)
    across = across + 0.1 * side * smooth_noise(side, side / 3, rng)[:height, :width]
    return np.asarray(across > np.quantile(across[inside], rng.uniform(0.2, 0.8)))
