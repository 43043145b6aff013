"""Pixel sizes in files of ImageJ, and from there in labels."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from napari_inter2former.annotation.saving import save_labels, write_labels
from napari_inter2former.batch import write_labels as write_batch_labels
from napari_inter2former.images import open_image
from napari_inter2former.images._spacing import spacing_of_imagej

STACK = np.zeros((3, 2, 20, 30), np.uint16)


def write_imagej(path, data, resolution=(4.0, 2.0), **metadata):
    tifffile.imwrite(path, data, imagej=True, resolution=resolution, metadata=metadata)
    return open_image(path)


@pytest.mark.parametrize("unit", ["micron", "um", "\\u00B5m", "micrometer"])
def test_imagej_pixel_sizes(tmp_path, unit):
    stored = write_imagej(
        tmp_path / "a.tif", STACK, axes="TZYX", unit=unit, spacing=1.5, finterval=20.0
    )
    assert stored.axes == "tzyx"
    assert stored.spacing == {
        "t": (20.0, "second"),
        "z": (1.5, "micrometer"),
        "y": (0.5, "micrometer"),
        "x": (0.25, "micrometer"),
    }


@pytest.mark.parametrize("unit", ["\u00b5m", "\u03bcm", "Microns"])
def test_other_names_of_units(unit):
    sizes = spacing_of_imagej({"unit": unit, "tunit": "ms", "finterval": 5}, {"x": (40, 10)})
    assert sizes == {"t": (5.0, "millisecond"), "x": (0.25, "micrometer")}
    assert spacing_of_imagej({"unit": unit}, {"x": (0, 1)}) == spacing_of_imagej(None, {}) == {}


@pytest.mark.parametrize("unit", ["pixel", "inch", "", "furlong"])
def test_numbers_that_are_no_sizes_are_left_out(tmp_path, unit):
    assert write_imagej(tmp_path / "a.tif", STACK[:, 0], axes="ZYX", unit=unit).spacing == {}


def test_a_printers_resolution_is_no_pixel_size(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", STACK[0, 0], resolution=(72, 72), resolutionunit=2)
    assert open_image(tmp_path / "a.tif").spacing == {}


def test_labels_carry_pixel_sizes(tmp_path):
    from napari_inter2former.batch._planes import Planes

    write_imagej(tmp_path / "a.tif", STACK[0], axes="ZYX", unit="nm", spacing=300.0)
    planes = Planes(tmp_path / "a.tif")
    labels = np.zeros(planes.layout.shape, np.int32)
    expected = {"z": (300.0, "nanometer"), "y": (0.5, "nanometer"), "x": (0.25, "nanometer")}
    assert planes.layout.spacing == expected
    write_batch_labels(tmp_path / "b.ome.tif", labels, {})
    assert open_image(tmp_path / "b.ome.tif").spacing == {}
    save_labels(tmp_path / "b.tif", labels, planes.layout.spacing)
    assert open_image(tmp_path / "b.tif").spacing == expected
    # What napari hands over for a labels layer.
    meta = {"scale": (2.0, 0.5, 0.5), "units": ("micrometer", "micrometer", "pixel")}
    write_labels(str(tmp_path / "c.tif"), labels, meta)
    assert open_image(tmp_path / "c.tif").spacing == {
        "z": (2.0, "micrometer"),
        "y": (0.5, "micrometer"),
    }


def test_labels_that_ome_tiff_can_not_hold(tmp_path):
    for shape, dtype in (((2, 2, 2, 20, 30), np.int32), ((20, 30), np.int64), ((20, 30), ">u2")):
        labels = np.random.default_rng(0).integers(0, 9, shape).astype(dtype)
        save_labels(tmp_path / "a.tif", labels)
        np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), labels)
