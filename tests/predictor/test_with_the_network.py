"""The real network with random weights: every size goes through, and replay gives the same."""

from __future__ import annotations

import numpy as np
import pytest

from napari_inter2former.predictor import Predictor
from napari_inter2former.prompts import Click, box

from ..networks import smallest_model


@pytest.fixture(scope="module")
def model():
    return smallest_model()


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 9), (7, 3), (16, 16), (33, 128), (129, 40), (300, 200), (700, 300)]
)
def test_all_sizes(model, shape):
    image = np.random.default_rng(1).integers(0, 4096, shape, dtype=np.uint16)
    predictor = Predictor(model)
    predictor.set_image(image)
    h, w = shape
    clicks = [Click(h - 1, w - 1), Click(0, 0, False), Click(h // 2, w // 2)]
    steps = [predictor.predict(clicks[:n]) for n in (1, 2, 3)]
    for mask in steps:
        r0, c0, r1, c1 = mask.box
        assert 0 <= r0 <= r1 <= h
        assert 0 <= c0 <= c1 <= w
        assert mask.data.shape == (r1 - r0, c1 - c0)
        assert 0 <= mask.score <= 1
    predictor.set_image(image)
    again = predictor.predict(clicks)
    assert again.box == steps[-1].box
    np.testing.assert_array_equal(again.data, steps[-1].data)
    predictor.predict([box(0, 0, h - 1, w - 1)], previous=np.ones(shape, bool))


def test_features_are_counted_in_bytes(model):
    predictor = Predictor(model)
    predictor.set_image(np.random.default_rng(2).random((100, 100, 3)))
    predictor.prefetch(50, 50)
    assert predictor._engine.features.nbytes > 100 * 100
    assert predictor.model is model
