"""Reading image files."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import tifffile

from napari_inter2former.errors import ImageError
from napari_inter2former.images import as_image_source, read_image

RGB = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
GREY16 = np.random.default_rng(1).integers(0, 60000, (20, 30), dtype=np.uint16)


@pytest.mark.parametrize("name", ["a.png", "ü.tif", "c.webp", "d.bmp"])
def test_colours_come_back_as_rgb(tmp_path, name):
    path = tmp_path / name
    if name.endswith("tif"):
        tifffile.imwrite(path, RGB)
    else:
        options = [cv2.IMWRITE_WEBP_QUALITY, 101] if name.endswith("webp") else []
        assert cv2.imwrite(str(path), RGB[..., ::-1], options)
    np.testing.assert_array_equal(read_image(path), RGB)


def test_jpeg_and_alpha(tmp_path):
    smooth = cv2.GaussianBlur(RGB, (0, 0), 5)
    cv2.imwrite(str(tmp_path / "a.jpg"), smooth[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 100])
    assert np.abs(read_image(tmp_path / "a.jpg").astype(int) - smooth).max() < 12
    rgba = np.dstack([RGB, RGB[..., 0]])
    cv2.imwrite(str(tmp_path / "b.png"), rgba[..., [2, 1, 0, 3]])
    np.testing.assert_array_equal(read_image(tmp_path / "b.png"), RGB)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_grey_tiff(tmp_path, compression):
    tifffile.imwrite(tmp_path / "a.tif", GREY16, compression=compression)
    image = read_image(str(tmp_path / "a.tif"))
    np.testing.assert_array_equal(image, GREY16)
    assert isinstance(image, np.memmap) == (compression is None)
    as_image_source(image).read(0, 0, 20, 30, 0)


def test_lzw_tiff_without_imagecodecs(tmp_path):
    cv2.imwrite(str(tmp_path / "a.tif"), GREY16, [cv2.IMWRITE_TIFF_COMPRESSION, 5])
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), GREY16)


def test_ome_tiff_channels_and_planes(tmp_path):
    path = tmp_path / "a.ome.tif"
    stack = np.arange(2 * 3 * 8 * 9, dtype=np.uint16).reshape(2, 3, 8, 9)
    tifffile.imwrite(path, stack, metadata={"axes": "ZCYX"})
    with pytest.raises(ImageError, match="2 planes"):
        read_image(path)
    image = read_image(path, plane=1)
    np.testing.assert_array_equal(image, np.moveaxis(stack[1], 0, -1))
    as_image_source(image, channel_axis=-1).read(0, 0, 8, 9, 0)
    with pytest.raises(ImageError, match="plane 2 does not exist"):
        read_image(path, plane=2)


def test_bad_files(tmp_path):
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("hello")
    tifffile.imwrite(tmp_path / "whole.tif", GREY16, compression="zlib")
    cut = (tmp_path / "whole.tif").read_bytes()
    (tmp_path / "cut.tif").write_bytes(cut[: len(cut) // 2])
    tifffile.imwrite(tmp_path / "plain.tif", GREY16)
    plain = (tmp_path / "plain.tif").read_bytes()
    (tmp_path / "cut-plain.tif").write_bytes(plain[: len(plain) // 2])
    cv2.imwrite(str(tmp_path / "one.png"), GREY16)
    for name, message in [
        ("none.png", "no file"),
        ("", "folder"),
        ("empty.png", "empty"),
        ("text.png", "no image"),
        ("cut.tif", "can't be read|cut short"),
        ("cut-plain.tif", "can't be read|cut short"),
    ]:
        with pytest.raises(ImageError, match=message):
            read_image(tmp_path / name)
    with pytest.raises(ImageError, match="one plane"):
        read_image(tmp_path / "one.png", plane=3)
