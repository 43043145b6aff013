"""Changes of appearance that microscopes, cameras and file formats make."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]


def augment(image: Image, rng: np.random.Generator) -> Image:
    """Change an image's appearance at random, not its geometry.

    Parameters
    ----------
    image : ndarray
        float32 (H, W, 3) in [0, 1].
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray
        float32 (H, W, 3) in [0, 1].
    """
    for change, probability in _CHANGES:
        if rng.random() < probability:
            image = change(image, rng)
    return np.asarray(np.clip(image, 0, 1), np.float32)


def grey(image: Image, rng: np.random.Generator) -> Image:
    """Mix the channels into one, with random weights."""
    weights = rng.dirichlet(np.ones(3)).astype(np.float32)
    return np.repeat((image @ weights)[..., None], 3, axis=2)


def mix_channels(image: Image, rng: np.random.Generator) -> Image:
    """Shuffle the channels and scale each."""
    return image[..., rng.permutation(3)] * rng.uniform(0.6, 1.1, 3).astype(np.float32)


def drop_channels(image: Image, rng: np.random.Generator) -> Image:
    """Leave one or two of the channels."""
    keep = np.zeros(3, np.float32)
    keep[rng.permutation(3)[: rng.integers(1, 3)]] = 1
    return image * keep


def invert(image: Image, rng: np.random.Generator) -> Image:
    """Swap dark and bright."""
    return 1 - image


def gamma(image: Image, rng: np.random.Generator) -> Image:
    """Bend the intensity scale."""
    return np.asarray(np.clip(image, 0, 1) ** np.float32(np.exp(rng.uniform(-0.8, 0.8))))


def contrast(image: Image, rng: np.random.Generator) -> Image:
    """Stretch or squeeze the intensity scale."""
    low, high = rng.uniform(-0.2, 0.3), rng.uniform(0.6, 1.4)
    return image * np.float32(high - low) + np.float32(low)


def illuminate(image: Image, rng: np.random.Generator) -> Image:
    """Lay a smooth gradient of light over the image."""
    grid = rng.uniform(0.5, 1.3, (3, 3)).astype(np.float32)
    return image * cv2.resize(grid, image.shape[1::-1], interpolation=cv2.INTER_CUBIC)[..., None]


def blur(image: Image, rng: np.random.Generator) -> Image:
    """Blur as by diffraction."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 2.0)), np.float32)


def defocus(image: Image, rng: np.random.Generator) -> Image:
    """Blur as out of focus, over a disc; or as in motion, along a line."""
    radius = rng.uniform(1, 4)
    reach = int(np.ceil(radius))
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    away = np.hypot(rows, columns)
    if rng.random() < 0.3:
        angle = rng.uniform(0, np.pi)
        away = np.maximum(away, np.abs(rows * np.sin(angle) + columns * np.cos(angle)) * radius)
    kernel = np.clip(radius + 0.5 - away, 0, 1).astype(np.float32)
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()), np.float32)


def sharpen(image: Image, rng: np.random.Generator) -> Image:
    """Raise what is fine over what is coarse, which leaves halos."""
    coarse = cv2.GaussianBlur(image, (0, 0), rng.uniform(1, 6))
    return np.asarray(image + np.float32(rng.uniform(0.3, 1.5)) * (image - coarse))


def coarsen(image: Image, rng: np.random.Generator) -> Image:
    """Lose resolution."""
    height, width = image.shape[:2]
    factor = rng.uniform(1.3, 3.5)
    small = (max(int(width / factor), 1), max(int(height / factor), 1))
    shrunk = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_LINEAR))


def noise(image: Image, rng: np.random.Generator) -> Image:
    """Add camera noise, the same in all channels or not."""
    shape = (*image.shape[:2], 1 if rng.random() < 0.5 else 3)
    strength = np.float32(rng.uniform(0.01, 0.12))
    return image + strength * rng.standard_normal(shape, dtype=np.float32)


def poisson(image: Image, rng: np.random.Generator) -> Image:
    """Count few photons.

    Normal noise of the square root, squared and rounded, which is Poisson's in all that can be
    seen and takes a tenth of the time.
    """
    photons = np.float32(np.exp(rng.uniform(np.log(4), np.log(200))))
    shape = (*image.shape[:2], 1 if rng.random() < 0.5 else 3)
    root = np.sqrt(np.clip(image, 0, 1) * photons)
    root = root + np.float32(0.5) * rng.standard_normal(shape, dtype=np.float32)
    return np.asarray(np.round(np.square(np.maximum(root, 0))) / photons)


def scan_lines(image: Image, rng: np.random.Generator) -> Image:
    """Vary the brightness of lines, as scanning microscopes and charging specimens do."""
    shape = (len(image), 1, 1) if rng.random() < 0.7 else (1, image.shape[1], 1)
    return image + np.float32(rng.uniform(0.01, 0.06)) * rng.standard_normal(shape, np.float32)


def jpeg(image: Image, rng: np.random.Generator) -> Image:
    """Compress with losses."""
    pixels = (np.clip(image, 0, 1) * 255).astype(np.uint8)
    quality = int(rng.integers(20, 80))
    encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.float32) / np.float32(255)


_CHANGES = (
    (grey, 0.2),
    (mix_channels, 0.2),
    (drop_channels, 0.05),
    (invert, 0.15),
    (gamma, 0.35),
    (contrast, 0.5),
    (illuminate, 0.15),
    (coarsen, 0.15),
    (blur, 0.12),
    (defocus, 0.06),
    (sharpen, 0.06),
    (poisson, 0.12),
    (noise, 0.22),
    (scan_lines, 0.04),
    (jpeg, 0.1),
)
