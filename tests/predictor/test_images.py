"""Reading regions of every kind of array, and normalising them."""

from __future__ import annotations

import json

import cv2
import dask.array as da
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from napari_inter2former.errors import ImageError
from napari_inter2former.images import Normalization, as_image_source
from napari_inter2former.images import _source as source_module

UNIT = Normalization((0.0,), (255.0,))


def ramp(height, width, dtype=np.uint8):
    return (np.add.outer(np.arange(height) * 7, np.arange(width) * 3) % 251).astype(dtype)


def as_kind(kind, array, tmp_path):
    if kind == "numpy":
        return array
    if kind == "memmap":
        mapped = np.memmap(tmp_path / "image.dat", array.dtype, "w+", shape=array.shape)
        mapped[:] = array
        return mapped
    if kind == "dask":
        return da.from_array(array, chunks=(16, 16))
    if kind == "zarr":
        stored = zarr.create_array(
            store=tmp_path / "image.zarr", shape=array.shape, dtype=array.dtype, chunks=(16, 16)
        )
        stored[:] = array
        return stored
    if kind == "non-contiguous":
        return np.repeat(array, 2, axis=1)[:, ::2]
    assert kind == "levels"
    return [array, array[::2, ::2], array[::4, ::4]]


@pytest.mark.parametrize("kind", ["numpy", "memmap", "dask", "zarr", "non-contiguous", "levels"])
@pytest.mark.parametrize("exponent", [-1, 0, 1])
def test_every_kind_of_array_reads_the_same(kind, exponent, tmp_path):
    array = ramp(45, 61)
    image = as_kind(kind, array, tmp_path)
    got = as_image_source(image, normalization=UNIT).read(4, 8, 12, 14, exponent)
    if kind == "levels" and exponent == -1:
        expected = array[::2, ::2][4:16, 8:22] / np.float32(255)
    else:
        expected = as_image_source(array, normalization=UNIT).read(4, 8, 12, 14, exponent)[..., 0]
    assert got.dtype == np.float32
    assert got.shape == (12, 14, 3)
    assert got.flags.c_contiguous
    np.testing.assert_allclose(got, np.repeat(expected[..., None], 3, axis=2), atol=1e-6)


@pytest.mark.parametrize(
    "dtype",
    ["bool", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8", ">u2", ">f4"],
)
def test_every_real_dtype(dtype):
    array = np.arange(64).reshape(8, 8) % 2 if dtype == "bool" else np.arange(64).reshape(8, 8)
    source = as_image_source(array.astype(dtype))
    pixels = source.read(0, 0, 8, 8, 0)
    assert pixels.min() == 0
    assert pixels.max() == 1
    if dtype != "bool":
        assert np.all(np.diff(pixels[..., 0].ravel()) >= 0)


def test_a_small_contrast_on_a_large_offset_survives():
    for dtype in (np.int64, np.float64):
        array = np.arange(64, dtype=dtype).reshape(8, 8) + 10**12
        assert len(np.unique(as_image_source(array).read(0, 0, 8, 8, 0))) > 55


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.zeros((4, 4), complex), "complex"),
        (np.zeros((4, 4), object), "dtype object"),
        (np.zeros((4, 4), "U3"), "dtype"),
        (np.zeros((4, 4), "M8[s]"), "dtype"),
        (np.zeros((4, 4), [("a", "f4")]), "dtype"),
        (np.zeros(4), "two axes"),
        (np.zeros((2, 40, 40)), "one plane"),
        (np.zeros((2, 2, 4, 4)), "one plane"),
        (np.zeros((0, 4)), "empty"),
        ([], "empty list"),
        ([[1, 2], [3, 4]], "numpy.asarray"),
        ("image.png", "array"),
        (None, "array"),
        ([np.zeros((80, 80)), np.zeros((40, 20))], "do not match"),
        ([np.zeros((8, 8)), np.zeros((2, 2)), np.zeros((4, 4))], "ordered"),
        ([np.zeros((8, 8, 3)), np.zeros((4, 4))], "do not match"),
        ([np.zeros((8, 8)), np.zeros((8, 8))], "pass one plane"),
    ],
)
def test_what_is_no_image_is_refused_with_a_reason(bad, message):
    with pytest.raises(ImageError, match=message):
        as_image_source(bad)


