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
    """Shuffle the channels and scale each, now and then to nothing."""
    scale = rng.uniform(0.6, 1.1, 3) * (rng.random(3) > 0.07)
    return image[..., rng.permutation(3)] * scale.astype(np.float32)


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
    """Defocus."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 2.0)), np.float32)


def coarsen(image: Image, rng: np.random.Generator) -> Image:
    """Lose resolution."""
    height, width = image.shape[:2]
    factor = rng.uniform(1.3, 3.5)
    small = (max(int(width / factor), 1), max(int(height / factor), 1))
    shrunk = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_LINEAR))


def noise(image: Image, rng: np.random.Generator) -> Image:
    """Add camera noise, one third of it growing with the light."""
    strength = rng.uniform(0.01, 0.12)
    shape = (*image.shape[:2], 1 if rng.random() < 0.5 else 3)
    shot = np.sqrt(np.clip(image, 0, 1)) if rng.random() < 1 / 3 else np.float32(1)
    normal = rng.standard_normal(shape, dtype=np.float32)
    return image + np.float32(strength) * shot * normal


def jpeg(image: Image, rng: np.random.Generator) -> Image:
    """Compress with losses."""
    pixels = (np.clip(image, 0, 1) * 255).astype(np.uint8)
    quality = int(rng.integers(20, 80))
    encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.float32) / np.float32(255)


_CHANGES = (
    (grey, 0.2),
    (mix_channels, 0.25),
    (invert, 0.15),
    (gamma, 0.35),
    (contrast, 0.5),
    (illuminate, 0.15),
    (coarsen, 0.15),
    (blur, 0.15),
    (noise, 0.3),
    (jpeg, 0.1),
)
