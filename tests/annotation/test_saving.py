"""Labels are written tile by tile, whole or not at all."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from napari_inter2former._files import OutputError
from napari_inter2former._sparse import SparseLabels
from napari_inter2former.annotation.saving import save_labels, write_labels


@pytest.mark.parametrize("shape", [(30, 40), (1100, 700), (2, 3, 600, 513)])
def test_labels_come_back(tmp_path, shape):
    labels = np.random.default_rng(0).integers(0, 9, shape).astype(np.int32)
    path = save_labels(tmp_path / "labels.tif", labels)
    np.testing.assert_array_equal(tifffile.imread(path), labels)
    sparse = SparseLabels(shape)
    sparse[..., 3:9, 5:9] = 7
    assert write_labels(str(path), sparse.levels(), {}) == [str(path)]
    np.testing.assert_array_equal(tifffile.imread(path), np.asarray(sparse))


def test_a_failure_leaves_the_old_file(tmp_path):
    path = save_labels(tmp_path / "labels.tif", np.ones((20, 20), np.int32))
    before = path.read_bytes()

    class Failing:
        shape, dtype = (2000, 2000), np.dtype(np.int32)

        def __getitem__(self, index):
            if index[0].start:
                raise OSError("disk gone")
            return np.ones((index[0].stop - index[0].start, index[1].stop - index[1].start), int)

    with pytest.raises(OutputError, match="disk gone"):
        save_labels(path, Failing())
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["labels.tif"]
    with pytest.raises(OutputError, match="could not be written"):
        save_labels(path / "below" / "a.tif", np.ones((5, 5), np.int32))
