"""Sparse labels behave like a NumPy array of the same shape."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_inter2former._disk_blocks import DiskBlocks, labels_on_disk
from napari_inter2former._files import OutputError
from napari_inter2former._sparse import SparseLabels

SHAPE = (3, 1300, 1100)


def slices(n, steps=(1, 2, 7, 600)):
    bounds = st.tuples(st.integers(0, n), st.integers(0, n), st.sampled_from(steps))
    return bounds.map(lambda b: slice(min(b[:2]), max(b[:2]), b[2]))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_it_reads_and_writes_like_numpy(data):
    sparse, dense = SparseLabels(SHAPE), np.zeros(SHAPE, np.int32)
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    for value in (4, 9):
        pixels = tuple(rng.integers(0, n, 50) for n in SHAPE)
        sparse[pixels] = value
        dense[pixels] = value
        np.testing.assert_array_equal(sparse[pixels], dense[pixels])
        other = tuple(rng.integers(-n, n, (5, 4)) for n in SHAPE)
        np.testing.assert_array_equal(sparse[other], dense[other])
    box = (data.draw(slices(3, (1, 2))), data.draw(slices(1300)), data.draw(slices(1100)))
    values = rng.integers(0, 3, dense[box].shape)
    sparse[box] = values
    dense[box] = values
    r, c = (int(rng.integers(0, n - 60)) for n in SHAPE[1:])
    part = rng.integers(0, 5, (60, 50))
    sparse[1, r : r + 60, c : c + 50] = part
    dense[1, r : r + 60, c : c + 50] = part
    plane = data.draw(st.one_of(st.integers(-3, 2), slices(3, (1, 2))))
    key = (plane, data.draw(slices(1300)), data.draw(slices(1100)))
    np.testing.assert_array_equal(sparse[key], dense[key])
    for level in sparse.levels():
        step = getattr(level, "step", 1)
        whole = dense[:, ::step, ::step]
        assert level.shape == whole.shape
        np.testing.assert_array_equal(level[key], whole[key])
    assert sparse.largest() == dense.max()


def test_only_what_is_written_takes_memory():
    sparse = SparseLabels((100_000, 100_000))
    assert sparse.nbytes == 0
    assert sparse.size == 10**10
    sparse[70_000:70_010, 80_000:80_020] = 0
    assert sparse.nbytes == 0
    assert not sparse.holds(...)
    sparse[70_000:70_010, 80_000:80_020] = 3
    assert sparse.holds(...)
    assert sparse.holds((slice(69_000, 70_001), slice(80_000, None)))
    assert not sparse.holds((slice(0, 69_000), slice(None)))
    assert not sparse.holds((slice(50_000, 50_000), slice(None)))
    assert 0 < sparse.nbytes <= 4 * 4 * 512 * 512
    assert int(sparse[70_005, 80_005]) == 3
    levels = sparse.levels()
    assert max(levels[-1].shape) <= 1024
    assert levels[2][17_500:17_503, 20_000:20_005].all()
    assert levels[-1][...].shape == levels[-1].shape


def test_a_copy_stays_as_it_is():
    sparse = SparseLabels((2, 600, 600))
    sparse[1, 10:20, 510:520] = 3
    copy = sparse.copy()
    sparse[1, 10:20, 510:515] = 4
    sparse[0, 0, 0] = 4
    assert copy.dtype == sparse.dtype
    assert np.unique(copy[...]).tolist() == [0, 3]
    assert (copy[1] == 3).sum() == 100


def test_writing_a_region_looks_at_no_pixel_one_by_one(monkeypatch):
    def refuse(*_):
        raise AssertionError

    monkeypatch.setattr(SparseLabels, "_by_block", refuse)
    sparse = SparseLabels((2, 3000, 3000))
    sparse[1, 100:2900, 200:2800] = 6
    assert (sparse[1] == 6).sum() == 2800 * 2600
    assert not sparse[0].any()


def test_bad_use():
    for shape, dtype in (((5,), np.int32), ((5, 5), float)):
        with pytest.raises(ValueError, match="two axes"):
            SparseLabels(shape, dtype)
    sparse = SparseLabels((20, 30), np.uint8)
    for bad in ((20, 0), (0, slice(None, None, -1)), (0, 0, 0)):
        with pytest.raises(IndexError):
            sparse[bad]
    with pytest.raises(IndexError):
        sparse[np.array([20]), np.array([0])] = 1
    assert np.asarray(sparse).shape == (20, 30)


def test_blocks_on_disk_hold_the_same(tmp_path):
    """Far more blocks than are in memory, written and read again and again."""
    rng = np.random.default_rng(0)
    blocks = DiskBlocks(tmp_path / "new" / "blocks.raw", in_memory=2)
    stored, dense = SparseLabels((2600, 2100), np.int32, blocks), np.zeros((2600, 2100), np.int32)
    for value in range(1, 40):
        r, c, h, w = (int(rng.integers(0, n)) for n in (2000, 1500, 600, 600))
        stored[r : r + h, c : c + w] = value
        dense[r : r + h, c : c + w] = value
    assert len(blocks) > 10
    np.testing.assert_array_equal(stored[...], dense)
    np.testing.assert_array_equal(stored[5:2500:7, 3:2000:11], dense[5:2500:7, 3:2000:11])
    blocks._file.truncate(1000)
    with pytest.raises(OutputError, match="cut short"):
        stored[...]
    blocks.close()
    assert list((tmp_path / "new").iterdir()) == []


def test_labels_on_disk_take_as_much_of_it_as_was_written(tmp_path):
    path = tmp_path / "labels.raw"
    with labels_on_disk(path, (100_000, 100_000)) as labels:
        for at in range(0, 100_000, 1000):
            labels[at : at + 10, at : at + 10] = at + 1
        assert labels[99_005, 99_005] == 99_001
        assert path.stat().st_size <= 4 * 100 * 512 * 512 * 4
    assert not path.exists()


def test_a_full_disk_is_said(tmp_path):
    class Full:
        def seek(self, *_):
            raise OSError(28, "No space left on device")

        def close(self):
            pass

    blocks = DiskBlocks(tmp_path / "labels.raw", in_memory=1)
    labels = SparseLabels((2000, 2000), np.int32, blocks)
    blocks._file.close()
    blocks._file = Full()
    labels[0, 0] = 1
    with pytest.raises(OutputError, match=r"labels\.raw.*No space left"):
        labels[1000, 1000] = 1
    blocks.close()
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="could not be written"):
        DiskBlocks(tmp_path / "file" / "labels.raw")
