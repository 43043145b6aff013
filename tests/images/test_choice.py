"""Channels and contrast chosen before images are opened; one contrast for a whole stack."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from napari_inter2former.errors import ImageError
from napari_inter2former.images import (
    Normalization,
    RenderedImage,
    RenderingChoice,
    StoredImage,
    as_image_source,
    normalization_of,
    open_image,
)
from napari_inter2former.images._estimate import SAMPLE_PIXELS


@pytest.fixture
def stack(tmp_path):
    """Return three planes of two channels on disk; each plane is brighter than the one before."""
    data = np.random.default_rng(0).integers(0, 100, (3, 2, 20, 30)).astype(np.uint16)
    data += np.array([0, 1000, 5000], np.uint16)[:, None, None, None]
    path = tmp_path / "stack.ome.tif"
    tifffile.imwrite(path, data, metadata={"axes": "TCYX"})
    return data, open_image(path)


def test_all_planes_get_one_contrast(stack):
    data, stored = stack
    rendered = RenderedImage(stored, RenderingChoice())
    sources = [rendered.source(number) for number in range(3)]
    channels = data.transpose(1, 0, 2, 3).reshape(2, -1)
    for source in sources:
        assert source.normalization == sources[0].normalization
        assert source.normalization.low == tuple(np.percentile(channels, 1, axis=1))
        assert source.normalization.high == tuple(np.percentile(channels, 99.8, axis=1))
    means = [source.read(0, 0, 20, 30, 0).mean() for source in sources]
    assert means[0] < 0.05 < means[1] < 0.3 < 0.9 < means[2]
    assert normalization_of(stored) == sources[0].normalization


def test_or_each_its_own(stack):
    data, stored = stack
    choice = RenderingChoice(scope="plane", percentiles=(0, 100))
    rendered = RenderedImage(stored, choice)
    for number in range(3):
        limits = rendered.source(number).normalization
        assert limits.low == tuple(data[number].min(axis=(1, 2)))
        assert limits.high == tuple(data[number].max(axis=(1, 2)))
    # By default that is what a plane gets that is opened alone.
    alone = RenderedImage(stored, RenderingChoice(scope="plane")).source({"t": 2})
    assert alone.normalization == as_image_source(*stored.plane(2)).normalization


def test_channels_and_limits(stack):
    data, stored = stack
    choice = RenderingChoice(channels=((1, "green"),), limits=((0, 8000),))
    pixels = RenderedImage(stored, choice).source(1).read(0, 0, 20, 30, 0)
    assert not pixels[..., [0, 2]].any()
    np.testing.assert_allclose(pixels[..., 1], data[1, 1] / 8000, rtol=1e-6)
    for limits in (((0, 8000),), ((0, 8000), (0, 8000))):
        both = RenderedImage(stored, RenderingChoice(limits=limits)).source(0)
        assert both.normalization == Normalization((0, 0), (8000, 8000))
    with pytest.raises(ImageError, match=r"has 2 channel.*no channel 2"):
        RenderedImage(stored, RenderingChoice(channels=((0, "use"), (2, "use"))))
    with pytest.raises(ImageError, match="2 contrasts for 1 channel"):
        RenderedImage(stored, RenderingChoice(channels=((0, "use"),), limits=((0, 1), (0, 2))))


@pytest.mark.parametrize(
    ("text", "channels"),
    [
        ("0, 2", ((0, "use"), (2, "use"))),
        ("0=Red,3=use", ((0, "red"), (3, "use"))),
        ("red,ignore,green", ((0, "red"), (1, "ignore"), (2, "green"))),
        ("1", ((1, "use"),)),
    ],
)
def test_channels_as_they_are_typed(text, channels):
    assert RenderingChoice.parse_channels(text) == channels


@pytest.mark.parametrize("text", ["", "a", "0,,1", "-1", "0=", "0=purple", "red,0", "1.5", "0=1=2"])
def test_what_names_no_channels(text):
    with pytest.raises(ImageError, match="names no channels"):
        RenderingChoice.parse_channels(text)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"channels": ((0, "use"), (0, "red"))}, "twice"),
        ({"channels": ((0, "ignore"),)}, "at least one"),
        ({"channels": ((0, "colormap"),)}, "role 'colormap'"),
        ({"limits": ((5, 5),)}, "lower one first"),
        ({"limits": ((0, float("nan")),)}, "lower one first"),
        ({"percentiles": (2, 101)}, "0 to 100"),
        ({"percentiles": (50, 50)}, "0 to 100"),
        ({"scope": "image"}, "not of a 'image'"),
    ],
)
def test_choices_that_make_no_sense(values, message):
    with pytest.raises(ImageError, match=message):
        RenderingChoice(**values)


class Counted:
    """A long stack of large planes that is made as it is read."""

    shape, dtype, chunks = (500, 3000, 3000), np.dtype(np.uint16), (1, 500, 500)

    def __init__(self):
        self.pixels, self.planes = 0, set()

    def __getitem__(self, key):
        plane, rows, columns = key
        size = (rows.stop - rows.start, columns.stop - columns.start)
        self.pixels += size[0] * size[1]
        self.planes.add(plane)
        return np.full(size, 100 + plane, np.uint16)


def test_the_sample_of_a_stack_is_bounded():
    array = Counted()
    limits = normalization_of(StoredImage((array,), "tyx"))
    assert array.pixels <= SAMPLE_PIXELS
    assert len(array.planes) == 16
    assert min(array.planes) < 40
    assert max(array.planes) > 460
    assert 100 < limits.low[0] < 140 < 560 < limits.high[0] < 600


def test_a_stack_of_even_planes_is_not_blind():
    """What a sample missed stays visible, in memory and on disk."""
    data = np.full((2, 1200, 1200), 7, np.uint8)
    data[1, 3, 3] = 90
    limits = normalization_of(StoredImage((data,), "zyx"))
    assert (limits.low, limits.high) == ((7,), (90,))
