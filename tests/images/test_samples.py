"""The tags of a TIFF say which samples are colours, channels and transparency."""

from __future__ import annotations

import warnings

import cv2
import numpy as np
import pytest
import tifffile

from napari_inter2former.evaluation.reading import read_picture
from napari_inter2former.images import as_image_source, open_image, read_image

FOUR = np.random.default_rng(0).integers(0, 255, (20, 30, 4), dtype=np.uint8)


def write(path, pixels, planar, **options):
    """Write samples side by side, or one after the other."""
    if planar:
        pixels = np.ascontiguousarray(np.moveaxis(pixels, -1, 0))
    config = "separate" if planar else "contig"
    tifffile.imwrite(path, pixels, planarconfig=config, **options)
    return path


def pixels_of(stored):
    (level, *_), axis, rgb = stored.plane()
    pixels = np.asarray(level[...])
    return pixels if axis is None or rgb else np.moveaxis(pixels, axis, -1)


@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("extra", ["unassalpha", "assocalpha", "unspecified"])
def test_rgba_is_rgb(tmp_path, planar, compression, extra):
    options = {"photometric": "rgb", "extrasamples": [extra], "compression": compression}
    path = write(tmp_path / "a.tif", FOUR, planar, **options)
    with pytest.warns(UserWarning, match=r"transparency .*a\.tif is left out"):
        stored = open_image(path)
    np.testing.assert_array_equal(pixels_of(stored), FOUR[..., :3])
    source = as_image_source(stored)
    assert source.channels == 3
    expected = as_image_source(FOUR[..., :3])
    for box in ((0, 0, 20, 30, 0), (2, 3, 5, 8, -1)):
        np.testing.assert_array_equal(source.read(*box), expected.read(*box))
    np.testing.assert_array_equal(read_image(path), FOUR[..., :3])


@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("photometric", ["minisblack", "separated"])
def test_four_channels_are_four(tmp_path, planar, photometric):
    path = write(tmp_path / "a.tif", FOUR, planar, photometric=photometric)
    stored = open_image(path)
    source = as_image_source(stored)
    assert (stored.stack, source.channels) == ({}, 4)
    np.testing.assert_array_equal(pixels_of(stored), FOUR)
    expected = as_image_source(FOUR, channel_axis=-1)
    np.testing.assert_array_equal(source.read(0, 0, 20, 30, 0), expected.read(0, 0, 20, 30, 0))
    assert read_picture(path)[1:] == (2, False)


@pytest.mark.parametrize("planar", [False, True])
def test_grey_with_alpha_is_grey(tmp_path, planar):
    options = {"photometric": "minisblack", "extrasamples": ["unassalpha"]}
    path = write(tmp_path / "a.tif", FOUR[..., :2], planar, **options)
    with pytest.warns(UserWarning, match="transparency"):
        stored = open_image(path)
    assert (stored.axes, stored.shape) == ("yx", (20, 30))
    np.testing.assert_array_equal(pixels_of(stored), FOUR[..., 0])


@pytest.mark.parametrize("planar", [False, True])
def test_colours_and_another_channel(tmp_path, planar):
    five = np.concatenate([FOUR, FOUR[..., :1]], axis=-1)
    options = {"photometric": "rgb", "extrasamples": ["unspecified", "unassalpha"]}
    path = write(tmp_path / "a.tif", five, planar, **options)
    with pytest.warns(UserWarning, match="transparency"):
        stored = open_image(path)
    assert as_image_source(stored).channels == 4
    np.testing.assert_array_equal(pixels_of(stored), FOUR)


def test_channels_of_ome_tiff_are_no_colours(tmp_path):
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, np.moveaxis(FOUR, -1, 0), metadata={"axes": "CYX"})
    stored = open_image(path)
    assert (stored.axes, as_image_source(stored).channels) == ("cyx", 4)
    tifffile.imwrite(
        path, np.stack([FOUR, FOUR[::-1]]), photometric="rgb", metadata={"axes": "ZYXS"}
    )
    with pytest.warns(UserWarning, match="transparency"):
        stored = open_image(path)
    assert (stored.stack, stored.plane(1)[1:]) == ({"z": 2}, (None, True))
    np.testing.assert_array_equal(np.asarray(stored.plane(1)[0][0]), FOUR[::-1, :, :3])


def test_pictures(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), FOUR[..., [2, 1, 0, 3]])
    with pytest.warns(UserWarning, match=r"a\.png"):
        stored = open_image(tmp_path / "a.png")
    np.testing.assert_array_equal(stored.levels[0], FOUR[..., :3])


def test_it_is_said_once(tmp_path):
    path = write(tmp_path / "once.tif", FOUR, False, photometric="rgb")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("default")
        for _ in range(3):
            open_image(path)
    assert len(said) == 1
