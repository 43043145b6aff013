"""Roles of channels, colours as displayed, and keeping both."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from napari_inter2former.errors import ImageError
from napari_inter2former.images import (
    Channels,
    Normalization,
    Rendering,
    as_displayed,
    as_image_source,
    stack_channels,
)

RNG = np.random.default_rng(0)
FIVE = RNG.random((5, 6, 7)).astype(np.float32)
UNIT = Normalization((0.0,) * 5, (1.0,) * 5)


def read(image, **options):
    return as_image_source(image, **options).read(0, 0, 6, 7, 0)


def read_roles(*roles):
    return read(FIVE, channel_axis=0, normalization=UNIT, channels=roles)


def test_roles_choose_colours():
    out = read_roles("ignore", "green", "red", "ignore", "green")
    np.testing.assert_allclose(out[..., 0], FIVE[2], atol=1e-6)
    np.testing.assert_allclose(out[..., 1], FIVE[[1, 4]].mean(axis=0), atol=1e-6)
    assert not out[..., 2].any()


def test_channels_in_use_follow_the_rule_as_if_alone():
    some = ("use", "ignore", "use", "ignore", "use")
    alone = read(FIVE[::2], channel_axis=0, normalization=UNIT.select((0, 2, 4)))
    np.testing.assert_array_equal(read_roles(*some), alone)
    one = read_roles("ignore", "ignore", "ignore", "use", "ignore")
    np.testing.assert_allclose(one, np.repeat(FIVE[3][..., None], 3, axis=2), atol=1e-6)


def test_use_beside_colours_is_grey():
    out = read_roles("use", "blue", "ignore", "ignore", "ignore")
    np.testing.assert_allclose(out[..., 0], FIVE[0], atol=1e-6)
    np.testing.assert_allclose(out[..., 2], FIVE[:2].mean(axis=0), atol=1e-6)


def test_ignored_channels_are_never_read():
    class Watched:
        shape, dtype = FIVE.shape, FIVE.dtype

        def __init__(self):
            self.read = set()

        def __getitem__(self, index):
            self.read |= set(range(*index[0].indices(5)))
            return FIVE[index]

    for roles, expected in (
        (("ignore", "red", "ignore", "green", "ignore"), {1, 3}),
        (("ignore", "use", "use", "ignore", "ignore"), {1, 2}),
    ):
        watched = Watched()
        source = as_image_source(watched, channel_axis=0, channels=roles)
        source.read(0, 0, 6, 7, 0)
        assert watched.read == expected
        limits = source.normalization
        assert limits.channels == 5
        assert all((limits.high[i] > limits.low[i]) == (i in expected) for i in range(5))
        again = as_image_source(FIVE, **source.rendering.arguments())
        np.testing.assert_array_equal(again.read(0, 0, 6, 7, 0), source.read(0, 0, 6, 7, 0))


@pytest.mark.parametrize(
    ("channels", "message"),
    [
        (("use",) * 4, "4 channels, and the image has 5"),
        (("ignore",) * 5, "ignored"),
        (("purple",) * 5, "purple"),
        ("use", "1 channels"),
        (("colormap",) * 5, "no colormap"),
    ],
)
def test_roles_that_do_not_fit(channels, message):
    with pytest.raises(ImageError, match=message):
        as_image_source(FIVE, channel_axis=0, channels=channels)


def layer(limits, colours, gamma=1.0, **other):
    colormap = SimpleNamespace(
        colors=np.array([(*c, 1.0) for c in colours]),
        controls=np.linspace(0, 1, len(colours)),
        interpolation="linear",
    )
    return SimpleNamespace(
        contrast_limits=limits, colormap=colormap, gamma=gamma, dtype=np.dtype("f4"), **other
    )


def test_as_displayed_is_what_napari_shows():
    green = layer((0.2, 0.7), [(0, 0, 0), (0, 1, 0)], gamma=0.5)
    magenta = layer((0.0, 1.0), [(0, 0, 0), (1, 0, 1)])
    rendering = as_displayed([green, magenta])
    levels = stack_channels([[FIVE[0]], [FIVE[1]]])
    out = read(levels, **rendering.arguments())
    scaled = np.clip((FIVE[0] - 0.2) / 0.5, 0, 1) ** 0.5
    np.testing.assert_allclose(out[..., 1], scaled, atol=1e-5)
    np.testing.assert_allclose(out[..., 0], FIVE[1], atol=1e-5)
    np.testing.assert_allclose(out[..., 2], FIVE[1], atol=1e-5)
    # One layer, inverted and with a kink.
    bent = layer((0.0, 1.0), [(1, 1, 1), (0.5, 0, 0), (0, 0, 0)])
    out = read(FIVE[2], **as_displayed(bent).arguments())
    np.testing.assert_allclose(out[..., 0], 1 - FIVE[2], atol=1e-5)
    np.testing.assert_allclose(out[..., 1], np.clip(1 - 2 * FIVE[2], 0, 1), atol=1e-5)
    rgb = SimpleNamespace(rgb=True, dtype=np.dtype("u1"))
    assert as_displayed(rgb).normalization == Normalization((0,) * 3, (255,) * 3)
    for bad in ([], [rgb, green]):
        with pytest.raises(ImageError):
            as_displayed(bad)


def test_a_rendering_survives_json():
    rendering = as_displayed([layer((0, 1), [(0, 0, 0), (1, 0, 0)], 0.7)] * 5)
    stored = json.loads(json.dumps(rendering.to_dict()))
    assert Rendering.from_dict(stored) == rendering
    np.testing.assert_array_equal(
        read(FIVE, **Rendering.from_dict(stored).arguments()), read(FIVE, **rendering.arguments())
    )
    plain = as_image_source(FIVE[0]).rendering
    assert Rendering.from_dict(json.loads(json.dumps(plain.to_dict()))) == plain
    for bad in (
        {},
        None,
        {**stored, "channels": {}},
        {**stored, "channels": {"roles": ["red"] * 5, "colormaps": [[1]] * 5}},
        {**stored, "normalization": 3},
        {**stored, "channel_axis": "x"},
    ):
        with pytest.raises(ImageError):
            Rendering.from_dict(bad)
    with pytest.raises(ImageError, match="gamma"):
        Channels(("use",), gammas=(0.0,))


def test_channels_must_have_one_size():
    with pytest.raises(ImageError, match="one size"):
        stack_channels([[np.zeros((4, 4))], [np.zeros((4, 5))]])
    levels = stack_channels([[np.zeros((8, 8)), np.zeros((4, 4))], [np.zeros((8, 8))]])
    assert [level.shape for level in levels] == [(2, 8, 8)]
