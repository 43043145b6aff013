"""Random appearance of regions: colours, textures, rims, shading, halos, light, noise."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .fields import Field, smooth_noise, texture
from .shapes import LabelMap, depth, relative_depth

TEXTURES = 3
"""Textures per scene; each class of regions takes its own share of each."""


def paint(regions: LabelMap, classes: NDArray[np.intp], rng: np.random.Generator) -> Field:
    """Paint regions as a microscope might show them.

    Parameters
    ----------
    regions : ndarray
        int32 (side, side), every region with its own number.
    classes : ndarray
        Class of each region number; regions of a class look alike.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray
        float32 (side, side, 3), roughly in [0, 1].
    """
    side = len(regions)
    count = int(classes.max()) + 1
    coloured = rng.random() < 0.4
    deep = depth(regions)
    value = _textures(regions, classes, rng)
    if not coloured and rng.random() < 0.35:
        image = phase_contrast(regions, classes, deep, rng)
        value *= np.float32(rng.uniform(0, 0.6))
    else:
        image = np.take(_colours(classes, coloured, rng), regions, axis=0)
        value += _profile(regions, classes, deep, count, rng)
        if rng.random() < 0.5:  # soft borders
            image = _blur(image, np.exp(rng.uniform(np.log(0.5), np.log(side / 60))))
        kind = rng.random()
        if kind < 0.15:
            value += _halo(regions, classes, side, rng)
        elif kind < 0.25:
            value += _relief(value, deep, side, rng)
    if rng.random() < 0.85:
        value = value + _outline(image, value, regions, deep, rng)
    if coloured:
        image = image + value[..., None] * rng.uniform(0.5, 1.3, 3).astype(np.float32)
    else:
        image = image + value
    if rng.random() < 0.4:
        light = np.float32(1) + np.float32(rng.uniform(0, 0.3)) * smooth_noise(side, side / 2, rng)
        image = image * (light[..., None] if image.ndim == 3 else light)
    if rng.random() < 0.75:
        # Small objects are shown enlarged: then what is a pixel in the image is wide here.
        wide = float(np.percentile(deep[regions > 0], 90)) * 0.3
        image = _blur(image, np.exp(rng.uniform(np.log(0.5), np.log(max(side / 90, wide, 1)))))
    return image if coloured else np.repeat(image[..., None], 3, axis=2)


def _blur(image: Field, sigma: float) -> Field:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), float(sigma)), np.float32)


def _colours(classes: NDArray[np.intp], coloured: bool, rng: np.random.Generator) -> Field:
    """Return each region's colour (n, 3), or its grey value (n,)."""
    channels = 3 if coloured else 1
    count = int(classes.max()) + 1
    saturation = rng.uniform(0.1, 1)
    grey = rng.uniform(0, 1, (count, 1))
    base = grey + saturation * rng.uniform(-0.5, 0.5, (count, channels)) * coloured
    # How far each class is from the background: often hardly.
    apart = base[1:] - base[0]
    apart /= np.maximum(np.abs(apart).mean(1, keepdims=True), 0.05)
    base[1:] = base[0] + apart * rng.choice([0.05, 0.12, 0.25, 0.5], size=(count - 1, 1))
    jitter = rng.choice([0, 0.02, 0.06, 0.2], size=(count, 1))
    if rng.random() < 0.12:  # every object has a colour of its own
        jitter[:] = 0.35
    jitter[0] = 0
    n = len(classes)
    own = rng.standard_normal((n, 1)) + 0.4 * rng.standard_normal((n, channels)) * coloured
    colours = (base[classes] + jitter[classes] * own).astype(np.float32)
    return colours if coloured else np.ascontiguousarray(colours[:, 0])


def _textures(regions: LabelMap, classes: NDArray[np.intp], rng: np.random.Generator) -> Field:
    side = len(regions)
    count = int(classes.max()) + 1
    total = np.zeros((side, side), np.float32)
    clean = rng.random() < 0.4  # the background, as in fluorescence
    strength = rng.choice([0.3, 1, 1.6])
    for _ in range(TEXTURES):
        amount = rng.choice([0, 0, 0.03, 0.07, 0.15], size=count) * strength
        amount[0] *= not clean
        if amount.any():
            total += np.take(amount.astype(np.float32)[classes], regions) * texture(side, rng)
    fine = rng.choice([0, 0.01, 0.03, 0.08])
    if fine:
        total += np.float32(fine) * rng.standard_normal((side, side), dtype=np.float32)
    return total


