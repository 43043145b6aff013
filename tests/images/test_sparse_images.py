"""Contrast of images with so few objects that the percentiles leave them out."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.filters import gaussian

from napari_inter2former import Click, Predictor
from napari_inter2former.images import (
    StoredImage,
    _estimate,
    as_image_source,
    normalization_of,
    stack_channels,
)

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


class Stored:
    """Pixels on disk, which are made by rows and columns as they are read."""

    def __init__(self, shape, dtype, make, chunk=500):
        self.shape, self.dtype, self.chunks = shape, np.dtype(dtype), (chunk, chunk)
        self.make, self.pixels = make, 0

    def __getitem__(self, index):
        rows, columns = (np.arange(n)[part] for n, part in zip(self.shape, index, strict=True))
        self.pixels += rows.size * columns.size
        return self.make(rows[:, None], columns).astype(self.dtype)


def stored(image, folder, *, mapped):
    if not mapped:
        return Stored(image.shape, image.dtype, lambda r, c: image[r, c])
    array = np.memmap(folder / "pixels", image.dtype, "w+", shape=image.shape)
    array[:] = image
    return array


def nucleus(dtype=np.float64):
    """Return an empty slide but for one nucleus, between the blocks of a sample of it."""
    r, c = np.ogrid[:SIDE, :SIDE]
    bump = 1 - ((r - 560) / 30) ** 2 - ((c - 565) / 20) ** 2
    return (352 * bump.clip(0) * (0.9 + 0.1 * np.sin(r * c))).astype(dtype)


@pytest.mark.parametrize("mapped", [True, False])
@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_a_nucleus_beside_the_sample_counts_on_disk_as_in_memory(
    tmp_path, monkeypatch, dtype, mapped
):
    image = nucleus(dtype)
    assert limits(image)[1] > 300
    assert limits(stored(image, tmp_path, mapped=mapped)) == limits(image)
    monkeypatch.setattr(_estimate, "STRIP_BYTES", 1 << 20)  # many, no multiples of a step
    assert limits(stored(image, tmp_path, mapped=mapped)) == limits(image)


@pytest.mark.parametrize("kind", ["memory", "mapped", "chunked"])
def test_a_speck_that_every_nth_pixel_misses_is_seen(tmp_path, kind):
    image = np.full((SIDE, SIDE), 7, np.float32)
    image[561, 563], image[561, 565] = 90, np.inf
    array = image if kind == "memory" else stored(image, tmp_path, mapped=kind == "mapped")
    assert limits(array) == (7, 90)


def test_only_empty_channels_are_looked_at_again(tmp_path):
    images = noise(), nucleus()
    planes = [stored(image, tmp_path, mapped=False) for image in images]
    found = as_image_source(stack_channels([[plane] for plane in planes])[0], channel_axis=0)
    assert found.normalization.high == (pytest.approx(114, abs=1), limits(images[1])[1])
    assert planes[0].pixels <= _estimate.SAMPLE_PIXELS < planes[1].pixels


def test_huge_images_are_searched_in_part():
    def distant(r, c):
        return 50.0 * ((r - 6300) ** 2 + (c - 6300) ** 2 < 1500**2)

    huge = Stored((100_000, 100_000), np.float32, distant, chunk=1000)
    assert limits(huge) == (0, 50)
    assert huge.pixels < 1 << 23
    empty = Stored(huge.shape, np.float32, lambda r, c: r * c * 0, chunk=1000)
    assert limits(empty) == (0, 0)
    thumbnail = np.zeros((400, 400), np.float32)
    thumbnail[50, 70] = 3
    assert limits([empty, thumbnail]) == (0, 3)
