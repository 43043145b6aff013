"""Scenes: layers of shapes, some of them objects, some parts of objects, some in the way."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .appearance import paint
from .fields import smooth_noise
from .shapes import LabelMap, depth, draw_shapes, relative_depth


class Canvas:
    """Regions, their classes, and the labels of the objects they belong to.

    Parameters
    ----------
    side : int
        In pixels.
    """

    def __init__(self, side: int) -> None:
        self.regions = np.zeros((side, side), np.int32)
        self.labels = np.zeros((side, side), np.int32)
        self.classes = [0]

    def lay(self, layer: LabelMap, role: str) -> None:
        """Lay shapes over what is there.

        Parameters
        ----------
        layer : ndarray
            int32 (side, side), 0 where the layer is transparent.
        role : {"object", "distractor", "part"}
            Objects are labelled; distractors cover them and aren't; parts look different but
            belong to whatever they lie on.
        """
        there = layer > 0
        first = len(self.classes)
        np.copyto(self.regions, layer + (first - 1), where=there)
        self.classes += [max(self.classes) + 1] * int(layer.max(initial=0))
        if role == "object":
            np.copyto(self.labels, layer + (first - 1), where=there)
        elif role == "distractor":
            self.labels[there] = 0


def draw_scene(side: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Draw a synthetic image and its labels.

    Random shapes with a random appearance, in the spirit of SynthSeg (Billot et al., 2023) and
    ScribblePrompt (Wong et al., 2024): varied beyond what is realistic, so that a network learns
    what clicks and edges say rather than what objects of one kind look like.

    Parameters
    ----------
    side : int
        In pixels.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    pixels : ndarray
        uint8 (side, side, 3).
    labels : ndarray
        int32 (side, side): 0 for background, one number per object, with gaps.
    """
    while True:
        canvas = draw_canvas(side, rng)
        if canvas.labels.any():
            break
    image = paint(canvas.regions, np.array(canvas.classes), rng)
    # Each channel for itself, as images are normalised.
    low, high = np.percentile(image[::3, ::3], (1, 99.8), axis=(0, 1)).astype(np.float32)
    image = (image - low) * (255 / np.maximum(high - low, np.float32(0.02)))
    return np.clip(image, 0, 255).astype(np.uint8), canvas.labels


def draw_canvas(side: int, rng: np.random.Generator) -> Canvas:
    """Draw the regions and the labels of a scene."""
    canvas = Canvas(side)
    size = float(np.exp(rng.uniform(np.log(25), np.log(110)))) * side / 192
    if rng.random() < 0.25:  # something in the background
        canvas.lay(draw_shapes(side, size * np.exp(rng.uniform(-1, 1)), rng), "distractor")
    objects = draw_shapes(side, size, rng)
    if rng.random() < 0.25:
        canvas.lay(ground(objects, size * rng.uniform(0.1, 0.5)), "distractor")
    kind = rng.random()
    if kind < 0.2:
        nest(canvas, objects, rng)
    elif kind < 0.3:
        fill(canvas, objects, size, rng)
    else:
        canvas.lay(objects, "object")
        if rng.random() < 0.15:
            canvas.lay(draw_shapes(side, size * np.exp(rng.uniform(-1, 0.7)), rng), "object")
    if rng.random() < 0.15:
        debris = draw_shapes(side, max(size * rng.uniform(0.1, 0.4), 4), rng)
        keep = rng.random(debris.max(initial=0) + 1) < 0.3
        debris = np.where(keep[debris], debris, 0)
        canvas.lay(debris, "distractor" if rng.random() < 0.5 else "part")
    return canvas


def ground(objects: LabelMap, reach: float) -> LabelMap:
    """Return what lies under and between crowded objects, which from afar is one dark colony."""
    near = cv2.distanceTransform((objects == 0).astype(np.uint8), cv2.DIST_L2, 3) <= reach
    closed = cv2.distanceTransform(near.astype(np.uint8), cv2.DIST_L2, 3) > reach
    return np.asarray(closed | (objects > 0), np.int32)


def nest(canvas: Canvas, objects: LabelMap, rng: np.random.Generator) -> None:
    """Lay objects with something inside: nuclei in cells, lumens in glands, walls, vacuoles.

    Either the whole is the object, or what is inside, or both are objects.
    """
    shape = relative_depth(objects, depth(objects))
    shape += np.float32(0.15) * smooth_noise(len(objects), len(objects) / 16, rng)
    inside = np.where(shape > rng.uniform(0.15, 0.6), objects, 0)
    some = rng.random(objects.max() + 1) < rng.choice([0.6, 1, 1])
    inside = np.where(some[objects], inside, 0)
    whole, inner = (("object", "part"), ("distractor", "object"), ("object", "object"))[
        rng.choice(3, p=[0.5, 0.3, 0.2])
    ]
    canvas.lay(objects, whole)
    canvas.lay(inside, inner)


def fill(canvas: Canvas, objects: LabelMap, size: float, rng: np.random.Generator) -> None:
    """Lay objects with many smaller ones inside: organelles, granules, nuclei of a gland.

    Either the larger are the objects, or the smaller, or both.
    """
    small = draw_shapes(len(objects), max(size * rng.uniform(0.15, 0.45), 6), rng)
    small = np.where(objects > 0, small, 0)
    whole, inner = (("object", "part"), ("distractor", "object"), ("object", "object"))[
        rng.integers(3)
    ]
    canvas.lay(objects, whole)
    canvas.lay(small, inner)