def _profile(
    regions: LabelMap, classes: NDArray[np.intp], deep: Field, count: int, rng: np.random.Generator
) -> Field:
    """Rims along the borders, and domes or dips towards the middle, by class."""
    total = np.zeros_like(deep)
    if rng.random() < 0.55:
        rim = rng.choice([0, 0.1, 0.3, 0.6], size=count) * rng.choice([-1, 1])
        rim[0] *= rng.random() < 0.2
        width = np.float32(np.exp(rng.uniform(np.log(0.8), np.log(5))))
        edge = np.exp(-(((deep - 1) / width) ** 2))
        total += np.take(rim.astype(np.float32)[classes], regions) * edge
    if rng.random() < 0.45:
        dome = rng.uniform(-0.5, 0.5, count)
        dome[0] = 0
        shape = np.minimum(relative_depth(regions, deep), 1)
        if rng.random() < 0.5:
            shape = np.sqrt(shape)
        total += np.take(dome.astype(np.float32)[classes], regions) * shape
    return total


def _outline(
    image: Field, value: Field, regions: LabelMap, deep: Field, rng: np.random.Generator
) -> Field | float:
    """Return outlines where borders would be lost in the texture, else nothing."""
    seen = _blur((image.mean(2) if image.ndim == 3 else image) + value, 1.0)
    slope = np.abs(cv2.Sobel(seen, cv2.CV_32F, 1, 0)) + np.abs(cv2.Sobel(seen, cv2.CV_32F, 0, 1))
    border = deep <= 1
    touching = border & (cv2.erode((regions > 0).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0)
    least = np.float32(1.3) * slope.mean()
    if all(slope[x].mean() > least for x in (border, touching) if np.count_nonzero(x) > 20):
        return 0.0
    width = np.float32(np.exp(rng.uniform(np.log(0.8), np.log(3))))
    strength = np.float32((2.5 * seen.std() + 0.05) * rng.choice([-1, 1]))
    return np.asarray(strength * np.exp(-(((deep - 1) / width) ** 2)), np.float32)


def phase_contrast(
    regions: LabelMap, classes: NDArray[np.intp], deep: Field, rng: np.random.Generator
) -> Field:
    """Return how much thicker each place is than what lies round it, as phase contrast shows it.

    Cells are dark and have bright halos, or the reverse. Where many lie side by side, as in a
    colony, all is grey and bright lines part them; those at its border are dark.

    Parameters
    ----------
    regions, classes, rng
        As for `paint`.
    deep : ndarray
        `depth` of the regions.

    Returns
    -------
    ndarray
        float32 (side, side), about 0 far from all regions.
    """
    half = np.zeros(len(classes), np.float32)
    np.maximum.at(half, regions, deep)
    steep = np.float32(np.exp(rng.uniform(np.log(0.25), np.log(1.5))))
    amount = rng.uniform(0.4, 1, int(classes.max()) + 1)[classes]
    amount *= rng.uniform(0.8, 1.2, len(classes)) * (classes > 0)
    thickness = np.take(amount.astype(np.float32), regions)
    thickness *= (deep / half[regions]) ** steep
    usual = float(np.percentile(deep[regions > 0], 90))
    around = _blur(thickness, usual * np.exp(rng.uniform(np.log(0.5), np.log(6))))
    dark = np.float32(rng.choice([-1, 1], p=[0.25, 0.75]))
    return np.asarray(dark * (np.float32(rng.uniform(0.7, 1.5)) * around - thickness), np.float32)


def _halo(
    regions: LabelMap, classes: NDArray[np.intp], side: int, rng: np.random.Generator
) -> Field:
    """Bright or dark halos around objects, as in phase contrast."""
    inside = np.take((classes > 0).astype(np.float32), regions)
    width = float(np.exp(rng.uniform(np.log(1.5), np.log(side / 20))))
    around = _blur(inside, width) - inside
    return around * np.float32(rng.uniform(0.3, 1.2) * rng.choice([-1, 1], p=[0.25, 0.75]))


def _relief(value: Field, deep: Field, side: int, rng: np.random.Generator) -> Field:
    """Shade as if lit from one side: DIC, scanning electron microscopy."""
    height = _blur(np.minimum(deep, side / 10), rng.uniform(0.7, 3)) + 4 * value
    angle = rng.uniform(0, 2 * np.pi)
    slope = cv2.Sobel(height, cv2.CV_32F, 1, 0) * np.cos(angle)
    slope += cv2.Sobel(height, cv2.CV_32F, 0, 1) * np.sin(angle)
    return np.asarray(np.tanh(slope / 6) * np.float32(rng.uniform(0.15, 0.6)), np.float32)
