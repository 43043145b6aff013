"""Labels as TIFF: large ones with a pyramid, in little memory, whole or not there."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from napari_inter2former import _labels
from napari_inter2former._labels import write_tiff
from napari_inter2former._sparse import SparseLabels
from napari_inter2former.annotation.saving import save_labels
from napari_inter2former.batch import write_labels
from napari_inter2former.batch._outputs import read_provenance
from napari_inter2former.images import open_image


@pytest.fixture
def _small(monkeypatch):
    """Let what is large begin earlier."""
    monkeypatch.setattr(_labels, "LARGE", 600)
    monkeypatch.setattr(_labels, "SMALL", 200)


@pytest.mark.usefixtures("_small")
@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((601, 1301), np.int32),
        ((3, 601, 1301), np.uint16),
        ((2, 2, 601, 1301), np.uint32),
        ((601, 1301), np.int64),
    ],
)
def test_large_labels_have_a_pyramid(tmp_path, shape, dtype):
    labels = (np.arange(np.prod(shape)).reshape(shape) // 37 % 60_000).astype(dtype)
    labels[..., 512:, 512:1024] = 0
    path = tmp_path / "a.tif"
    save_labels(path, labels, {"y": (0.5, "micrometer"), "x": (0.5, "micrometer")})
    with tifffile.TiffFile(path) as file:
        assert len(file.series) == 1
        levels = file.series[0].levels
        sizes = [(601, 1301), (301, 651), (151, 326), (76, 163)]
        assert [level.shape[-2:] for level in levels] == sizes
        for number, level in enumerate(levels):
            step = 1 << number
            assert level.keyframe.is_tiled
            assert level.keyframe.is_reduced == (number > 0)
            np.testing.assert_array_equal(
                level.asarray().reshape(*shape[:-2], *level.shape[-2:]), labels[..., ::step, ::step]
            )
        # Other readers look for the levels in each plane.
        assert all(len(page.subifds) == 3 for page in file.pages)
        assert file.is_ome == (dtype != np.int64)
    stored = open_image(path)
    assert [level.shape[-2:] for level in stored.levels] == sizes
    if dtype != np.int64:
        assert stored.spacing["x"] == (0.5, "micrometer")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.usefixtures("_small")
@pytest.mark.parametrize(
    ("shape", "dtype"), [((2, 601, 700), np.int64), ((2, 1, 2, 601, 700), np.int32)]
)
def test_stacks_that_ome_tiff_can_not_hold_have_one_level(tmp_path, shape, dtype):
    """For tifffile their levels would be images of their own."""
    labels = (np.arange(np.prod(shape)).reshape(shape) // 37).astype(dtype)
    save_labels(tmp_path / "a.tif", labels)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert [series.shape for series in file.series] == [shape]
        np.testing.assert_array_equal(file.asarray(), labels)


def test_small_labels_have_one_level(tmp_path):
    labels = np.arange(300 * 4096, dtype=np.int32).reshape(300, 4096) // 37
    write_labels(tmp_path / "a.ome.tif", labels, {"made": 1})
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as file:
        assert len(file.series[0].levels) == len(file.pages) == 1
        assert file.pages[0].subifds is None
    labels = np.pad(labels, ((0, 0), (0, 1)))
    write_labels(tmp_path / "a.ome.tif", labels, {"made": 2})
    assert [level.shape for level in open_image(tmp_path / "a.ome.tif").levels] == [
        (300, 4097), (150, 2049), (75, 1025), (38, 513)
    ]  # fmt: skip
    assert read_provenance(tmp_path / "a.ome.tif") == {"made": 2}


def test_what_is_empty_is_not_read(tmp_path):
    class Watched(SparseLabels):
        read = 0

        def __getitem__(self, key):
            self.read += 1
            return super().__getitem__(key)

    labels = Watched((2, 5_000, 4_200))
    labels[1, 3_600:3_700, 4_100:] = 5
    save_labels(tmp_path / "a.tif", labels)
    assert labels.read == 1
    stored = open_image(tmp_path / "a.tif")
    assert len(stored.levels) == 4
    for number, level in enumerate(stored.levels):
        step = 1 << number
        found = np.argwhere(np.asarray(level[1])) * step
        expected = np.argwhere(np.ones((100, 100))) + np.array([3_600, 4_100])
        np.testing.assert_array_equal(found, expected[(expected % step == 0).all(axis=1)])
        assert not np.asarray(level[0]).any()


@pytest.mark.usefixtures("_small")
@pytest.mark.parametrize("broken", ["plane", "check"])
def test_nothing_is_left_behind(tmp_path, broken):
    path = tmp_path / "a.tif"
    write_labels(path, np.full((40, 50), 3, np.int32), {})
    before = path.read_bytes()
    labels = np.ones((700, 700), np.int32)

    def planes():
        yield labels
        if broken == "plane":
            raise ValueError("stop")
        yield labels

    def check():
        raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        write_tiff(path, planes(), (2, 700, 700), np.int32, axes="ZYX", check=check)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
