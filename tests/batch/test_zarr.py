"""Labels as OME-Zarr: only what is painted takes time and space, and it is whole or not there."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from napari_inter2former._files import OutputError, replacing_folder
from napari_inter2former._sparse import SparseLabels
from napari_inter2former.batch import write_labels
from napari_inter2former.batch._outputs import write_planes
from napari_inter2former.batch._planes import Planes
from napari_inter2former.images import as_image_source, open_image

zarr = pytest.importorskip("zarr", minversion="3")


class Watched(SparseLabels):
    """Labels that tell which regions are read."""

    def __init__(self, shape):
        super().__init__(shape)
        self.read = []

    def __getitem__(self, key):
        self.read.append(key)
        return super().__getitem__(key)


def files_of(path: Path) -> list[Path]:
    return [file for file in path.rglob("*") if file.is_file() and file.name != "zarr.json"]


def test_only_what_is_painted_is_read_and_written(tmp_path):
    labels = Watched((30_000, 20_001))
    labels[100:200, 300:400] = 7
    labels[24_992:25_010, 19_990:] = 8
    labels[9_000:9_010, 9_000:9_010] = 9
    labels[9_000:9_010, 9_000:9_010] = 0
    path = tmp_path / "a_labels.ome.zarr"
    write_labels(path, labels, {})
    assert len(labels.read) == 3
    group = zarr.open_group(path, mode="r")
    shapes = [(30_000, 20_001), (15_000, 10_001), (7_500, 5_001), (3_750, 2_501), (1_875, 1_251),
              (938, 626)]  # fmt: skip
    assert [group[str(level)].shape for level in range(6)] == shapes
    # A file for each of the two places; in the smallest levels they lie in chunks of their own.
    assert len(files_of(path)) == 2 * len(shapes)
    for level in range(6):
        array, step = group[str(level)], 1 << level
        at = np.s_[24_000 // step : 26_000 // step, 19_000 // step :]
        there = np.s_[at[0].start * step : at[0].stop * step : step, at[1].start * step :: step]
        np.testing.assert_array_equal(array[at], labels[there])
        assert (array[: 256 // step, : 512 // step] == 7).sum() == len(
            range(-(-100 // step), -(-200 // step))
        ) * len(range(-(-300 // step), -(-400 // step)))
    # What is left out on purpose is not missed.
    source = as_image_source(open_image(path))
    assert not source.read(15_000, 10_000, 64, 64, 0).any()


def test_large_levels_are_sharded(tmp_path):
    labels = np.arange(2 * 2100 * 2600, dtype=np.int32).reshape(2, 2100, 2600) // 5
    labels[0, :, 2048:] = 0
    path = tmp_path / "a_labels.ome.zarr"
    write_labels(path, labels, {})
    group = zarr.open_group(path, mode="r")
    assert [group[str(level)].shards for level in range(3)] == [(1, 2048, 2048), None, None]
    for level in range(3):
        step = 1 << level
        assert group[str(level)].chunks == (1, 512, 512)
        np.testing.assert_array_equal(group[str(level)][...], labels[:, ::step, ::step])
    assert len(files_of(path / "0")) == 2 + 4


def test_the_old_labels_stay_where_new_ones_fail(tmp_path, monkeypatch):
    path = tmp_path / "a_labels.ome.zarr"
    write_labels(path, np.full((40, 50), 3, np.int32), {"made": 1})

    def unchanged() -> bool:
        found = zarr.open_group(path, mode="r")["0"][...]
        return bool((found == 3).all()) and list(tmp_path.iterdir()) == [path]

    with suppress(ValueError), replacing_folder(path) as beside:
        beside.mkdir()
        raise ValueError("stop")
    assert unchanged()
    rename = Path.rename

    def in_use(self: Path, target: Path) -> Path:
        if self.name.endswith(".part"):
            raise PermissionError(13, "in use")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", in_use)
    with pytest.raises(OutputError, match="in use"):
        write_labels(path, np.zeros((40, 50), np.int32), {})
    monkeypatch.undo()
    assert unchanged()
    write_labels(path, np.zeros((40, 50), np.int32), {})
    assert not zarr.open_group(path, mode="r")["0"][...].any()
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_where_a_folder_should_be(tmp_path):
    path = tmp_path / "a_labels.ome.zarr"
    path.write_text("mine")
    with pytest.raises(OutputError, match="could not be written"):
        write_labels(path, np.zeros((40, 50), np.int32), {})
    assert path.read_text() == "mine"


def write_image(path: Path, axes: str, *levels: tuple[tuple[int, ...], list[float]]) -> Path:
    """Write an empty OME-Zarr image with these shapes and scales."""
    group = zarr.open_group(path, mode="w", zarr_format=3)
    kinds = {"t": {"type": "time"}, "c": {"type": "channel"}}
    length = {"type": "space", "unit": "nanometer"}
    group.attrs["ome"] = {
        "version": "0.5",
        "multiscales": [
            {
                "axes": [{"name": a, **kinds.get(a, length)} for a in axes],
                "datasets": [
                    {
                        "path": f"s{i}",
                        "coordinateTransformations": [{"type": "scale", "scale": scale}],
                    }
                    for i, (_, scale) in enumerate(levels)
                ],
            }
        ],
    }
    for i, (shape, _) in enumerate(levels):
        group.create_array(f"s{i}", shape=shape, chunks=shape, dtype="uint8")
    return path


@pytest.mark.parametrize(
    ("axes", "levels"),
    [
        ("yx", [((70, 51), [0.5, 0.5]), ((35, 25), [1.0, 1.0]), ((8, 6), [4.0, 4.0])]),
        ("yx", [((70, 51), [2, 2]), ((35, 26), [4, 4]), ((18, 13), [8, 8]), ((9, 7), [16, 16])]),
        ("yx", [((90, 60), [1, 1]), ((60, 40), [1.5, 1.5])]),
        ("czyx", [((2, 5, 40, 30), [1, 9, 1, 1]), ((2, 3, 20, 15), [1, 18, 2, 2])]),
        ("tzyx", [((2, 4, 40, 30), [1, 9, 1, 1]), ((2, 2, 20, 15), [1, 18, 2, 2]),
                  ((2, 1, 10, 8), [1, 36, 4, 4])]),
        ("yx", [((2500, 2100), [1, 1]), ((1250, 1050), [2, 2])]),
        ("yx", [((2100, 2500), [1, 1]), ((1400, 1667), [1.5, 2500 / 1667])]),
    ],
)  # fmt: skip
def test_labels_have_the_levels_of_the_image(tmp_path, axes, levels):
    pytest.importorskip("yaozarrs")
    planes = Planes(write_image(tmp_path / "a.zarr", axes, *levels))
    layout = planes.layout
    labels = np.arange(1, np.prod(layout.shape) + 1, dtype=np.int32).reshape(layout.shape)
    path = tmp_path / "a_labels.ome.zarr"
    write_planes(path, (labels[at] for at in np.ndindex(*layout.shape[:-2])), layout, {})
    stored, image = open_image(path), open_image(tmp_path / "a.zarr")
    assert stored.spacing == {axis: image.spacing[axis] for axis in stored.axes}
    datasets = zarr.open_group(path).attrs["ome"]["multiscales"][0]["datasets"]
    kept = [axes.index(axis) for axis in stored.axes]
    assert len(datasets) == len(levels)
    for level, dataset, (shape, scale) in zip(stored.levels, datasets, levels, strict=True):
        assert level.shape == tuple(shape[i] for i in kept)
        written = dataset["coordinateTransformations"][0]["scale"]
        assert written == pytest.approx([scale[i] for i in kept])
        places = []
        for i, n, full in zip(kept, level.shape, stored.shape, strict=True):
            ratio = scale[i] / levels[0][1][i]
            if axes[i] not in "yx":
                places.append(-(-np.arange(n) * full // n))
            else:
                places.append(
                    np.arange(n) * int(ratio) if ratio % 1 == 0 else np.arange(n) * full // n
                )
        np.testing.assert_array_equal(level[...], labels[np.ix_(*places)])


def test_labels_lie_where_the_image_lies(tmp_path):
    pytest.importorskip("yaozarrs")
    path = write_image(tmp_path / "a.zarr", "cyx", ((2, 40, 30), [1, 0.5, 0.5]))
    group = zarr.open_group(path)
    ome = group.attrs["ome"]
    (multiscale,) = ome["multiscales"]
    moved = {"type": "translation", "translation": [0.0, 10.0, 20.0]}
    multiscale["datasets"][0]["coordinateTransformations"].append(moved)
    multiscale["coordinateTransformations"] = [{"type": "scale", "scale": [1.0, 2.0, 2.0]}]
    group.attrs["ome"] = ome
    layout = Planes(path).layout
    assert layout.origin == {"y": 20.0, "x": 40.0}
    write_planes(tmp_path / "b.ome.zarr", [np.ones((40, 30), np.int32)], layout, {})
    image, labels = open_image(path), open_image(tmp_path / "b.ome.zarr")
    for axis in "yx":
        assert labels.spacing[axis] == image.spacing[axis] == (1.0, "nanometer")
        assert labels.origin[axis] == image.origin[axis]