@pytest.mark.parametrize("kwargs", [{"channel_axis": 3}, {"channel_axis": 0, "rgb": True}])
def test_wrong_channel_arguments(kwargs):
    with pytest.raises(ImageError):
        as_image_source(np.zeros((3, 8, 8)), **kwargs)
    with pytest.raises(ImageError):
        as_image_source(np.zeros((8, 8)), rgb=True)


def test_channels_become_three_by_the_documented_rule():
    rng = np.random.default_rng(0)
    five = rng.random((5, 6, 7)).astype(np.float32)
    limits = Normalization((0.0,) * 5, (1.0,) * 5)
    out = as_image_source(five, channel_axis=0, normalization=limits).read(0, 0, 6, 7, 0)
    np.testing.assert_allclose(out[..., 0], five[[0, 3]].mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(out[..., 2], five[2], atol=1e-6)
    two = as_image_source(five[:2], channel_axis=0, normalization=Normalization((0, 0), (1, 1)))
    out = two.read(0, 0, 6, 7, 0)
    np.testing.assert_allclose(out[..., 1], five[1], atol=1e-6)
    np.testing.assert_allclose(out[..., 2], five[:2].mean(axis=0), atol=1e-6)
    rgba = rng.integers(0, 255, (6, 7, 4), dtype=np.uint8)
    np.testing.assert_array_equal(
        as_image_source(rgba).read(0, 0, 6, 7, 0),
        as_image_source(rgba[..., :3]).read(0, 0, 6, 7, 0),
    )
    one = as_image_source(five[:1], channel_axis=0)
    grey = as_image_source(five[0])
    np.testing.assert_array_equal(one.read(0, 0, 6, 7, 0), grey.read(0, 0, 6, 7, 0))
    for axis in (1, 2, -1):
        moved = np.moveaxis(five, 0, axis)
        out = as_image_source(moved, channel_axis=axis, normalization=limits).read(0, 0, 6, 7, 0)
        np.testing.assert_allclose(out[..., 2], five[2], atol=1e-6)


def test_constant_nan_and_infinite_images():
    for value in (0, 7, np.nan, np.inf):
        pixels = as_image_source(np.full((9, 9), value)).read(0, 0, 9, 9, 0)
        assert not pixels.any()
    image = np.linspace(0, 1, 100).reshape(10, 10)
    holes = image.copy()
    holes[0, 0], holes[0, 1], holes[9, 9] = np.nan, -np.inf, np.inf
    source = as_image_source(holes)
    assert source.normalization.low[0] == pytest.approx(np.percentile(holes.ravel()[2:99], 1))
    pixels = source.read(0, 0, 10, 10, 0)
    assert np.isfinite(pixels).all()
    assert (pixels[0, 0, 0], pixels[0, 1, 0], pixels[9, 9, 0]) == (0, 0, 1)


def test_a_few_bright_pixels_on_an_even_background_stay_visible():
    image = np.zeros((100, 100), np.uint16)
    image[50, 50:54] = 900
    assert as_image_source(image).read(0, 0, 100, 100, 0).max() == 1


def test_normalization_percentiles_and_round_trip():
    image = np.random.default_rng(1).normal(100, 20, (64, 64, 3))
    source = as_image_source(image)
    expected = np.percentile(image.reshape(-1, 3), (1, 99.8), axis=0)
    np.testing.assert_allclose(source.normalization.low, expected[0])
    np.testing.assert_allclose(source.normalization.high, expected[1])
    stored = json.loads(json.dumps(source.normalization.to_dict()))
    assert Normalization.from_dict(stored) == source.normalization
    for bad in ({}, {"low": [0]}, {"low": [0], "high": [1, 2]}, {"low": 3, "high": 4}):
        with pytest.raises(ImageError):
            Normalization.from_dict(bad)
    with pytest.raises(ImageError, match="3"):
        as_image_source(image, normalization=UNIT)
    with pytest.raises(ImageError, match="finite"):
        Normalization((float("nan"),), (1.0,))


@given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 5), st.data())
def test_shrinking_averages_areas(h, w, k, data):
    n = 2**k
    image = np.random.default_rng(h * 100 + w).random((h, w)).astype(np.float32)
    height, width = -(-h // n), -(-w // n)
    r0 = data.draw(st.integers(0, height - 1))
    c0 = data.draw(st.integers(0, width - 1))
    rows, columns = data.draw(st.integers(1, height - r0)), data.draw(st.integers(1, width - c0))
    source = as_image_source(image, normalization=Normalization((0.0,), (1.0,)))
    got = source.read(r0, c0, rows, columns, -k)[..., 0]
    padded = np.pad(image, ((0, height * n - h), (0, width * n - w)), mode="edge")
    means = padded.reshape(height, n, width, n).mean(axis=(1, 3))
    np.testing.assert_allclose(got, means[r0 : r0 + rows, c0 : c0 + columns], atol=1e-5)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_enlarging_is_bilinear_and_does_not_depend_on_the_window(k):
    image = np.random.default_rng(3).random((20, 30)).astype(np.float32)
    zoom = 2**k
    source = as_image_source(image, normalization=Normalization((0.0,), (1.0,)))
    whole = source.read(0, 0, 20 * zoom, 30 * zoom, k)
    expected = cv2.resize(image, (30 * zoom, 20 * zoom), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(whole[..., 0], expected, atol=1e-6)
    part = source.read(4 * zoom, 7 * zoom, 6 * zoom, 5 * zoom, k)
    np.testing.assert_allclose(part, whole[4 * zoom : 10 * zoom, 7 * zoom : 12 * zoom], atol=1e-6)


def test_strips_equal_one_piece(monkeypatch):
    image = np.random.default_rng(4).random((100, 90)).astype(np.float32)
    source = as_image_source(image)
    for pyramid in (source, as_image_source([image, image[::3, ::3]])):
        whole = pyramid.read(0, 0, 25, 23, -2)
        monkeypatch.setattr(source_module, "STRIP_PIXELS", 500)
        np.testing.assert_allclose(pyramid.read(0, 0, 25, 23, -2), whole, atol=1e-6)
        monkeypatch.undo()


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("rounding", ["up", "down"])
@pytest.mark.parametrize("k", [0, 1, 2, 3, 4])
def test_pyramids_of_any_factor_keep_things_in_place(factor, rounding, k):
    """A smooth blob has the same centre whichever level is read."""
    h, w = 331, 289
    rows, columns = np.mgrid[:h, :w]
    image = np.exp(-((rows - 201) ** 2 + (columns - 97) ** 2) / 900).astype(np.float32)
    levels, n = [image], factor
    while min(h, w) // n > 8:
        if rounding == "up":
            size = (-(-h // n), -(-w // n))
            padded = np.pad(image, ((0, size[0] * n - h), (0, size[1] * n - w)), mode="edge")
        else:
            size = (h // n, w // n)
            padded = image[: size[0] * n, : size[1] * n]
        levels.append(padded.reshape(size[0], n, size[1], n).mean(axis=(1, 3)))
        n *= factor
    source = as_image_source(levels, normalization=Normalization((0.0,), (1.0,)))
    zoomed = source.read(0, 0, -(-h // 2**k), -(-w // 2**k), -k)[..., 0]
    for axis, centre in ((0, 201), (1, 97)):
        profile = zoomed.sum(axis=1 - axis)
        found = (np.arange(len(profile)) + 0.5) @ profile / profile.sum() * 2**k - 0.5
        assert found == pytest.approx(centre, abs=0.35 * 2**k)


class Recorder:
    """A lazy array that counts what is read of it."""

    def __init__(self, shape, dtype=np.uint16, fail=False):
        self.shape, self.dtype, self.fail, self.pixels = shape, np.dtype(dtype), fail, 0

    def __getitem__(self, index):
        if self.fail:
            raise OSError("disk gone")
        rows, columns = (range(*s.indices(n)) for s, n in zip(index, self.shape, strict=True))
        self.pixels += len(rows) * len(columns)
        return np.add.outer(np.asarray(rows), np.asarray(columns)).astype(self.dtype)


def test_only_the_window_is_read_of_a_huge_image():
    image = Recorder((1_000_000, 1_000_000))
    source = as_image_source(image)
    assert image.pixels <= 1 << 21
    before = image.pixels
    source.read(600_000, 700_000, 512, 512, 0)
    assert image.pixels - before == 512 * 512


def test_the_fitting_level_is_read():
    levels = [Recorder((1 << k, 1 << k)) for k in (16, 15, 14, 13, 12)]
    source = as_image_source(levels)
    for level in levels:
        level.pixels = 0
    source.read(100, 100, 256, 256, -3)
    assert [level.pixels for level in levels] == [0, 0, 0, 256 * 256, 0]


def test_long_images_are_sampled_too():
    for shape in ((1, 3_000_000), (3_000_000, 2)):
        source = as_image_source(Recorder(shape, np.uint32))
        assert source.normalization.high[0] > source.normalization.low[0]


def test_a_failing_disk_is_reported():
    with pytest.raises(ImageError, match="disk gone"):
        as_image_source(Recorder((64, 64), fail=True))


def test_large_memory_images_use_a_strided_sample_near_the_percentiles():
    image = np.random.default_rng(5).integers(0, 1000, (2500, 2500), dtype=np.uint16)
    normalization = as_image_source(image).normalization
    assert normalization.low[0] == pytest.approx(10, abs=3)
    assert normalization.high[0] == pytest.approx(998, abs=2)


def test_an_even_sample_of_a_large_lazy_image_does_not_blind_the_model():
    class Mostly(Recorder):
        def __getitem__(self, index):
            return super().__getitem__(index) * 0

    assert as_image_source(Mostly((100_000, 100_000))).normalization.high == (65535.0,)


@pytest.mark.parametrize(
    ("bright", "spots"), [(slice(None), 8), (slice(0, 1 << 13), 16), (slice(0, 0), 16 + 256)]
)
def test_a_stored_image_is_sampled_in_more_spots_if_some_are_empty(bright, spots):
    class Striped(Recorder):
        def __getitem__(self, index):
            self.spots = getattr(self, "spots", 0) + 1
            columns = np.arange(*index[1].indices(self.shape[1]))
            within = np.isin(columns, np.arange(self.shape[1])[bright])
            return np.where(within, super().__getitem__(index) % 1000, 0).astype(self.dtype)

    image = Striped((1 << 15, 1 << 15))
    as_image_source(image)
    assert image.spots == spots


@pytest.mark.parametrize("chunks", [(256, 256), (64, 3000), (3000, 64), (3000, 3000), (500, 3000)])
def test_the_sample_is_spread_whatever_the_chunks(chunks):
    class Chunked(Recorder):
        def __getitem__(self, index):
            rows, columns = (np.arange(*part.indices(3000)) for part in index)
            return (rows[:, None] + columns).astype(np.uint16)

    image = Chunked((3000, 3000))
    image.chunks = chunks
    normalization = as_image_source(image).normalization
    assert normalization.low[0] < 1200
    assert normalization.high[0] > 4800


@pytest.mark.parametrize("dtype", [bool, np.uint16, np.float32])
def test_an_object_that_the_sample_misses_stays_visible(dtype):
    image = np.zeros((4096, 4096), dtype)
    image[2001:2003, 2001:2003] = 1
    assert as_image_source(image).read(2000, 2000, 5, 5, 0).max() > 0


@pytest.mark.parametrize(("side", "whole"), [(1000, True), (10_000, True), (20_000, False)])
def test_zooming_out_ends_where_reading_takes_long(side, whole):
    """All of an image is looked at where that can be read, however small it becomes."""
    lowest = as_image_source(Recorder((side, side))).lowest_exponent(256)
    assert (side * 2.0**lowest <= 1) is whole
    if not whole:
        read = min(side, 256 * 2**-lowest)
        assert source_module.STORED_READ_PIXELS / 4 < read**2 <= source_module.STORED_READ_PIXELS


def test_a_source_passes_through():
    source = as_image_source(np.zeros((4, 4)))
    assert as_image_source(source) is source
