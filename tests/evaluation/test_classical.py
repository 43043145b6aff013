"""The classical methods under the same protocol."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from napari_inter2former.evaluation import evaluate_dataset, evaluate_object, region_of
from napari_inter2former.evaluation.classical import METHODS, ClassicalPredictor
from napari_inter2former.prompts import Click


def disc(shape=(220, 260), centre=(110, 120), radius=30, noise=4):
    """Return a bright disc on a dark, slightly noisy ground, and the disc."""
    mask = np.zeros(shape, np.uint8)
    cv2.circle(mask, centre[::-1], radius, 1, cv2.FILLED)
    rng = np.random.default_rng(0)
    image = 60 + 120 * mask + rng.integers(0, noise, shape)
    return image.astype(np.uint8), mask > 0


@pytest.mark.parametrize("method", METHODS)
def test_a_disc_is_found(method):
    image, mask = disc()
    predictor = ClassicalPredictor(method)
    predictor.set_image(image)
    result = evaluate_object(predictor, region_of(mask), 6)
    assert result.iou_at(6) > 0.9
    assert predictor.model.weights_name == method


@pytest.mark.parametrize("method", METHODS)
def test_masks_are_the_same_each_time_and_follow_the_clicks(method):
    image, _ = disc()
    clicks = [Click(110, 120), Click(20, 20, positive=False), Click(115, 140)]
    predictor = ClassicalPredictor(method)
    predictor.set_image(np.repeat(image[..., None], 3, axis=2), rgb=True)
    first, again = predictor.predict(clicks), predictor.predict(clicks)
    assert first.box == again.box
    assert (first.data == again.data).all()
    r0, c0, r1, c1 = first.box
    assert first.data.shape == (r1 - r0, c1 - c0)
    assert first.data[110 - r0, 120 - c0]
    assert first.data[115 - r0, 140 - c0]


@pytest.mark.parametrize("method", METHODS)
def test_only_a_crop_round_the_clicks_counts(method):
    image, _ = disc((900, 1000), (450, 500))
    predictor = ClassicalPredictor(method)
    predictor.set_image(image)
    whole = predictor.predict([Click(450, 500)])
    changed = image.copy()
    changed[:100] = 255
    predictor.set_image(changed)
    part = predictor.predict([Click(450, 500)])
    # The normalisation has hardly changed, so the mask has not either.
    inside = np.zeros((2, *image.shape), bool)
    for each, region in zip(inside, (whole, part), strict=True):
        r0, c0, r1, c1 = region.box
        each[r0:r1, c0:c1] = region.data
    assert (inside[0] ^ inside[1]).mean() < 0.01


@pytest.mark.parametrize("method", METHODS)
def test_clicks_far_apart_are_seen_in_a_smaller_crop(method):
    image, _ = disc((1500, 1600), (750, 800), 400)
    predictor = ClassicalPredictor(method)
    predictor.set_image(image)
    far = [Click(750, 800), Click(420, 800), Click(1080, 800), Click(200, 800, positive=False)]
    found = predictor.predict(far)
    assert found.data.any()
    r0, c0, r1, c1 = found.box
    assert 0 <= r0 < r1 <= 1500
    assert 0 <= c0 < c1 <= 1600


@pytest.mark.parametrize("method", METHODS)
def test_tiny_and_flat_images(method):
    predictor = ClassicalPredictor(method)
    for shape in ((1, 1), (3, 40), (12, 12)):
        predictor.set_image(np.full(shape, 7, np.uint8))
        region = predictor.predict([Click(0, 0), Click(shape[0] - 1, shape[1] - 1, positive=False)])
        assert region.box[2] <= shape[0]
        assert region.box[3] <= shape[1]


def test_a_negative_click_on_a_positive_one_leaves_nothing():
    image, _ = disc()
    predictor = ClassicalPredictor("random-walker")
    predictor.set_image(image)
    assert not predictor.predict([Click(110, 120), Click(110, 120, positive=False)]).data.size


def test_a_whole_dataset(dataset):
    result = evaluate_dataset(ClassicalPredictor("geodesic"), dataset, max_objects=3, max_clicks=4)
    assert result.iou_at[3] > 0.5
    assert len(result.curve) == 4
