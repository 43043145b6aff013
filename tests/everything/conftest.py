"""A stand-in for the decoder that draws real objects: bright ones whole, background round a click.

Like the network it draws something wherever a click lies, so background has to be told apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from napari_inter2former.everything import _decode, _run, _stream

if TYPE_CHECKING:
    from collections.abc import Sequence

BACKGROUND_RADIUS = 25


@dataclass
class FakeFeatures:
    image: np.ndarray
    parts: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        return self.image.shape


class FakeNetwork:
    """Counts what it is asked, for tests of what is not asked twice."""

    def __init__(self, window: int = 96) -> None:
        self.config = SimpleNamespace(window=window)
        self.objects = None
        self.encoded = 0
        self.clicks = 0

    def state_dict(self) -> dict[str, object]:
        return {}

    def encode(self, pixels: np.ndarray) -> FakeFeatures:
        self.encoded += 1
        assert pixels.dtype == np.float32
        assert pixels.shape[2] == 3
        image = pixels.mean(axis=2)
        _, parts = cv2.connectedComponents((image > 0.5).astype(np.uint8), connectivity=4)
        return FakeFeatures(image, parts)

    def decode(
        self, features: FakeFeatures, clicks: Sequence[tuple[int, int]]
    ) -> list[_decode.Piece]:
        self.clicks += len(clicks)
        parts = features.parts
        height, width = features.shape
        half = _decode.PIECE * 8
        pieces = []
        for row, column in clicks:
            r0, c0 = max(row - half, 0), max(column - half, 0)
            r1, c1 = min(row + half, height), min(column + half, width)
            inside = slice(r0, r1), slice(c0, c1)
            if parts[row, column]:
                mask = parts[inside] == parts[row, column]
            else:
                rows, columns = np.ogrid[r0:r1, c0:c1]
                near = (rows - row) ** 2 + (columns - column) ** 2 <= BACKGROUND_RADIUS**2
                mask = near & (parts[inside] == 0)
            logits = np.where(mask, 4.0, -4.0).astype(np.float32)
            box = (r0, c0, r1, c1)
            likely = 0.95 if parts[row, column] else 0.47
            pieces.append(_decode.Piece(logits, box, box, likely))
        return pieces


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeNetwork:
    network = FakeNetwork()
    monkeypatch.setattr(_decode, "encode", lambda model, pixels: model.encode(pixels))
    monkeypatch.setattr(
        _decode,
        "decode_first_clicks",
        lambda model, features, clicks: model.decode(features, clicks),
    )
    for module in (_run, _stream):
        monkeypatch.setattr(module, "as_network", lambda model: model)
    return network


def discs(shape: tuple[int, int], places: Sequence[tuple[float, float, float]]) -> np.ndarray:
    """Labels of discs (row, column, radius)."""
    labels = np.zeros(shape, np.int32)
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    for number, (row, column, radius) in enumerate(places, start=1):
        labels[(rows - row) ** 2 + (columns - column) ** 2 <= radius**2] = number
    return labels


def grid_of_discs(shape: tuple[int, int], step: int, radius: float) -> np.ndarray:
    """Discs on a grid that does not agree with that of the clicks or blocks."""
    places = [
        (r + 5 * ((r + c) // step % 3), c, radius)
        for r in range(step // 2, shape[0] - step // 2, step)
        for c in range(step // 2, shape[1] - step // 2, step)
    ]
    return discs(shape, places)


def picture(labels: np.ndarray) -> np.ndarray:
    """A grey image of labels, with noise."""
    noise = np.random.default_rng(0).integers(0, 20, labels.shape)
    return (noise + 200 * (labels > 0)).astype(np.uint16)


def worst_iou(labels: np.ndarray, truth: np.ndarray) -> float:
    """Smallest over the true objects of the IoU with the label that covers most of each."""
    worst = 1.0
    for number in range(1, int(truth.max()) + 1):
        true = truth == number
        counts = np.bincount(labels[true])
        counts[0] = 0
        if not counts.any():
            return 0.0
        drawn = labels == counts.argmax()
        worst = min(worst, (true & drawn).sum() / (true | drawn).sum())
    return worst


@pytest.fixture(name="discs")
def _discs():
    return discs


@pytest.fixture(name="grid_of_discs")
def _grid_of_discs():
    return grid_of_discs


@pytest.fixture(name="picture")
def _picture():
    return picture


@pytest.fixture(name="worst_iou")
def _worst_iou():
    return worst_iou
