"""Contrast of images with so few objects that the percentiles leave them out."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.filters import gaussian

from napari_inter2former import Click, Predictor
from napari_inter2former.images import StoredImage, as_image_source, normalization_of

SIDE = 2000


def noise(mean=100.0, deviation=5.0, seed=0):
    """Return an empty slide."""
    return np.random.default_rng(seed).normal(mean, deviation, (SIDE, SIDE))


def discs(radius=12, count=5):
    """Return where objects are: 0.06 % of the slide."""
    r, c = np.ogrid[:SIDE, :SIDE]
    places = [(200 + 390 * k, 1500 - 300 * k) for k in range(count)]
    return np.any([(r - y) ** 2 + (c - x) ** 2 <= radius**2 for y, x in places], axis=0)


def limits(image, **options):
    found = as_image_source(image, **options).normalization
    return found.low[0], found.high[0]


def percentiles(image):
    return pytest.approx(tuple(np.percentile(image[::2, ::2], (1, 99.8))))


@pytest.mark.parametrize("step", [200, 20_000])
def test_bright_objects_become_white(step):
    image = (noise() + step * discs()).astype(np.uint16)
    low, high = limits(image)
    assert (low, high) == (pytest.approx(88, abs=2), pytest.approx(100 + step, abs=10))


def test_uneven_light_is_no_structure():
    image = noise() + 50 * np.linspace(0, 1, SIDE) + 900 * discs()
    assert limits(image)[1] == pytest.approx(1025, abs=40)


def test_dark_objects_become_black():
    low, high = limits(noise(1000) - 800 * discs())
    assert (low, high) == (pytest.approx(200, abs=10), pytest.approx(1014, abs=3))


def test_each_channel_by_itself():
    image = np.stack([noise(), noise(seed=1) + 500 * discs()])
    found = as_image_source(image, channel_axis=0).normalization
    assert found.high == (pytest.approx(114, abs=2), pytest.approx(600, abs=10))


def test_hot_pixels_are_no_objects():
    image = noise()
    hot = np.random.default_rng(2).integers(0, SIDE, (2, 500))
    image[tuple(hot)] = 60_000
    assert limits(image) == percentiles(image)


def test_a_bright_speck_makes_no_image_dark():
    cells = np.sin(np.arange(SIDE) / 9) * np.sin(np.arange(SIDE) / 11)[:, None] > 0.5
    image = noise() + 100 * cells + 5000 * discs(count=1)
    assert limits(image) == percentiles(image)


def test_usual_cells_keep_their_contrast_beside_a_bright_one():
    """Cells of half a percent of the slide, and a hundredth as much that is far brighter."""
    image = noise() + 300 * discs(radius=30, count=5) + 20_000 * discs(radius=10, count=1)
    assert limits(image) == percentiles(image)
    crowd = np.random.default_rng(3).random((SIDE // 8, SIDE // 8)) < 0.3
    small = noise() + 500 * crowd.repeat(8, 0).repeat(8, 1) + 12_000 * discs(count=1)
    assert limits(np.tile(small, (2, 2)))[1] < 700


def test_gaps_are_no_dark_objects():
    image = (noise(1000) + 900 * discs()).astype(np.float32)
    image[:, 700:705] = -3.4e38
    low, high = limits(image)
    assert (low, high) == (pytest.approx(988, abs=3), pytest.approx(1900, abs=20))


def test_chosen_percentiles_are_taken_as_they_are():
    image = noise() + 900 * discs()
    chosen = normalization_of(StoredImage((image,), "yx"), percentiles=(1, 99.8))
    assert (chosen.low[0], chosen.high[0]) == percentiles(image)


def test_objects_in_one_plane_of_a_stack_count():
    planes = [noise(seed=k) for k in range(3)]
    planes[1] += 900 * discs(radius=20)
    found = normalization_of(StoredImage((np.stack(planes),), "zyx"))
    assert found.high[0] == pytest.approx(1000, abs=20)


def test_a_blurred_cell_on_an_empty_slide_is_found():
    cell = gaussian(noise(0, 0) + 2000 * discs(radius=30, count=1), sigma=6, truncate=6)
    truth = cell > 1000
    predictor = Predictor()
    predictor.set_image(noise() + cell)
    found = predictor.predict([Click(200, 1500)]).to_full((SIDE, SIDE))
    assert (found & truth).sum() > 0.8 * (found | truth).sum()
