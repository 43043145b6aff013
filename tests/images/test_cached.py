"""Decoded chunks are kept, within a bound, and never after the image was set anew."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_inter2former.images import as_image_source
from napari_inter2former.images._cached import ChunkCache
from napari_inter2former.images._levels import find_levels

PIXELS = np.random.default_rng(0).integers(0, 60_000, (90, 130), dtype=np.uint16)


class Chunked:
    """An array in chunks that counts which of them are decoded."""

    def __init__(self, pixels, chunks):
        self.pixels, self.chunks = pixels, chunks
        self.shape, self.ndim, self.dtype = pixels.shape, pixels.ndim, pixels.dtype
        self.decoded = []

    def __getitem__(self, key):
        spans = [
            range(part.start // size, -(-part.stop // size))
            for part, size in zip(key, self.chunks, strict=True)
        ]
        self.decoded += [(i, j) for i in spans[0] for j in spans[1]]
        return self.pixels[key].copy()


spans = st.tuples(st.integers(0, 89), st.integers(0, 129), st.integers(1, 90), st.integers(1, 130))


@settings(max_examples=60)
@given(
    st.lists(spans, min_size=1, max_size=8),
    st.sampled_from([(16, 16), (7, 50), (90, 130), (200, 3)]),
    st.sampled_from([0, 2_000, 20_000, 1 << 20]),
)
def test_regions_are_read_as_without_it(regions, chunks, bound):
    level = find_levels(Chunked(PIXELS, chunks), None, None)[0]
    cache = ChunkCache(bound)
    for row, column, height, width in regions:
        box = row, min(row + height, 90), column, min(column + width, 130)
        np.testing.assert_array_equal(cache.read(level, *box), level.read(*box))
        assert cache.nbytes <= bound


def test_a_chunk_is_decoded_once():
    array = Chunked(PIXELS, (16, 16))
    source = as_image_source(array)
    array.decoded.clear()
    source.read(20, 20, 40, 40, 0)
    assert len(array.decoded) == len(set(array.decoded)) == 9
    array.decoded.clear()
    source.read(24, 30, 20, 20, 0)
    source.read(40, 40, 64, 64, 1)
    assert not array.decoded
    source.read(8, 8, 16, 16, -1)  # rows and columns 16 to 48
    assert not array.decoded
    source.read(8, 8, 17, 16, -1)
    assert not array.decoded
    source.read(8, 8, 32, 16, -1)
    assert array.decoded == [(4, 1), (4, 2)]


def test_channels_are_kept_together():
    colours = np.random.default_rng(1).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    array = Chunked(colours, (16, 16, 3))
    source = as_image_source(array, normalization=as_image_source(colours).normalization)
    for _ in range(2):
        np.testing.assert_array_equal(
            source.read(3, 5, 30, 40, 0), as_image_source(colours).read(3, 5, 30, 40, 0)
        )
    assert len(array.decoded) == len(set(array.decoded)) == 9


@pytest.mark.parametrize("kind", ["numpy", "unchunked"])
def test_what_has_no_chunks_is_not_kept(kind, monkeypatch):
    image = PIXELS.copy()
    if kind == "unchunked":
        image = Chunked(PIXELS.copy(), (16, 16))
        image.chunks = None
        monkeypatch.setattr(Chunked, "__getitem__", lambda self, key: self.pixels[key])
    source = as_image_source(image, normalization=as_image_source(PIXELS).normalization)
    before = source.read(0, 0, 20, 20, 0)
    (image if kind == "numpy" else image.pixels)[...] = 0
    assert before.any()
    assert not source.read(0, 0, 20, 20, 0).any()


def test_changed_pixels_are_read_after_forgetting():
    array = Chunked(PIXELS.copy(), (16, 16))
    source = as_image_source(array)
    assert source.read(0, 0, 20, 20, 0).any()
    array.pixels[...] = 0
    source.forget_pixels()
    assert not source.read(0, 0, 20, 20, 0).any()
