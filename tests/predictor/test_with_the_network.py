"""The real network with random weights: every size goes through, and replay gives the same."""

from __future__ import annotations

import numpy as np
import pytest

from napari_inter2former.model import reference_mask as rm
from napari_inter2former.predictor import Predictor
from napari_inter2former.predictor._engine import Engine
from napari_inter2former.predictor._windows import Window
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


@pytest.mark.parametrize("fine", [False, True])
def test_later_clicks_write_the_discs_that_the_network_knows(fine):
    engine = Engine(smallest_model(fine_clicks=fine), 1 << 24)
    image = np.random.default_rng(3).random((64, 64, 3), dtype=np.float32)
    window = Window(0, 0, 0, 64, 64)
    mask = np.zeros((64, 64), bool)
    mask[:, :30] = True
    reference = engine.new_reference(window, mask)
    engine.step(engine.encode(image, "a"), reference, (Click(40, 31),), window)
    # Two columns from the mask: the click and what is nearer than that border.
    assert int((reference == rm.Label.DEFINITE_FOREGROUND).sum()) == (9 if fine else 81)


@pytest.mark.parametrize("shape", [(60, 60), (120, 130), (600, 500)])
def test_no_click_is_ignored(model, shape):
    rng = np.random.default_rng(4)
    predictor = Predictor(model)
    predictor.set_image(rng.integers(0, 255, shape, dtype=np.uint8))
    clicks = []
    for _ in range(8):
        # As the mouse clicks: anywhere in a pixel.
        row, column = (rng.integers(side) + rng.uniform(-0.5, 0.49) for side in shape)
        # Clicks so near to each other that they disagree about a pixel are left out.
        if any(abs(row - c.row) + abs(column - c.column) < 20 for c in clicks):
            continue
        clicks.append(Click(row, column, positive=not clicks or bool(rng.random() < 0.5)))
        mask = predictor.predict(clicks)
        if not mask.empty:
            drawn = mask.to_full(shape)
            assert [bool(drawn[round(c.row), round(c.column)]) for c in clicks] == [
                c.positive for c in clicks
            ]
    assert len(clicks) > 2
    assert not mask.empty


def test_features_are_counted_in_bytes(model):
    predictor = Predictor(model)
    predictor.set_image(np.random.default_rng(2).random((100, 100, 3)))
    predictor.prefetch(50, 50)
    assert predictor._engine.features.nbytes > 100 * 100
    assert predictor.model is model
