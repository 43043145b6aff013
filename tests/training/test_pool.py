"""Pools that are large, partly damaged, or in other layouts."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from napari_inter2former._cache import BoundedCache
from napari_inter2former.evaluation.datasets import DatasetError, find_pairs
from napari_inter2former.training import pool as module
from napari_inter2former.training.pool import make_dataset, read_pool

from .conftest import draw_pair


@pytest.fixture
def many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a dataset of nine images, of which three are read at once."""
    monkeypatch.setattr(module, "MOST_CHECKED", 3)
    for i in range(9):
        draw_pair(tmp_path / "many", f"{i:04d}", i)
    return tmp_path / "many"


def test_large_datasets_are_read_when_they_are_drawn(
    many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    original = module.TrainingImage._read
    monkeypatch.setattr(
        module.TrainingImage, "_read", lambda self: read.append(self.pair.name) or original(self)
    )
    dataset, skipped = make_dataset("many", find_pairs(many))
    assert not skipped
    assert read == ["0000", "0003", "0006"]
    assert dataset.objects == 27
    assert len(dataset.images) == 9
    assert len(dataset.images[8].objects) == 3
    assert read[3:] == ["0008"]


def test_a_damaged_image_of_a_large_dataset_is_named_when_it_is_drawn(
    many: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("0001_label", "0008_image"):
        (many / f"{name}.png").write_bytes(b"damaged")
    dataset, _ = make_dataset("many", find_pairs(many))
    drawn = {dataset.images[i % len(dataset.images)].pair.name for i in range(27)}
    assert drawn == {f"{i:04d}" for i in (0, 2, 3, 4, 5, 6, 7)}
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "(1 by now)" in lines[0]
    assert "0001_label.png" in "".join(lines)
    assert "0008_image.png" in "".join(lines)


def test_a_large_dataset_that_vanishes(many: Path) -> None:
    dataset, _ = make_dataset("many", find_pairs(many))
    for path in many.iterdir():
        path.unlink()
    module._memory.clear()
    for image in dataset.images._images:  # type: ignore[attr-defined]
        vars(image).pop("objects", None)
    with pytest.raises(DatasetError, match="No image is left"):
        _ = dataset.images[0]


def test_memory_is_bounded(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = 120 * 120 * (3 + 4)
    monkeypatch.setattr(module, "_memory", BoundedCache(2 * one))
    dataset, _ = make_dataset("many", find_pairs(many))
    for image in dataset.images:
        assert image.pixels.shape == (120, 120, 3)
        assert image.labels.max() == 3
    assert module._memory.nbytes == 2 * one


def test_pools_of_other_layouts(tmp_path: Path) -> None:
    draw_pair(tmp_path / "pool" / "pairs" / "train", "a", 0)
    for name in ("train", "val"):
        draw_pair(tmp_path / name, "a", 1)
        for kind, folder in (("image", "images"), ("label", "labels")):
            target = tmp_path / "pool" / "folders" / folder / name / "a.png"
            target.parent.mkdir(parents=True)
            (tmp_path / name / f"a_{kind}.png").rename(target)
    at = tmp_path / "pool" / "bowl" / "stage1_train" / "id"
    (at / "images").mkdir(parents=True)
    (at / "masks").mkdir()
    cv2.imwrite(str(at / "images" / "id.png"), np.full((50, 50, 4), 9, np.uint8))
    mask = np.zeros((50, 50), np.uint8)
    mask[5:15, 5:15] = 255
    cv2.imwrite(str(at / "masks" / "one.png"), mask)
    datasets, skipped = read_pool(tmp_path / "pool", "train")
    assert not skipped
    assert {d.name: d.objects for d in datasets} == {"bowl": 1, "folders": 3, "pairs": 3}


@pytest.mark.parametrize("content", ["nothing", "files"])
def test_a_pool_with_nothing_in_it(tmp_path: Path, content: str) -> None:
    if content == "files":
        (tmp_path / "a").mkdir()
        (tmp_path / "a" / "readme.txt").write_text("soon")
    with pytest.raises(DatasetError, match="no dataset found"):
        read_pool(tmp_path, "train")


def test_gaps_in_numbers_and_whole_floats(tmp_path: Path) -> None:
    import tifffile

    labels = np.zeros((60, 60), np.float32)
    labels[5:15, 5:15], labels[30:40, 30:40] = 7, 60000
    tifffile.imwrite(tmp_path / "a_label.tif", labels)
    tifffile.imwrite(tmp_path / "b_label.tif", labels + 0.5)
    for name in "ab":
        tifffile.imwrite(tmp_path / f"{name}_image.tif", np.zeros((60, 60), np.uint16))
    dataset, skipped = make_dataset("floats", find_pairs(tmp_path))
    assert sorted(np.unique(dataset.images[0].labels)) == [0, 1, 2]
    (line,) = skipped
    assert "b_label.tif" in line
    assert "fractional" in line
