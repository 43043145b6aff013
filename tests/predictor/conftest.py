"""A stand-in for the network that draws real objects, so that windows can be tested for real."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
import torch
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

# A busy machine must not fail a test.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@dataclass
class FakeFeatures:
    image: np.ndarray
    nbytes: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.image.shape


@dataclass
class FakeDecoded:
    logits: Tensor
    box: tuple[int, int, int, int]
    iou: float | None = None


@dataclass
class FakeConfig:
    window: int = 128


class FakeModel:
    """Draws the bright parts connected to the positive clicks, less the negative discs.

    Without a positive click it draws what was possible foreground before.
    """

    def __init__(self, window: int = 128) -> None:
        self.config = FakeConfig(window)
        self.encoded: list[tuple[int, int]] = []
        self.decoded = 0

    def encode(self, image: Tensor) -> FakeFeatures:
        assert image.dtype == torch.float32
        assert image.shape[:2] == (1, 3)
        assert 0 <= float(image.min()) <= float(image.max()) <= 1
        self.encoded.append(tuple(image.shape[2:]))
        grey = image[0].mean(dim=0).numpy()
        return FakeFeatures(grey, image.nbytes)

    def decode(self, features: FakeFeatures, reference: Tensor) -> FakeDecoded:
        self.decoded += 1
        ref = reference.numpy()
        assert ref.shape == features.shape
        contrast = (features.image - 0.5) * 20
        bright = contrast > 0
        _, parts = cv2.connectedComponents(bright.astype(np.uint8))
        seeds = ref == 4 if (ref == 4).any() else ref == 3
        chosen = np.setdiff1d(np.unique(parts[seeds]), [0])
        keep = np.isin(parts, chosen) & (ref != 0)
        logits = np.where(keep, contrast, np.where(bright, -10, np.minimum(contrast, -0.1)))
        rows, columns = keep.any(axis=1).nonzero()[0], keep.any(axis=0).nonzero()[0]
        if rows.size == 0:
            return FakeDecoded(torch.zeros(0, 0), (0, 0, 0, 0))
        # One pixel more than the object, as a real box has some background too.
        r0, c0 = max(rows[0] - 1, 0), max(columns[0] - 1, 0)
        r1, c1 = min(rows[-1] + 2, ref.shape[0]), min(columns[-1] + 2, ref.shape[1])
        logits = torch.from_numpy(logits[r0:r1, c0:c1].astype(np.float32))
        return FakeDecoded(logits, (int(r0), int(c0), int(r1), int(c1)))


def disc(shape: tuple[int, int], row: float, column: float, radius: float) -> np.ndarray:
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2


def iou(mask: np.ndarray, truth: np.ndarray) -> float:
    union = np.count_nonzero(mask | truth)
    return np.count_nonzero(mask & truth) / union if union else 1.0


@pytest.fixture
def fake() -> FakeModel:
    return FakeModel()


@pytest.fixture
def make_fake() -> type[FakeModel]:
    return FakeModel


@pytest.fixture(name="disc")
def _disc() -> Callable[..., np.ndarray]:
    return disc


@pytest.fixture(name="iou")
def _iou() -> Callable[..., float]:
    return iou
