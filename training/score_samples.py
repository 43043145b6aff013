"""What a model's score is asked for: masks of everything mode's clicks, and of a user's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from napari_inter2former.everything._decode import encode, propose_clicks
from napari_inter2former.everything._find import click_grid, draw_shapes, middle
from napari_inter2former.everything._shapes import Shape
from napari_inter2former.model import ImageFeatures, Inter2Former
from napari_inter2former.model.quality import IoUHead
from napari_inter2former.predictor._engine import Engine
from napari_inter2former.predictor._windows import HIGHEST_EXPONENT, Window
from napari_inter2former.prompts import Click
from napari_inter2former.training.clicks import draw_click
from napari_inter2former.training.pool import TrainingImage

Pixels = NDArray[np.float32]
Labels = NDArray[np.int32]

USUAL_SIZE = 64.0
"""Square root of the area that objects have about at the zooms of everything mode."""
ON_OBJECTS, BESIDE = 26, 14
"""First clicks of everything mode in a window: on objects, and on background."""
SEEN = 20
"""So many of them at most are where the network sees objects."""


class Sample(NamedTuple):
    """What the head may look at, (1, 2 dim + 2), and what it should say."""

    inputs: Tensor
    iou: float


class AttentiveHead(IoUHead):
    """An IoU head that keeps what it was shown last."""

    shown: Tensor

    def inputs(
        self, tokens: Tensor, low_resolution: Tensor, likely: Tensor, sure: Tensor
    ) -> Tensor:
        """See `IoUHead.inputs`."""
        self.shown = super().inputs(tokens, low_resolution, likely, sure)
        return self.shown

    @classmethod
    def listen(cls, model: Inter2Former) -> AttentiveHead:
        """Replace a model's head by one that does the same."""
        assert model.quality is not None
        head = cls(model.config).eval()
        head.load_state_dict(model.quality.state_dict())
        model.quality = head
        return head


def draw_window(image: TrainingImage, side: int, rng: np.random.Generator) -> tuple[Pixels, Labels]:
    """Return a part of an image as everything mode sees it, at a zoom that it would try.

    Parameters
    ----------
    image : TrainingImage
        With at least one object.
    side : int
        Largest side of the part, input pixels.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    pixels : ndarray
        float32 (h, w, 3) in [0, 1].
    labels : ndarray
        int32 (h, w).
    """
    size = float(np.median(np.sqrt(image.objects[:, 2])))
    exponent = round(np.log2(USUAL_SIZE / size)) + rng.choice([-1, 0, 0, 1])
    zoom = 2.0 ** min(int(exponent), HIGHEST_EXPONENT)
    shape = image.labels.shape
    place = image.objects[rng.integers(len(image.objects)), :2]
    spans = [min(max(int(side / zoom), 1), length) for length in shape]
    starts = [
        int(np.clip(at - rng.random() * span, 0, length - span))
        for at, span, length in zip(place, spans, shape, strict=True)
    ]
    part = tuple(slice(a, a + span) for a, span in zip(starts, spans, strict=True))
    height, width = (max(int(span * zoom), 1) for span in spans)
    way = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
    pixels = cv2.resize(image.pixels[part], (width, height), interpolation=way)
    labels = cv2.resize(
        image.labels[part].astype(np.float32), (width, height), interpolation=cv2.INTER_NEAREST
    )
    return pixels.astype(np.float32) / np.float32(255), labels.astype(np.int32)


def automatic_samples(
    model: Inter2Former,
    head: AttentiveHead,
    pixels: Pixels,
    labels: Labels,
    rng: np.random.Generator,
    partly: bool = False,
) -> Iterator[Sample]:
    """Click as everything mode does: where objects are seen, on a grid, and in their middles.

    Parameters
    ----------
    model, head
        The network, and its head, which listens.
    pixels : ndarray
        float32 (h, w, 3) in [0, 1].
    labels : ndarray
        int32 (h, w).
    rng : numpy.random.Generator
        Source of randomness.
    partly : bool
        Whether there may be objects without a label: what lies mostly beside the labelled ones
        is left out then.
    """
    features = encode(model, pixels)
    areas = np.bincount(labels.ravel())
    height, width = labels.shape
    grid = click_grid((0, 0, height, width), 16)
    seen, _ = propose_clicks(model, features, [])
    places = [seen[i] for i in rng.permutation(len(seen))[:SEEN]]
    places += [grid[i] for i in rng.permutation(len(grid))]
    first = [click for click in places if labels[click]][:ON_OBJECTS]
    first += [click for click in places if not labels[click]][:BESIDE]
    again: dict[tuple[int, int], None] = {}  # each middle once
    for clicks in (first, again):
        for click in clicks:
            for shape in draw_shapes(model, features, [click]):
                if clicks is first:
                    again[middle(shape)] = None
                iou, labelled = best_overlap(shape, labels, areas)
                if not partly or labelled >= 0.5:
                    yield Sample(head.shown, iou)


def best_overlap(
    shape: Shape, labels: Labels, areas: NDArray[np.integer[Any]]
) -> tuple[float, float]:
    """Compare a shape with the objects under it.

    Parameters
    ----------
    shape : Shape
        In pixels of the labels.
    labels : ndarray
        int32 (h, w).
    areas : ndarray
        Pixels of each number in `labels`.

    Returns
    -------
    iou : float
        The largest intersection over union with an object; 0 on background.
    labelled : float
        Share of the shape that lies on objects.
    """
    r0, c0, r1, c1 = shape.box
    common = np.bincount(labels[r0:r1, c0:c1][shape.data], minlength=len(areas))
    common[0] = 0
    overlap = common / (shape.area + areas - common)
    return float(overlap.max()), float(common.sum() / shape.area)


def clicked_samples(
    engine: Engine,
    head: AttentiveHead,
    features: ImageFeatures,
    target: NDArray[np.bool_],
    rng: np.random.Generator,
    clicks: int,
) -> Iterator[Sample]:
    """Click at an object as a user does who sees the masks.

    Parameters
    ----------
    engine : Engine
        With the network.
    head : AttentiveHead
        Of the network.
    features : ImageFeatures
        Of the window, from `encode`.
    target : ndarray
        bool (h, w).
    rng : numpy.random.Generator
        Source of randomness.
    clicks : int
        At most so many.
    """
    height, width = target.shape
    window = Window(0, 0, 0, height, width)
    reference = engine.new_reference(window, None)
    predicted = np.zeros_like(target)
    made: list[Click] = []
    for _ in range(clicks):
        click = draw_click(target, predicted, rng, careless=0.25)
        if click is None:
            return
        made.append(Click(*click))
        drawing = engine.step(features, reference, made, window)
        r0, c0, r1, c1 = drawing.box
        predicted[:] = False
        predicted[r0:r1, c0:c1] = drawing.logits > 0
        if not drawing.logits.size:
            return
        both = np.count_nonzero(predicted & target)
        yield Sample(head.shown, both / np.count_nonzero(predicted | target))
