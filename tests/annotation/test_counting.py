"""The largest number in labels of every kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_inter2former._sparse import SparseLabels
from napari_inter2former.annotation import counting
from napari_inter2former.annotation.counting import Count


class Chunked:
    """An array in chunks that notes what is read."""

    def __init__(self, array: Any, chunks: tuple[int, ...]) -> None:
        self.array, self.shape, self.chunks = array, array.shape, chunks
        self.read: list[tuple[slice, ...]] = []

    def __getitem__(self, region: tuple[slice, ...]) -> Any:
        self.read.append(region)
        return self.array[region]


def largest_in(array: Any) -> int:
    count = Count(array)
    while count.go_on():
        pass
    return count.largest


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
@pytest.mark.parametrize("shape", [(9, 7), (1, 30, 40), (3, 1, 2, 5), (0, 4)])
def test_every_pixel_is_looked_at_once(
    shape: tuple[int, ...], dtype: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "BLOCK", 10)
    labels = np.zeros(shape, dtype)
    assert largest_in(labels) == 0
    for chunks in ((1,) * len(shape), (2,) * len(shape), (64,) * len(shape)):
        array = Chunked(labels, chunks)
        largest_in(array)
        seen = np.zeros(shape, int)
        for region in array.read:
            assert all(part.start % n == 0 for part, n in zip(region, chunks, strict=True))
            # One chunk at least, whatever its size.
            assert seen[region].size <= max(10, np.prod(chunks))
            seen[region] += 1
        assert (seen == 1).all()
    if labels.size:
        labels[(-1,) * len(shape)] = 77
        assert largest_in(labels) == 77


def test_sparse_labels_are_not_filled() -> None:
    labels = SparseLabels((100_000, 100_000))
    assert largest_in(labels) == 0
    labels[99_000, 5] = 4
    assert largest_in(labels) == 4
