from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
import pytest

from napari_inter2former.evaluation import region_of
from napari_inter2former.prompts import flatten


def _write_pair(folder, name, labels, image=None):
    """Write a pair; the image shows the labels plus a mark that makes it unlike the others."""
    folder.mkdir(parents=True, exist_ok=True)
    if image is None:
        image = np.where(labels > 0, 200, 30).astype(np.uint8)
        image[0, 0] = sum(name.encode()) % 200
    assert cv2.imwrite(str(folder / f"{name}_image.png"), image)
    assert cv2.imwrite(str(folder / f"{name}_label.png"), labels)
    return image, labels


@pytest.fixture
def squares():
    """Return 80 x 100 labels: three squares of 12 x 12 (numbers 1, 4, 9), one of 3 x 3 (5)."""
    labels = np.zeros((80, 100), np.uint16)
    for number, (row, column) in {1: (10, 10), 4: (10, 50), 9: (50, 60)}.items():
        labels[row : row + 12, column : column + 12] = number
    labels[40:43, 20:23] = 5
    return labels


@pytest.fixture
def dataset(tmp_path, squares):
    """Return a folder of three pairs with three objects of 144 px each."""
    folder = tmp_path / "squares"
    for name in ("a", "b", "c"):
        _write_pair(folder, name, squares)
    return folder


@pytest.fixture
def write_pair():
    return _write_pair


@dataclass
class _FakePredictor:
    """A predictor that needs no model: it knows the truth and gets better with every click.

    It returns the clicked object with a margin that shrinks by one pixel a click.

    ``labels`` is the truth of the image that is set; the margin is ``start - clicks``.
    """

    labels: dict[bytes, np.ndarray] = field(default_factory=dict)
    start: int = 4
    encode_seconds: float = 0.0
    images: int = 0
    prompts: list[tuple] = field(default_factory=list)

    def know(self, image, labels):
        self.labels[image.tobytes()] = labels

    def set_image(self, image, /, channel_axis=None, rgb=None):
        self.images += 1
        self.current = self.labels[np.asarray(image).tobytes()]

    def prefetch(self, row, column, /):
        self.encode_seconds += 0.001

    def predict(self, prompts, /):
        self.prompts.append(tuple(prompts))
        first = next(click for click in flatten(prompts) if click.positive)
        number = self.current[int(first.row), int(first.column)]
        mask = (self.current == number).astype(np.uint8)
        margin = self.start - len(prompts)
        if margin > 0:
            mask = cv2.dilate(mask, np.ones((3, 3), np.uint8), iterations=margin)
        return region_of(mask.astype(bool))


@pytest.fixture
def fake_class():
    return _FakePredictor
