"""What a batch replaces: its own outputs as it has written them, and nothing else."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_inter2former._files import OutputError
from napari_inter2former.batch import Job, do_job, outputs_of, write_labels
from napari_inter2former.batch import _segment as segmenting
from napari_inter2former.batch._outputs import is_unchanged, read_provenance
from napari_inter2former.cli import main


@pytest.fixture
def clicks(tmp_path) -> Path:
    path = tmp_path / "clicks.csv"
    path.write_text("object,row,column,positive\n1,35,50,true\n")
    return path


@pytest.fixture
def job(folder, clicks, tmp_path, weights) -> Job:
    outputs = outputs_of(folder / "a.tif", tmp_path / "out", "zarr")
    return Job(kind="segment", clicks=str(clicks), model=weights, **outputs)


@pytest.fixture
def zarr_image(tmp_path) -> Path:
    """Return an image that lies in a zarr group."""
    zarr = pytest.importorskip("zarr", minversion="3")
    path = tmp_path / "data.zarr"
    zarr.open_group(path, mode="w").create_array("0", data=np.ones((90, 110), np.uint8))
    return path


def test_corrected_zarr_labels_are_not_replaced(job, clicks):
    zarr = pytest.importorskip("zarr", minversion="3")
    assert not do_job(job).error
    assert do_job(job).skipped
    zarr.open(job.labels, mode="r+")["0"][:10, :10] = 77
    clicks.write_text(clicks.read_text() + "2,70,20,true\n")
    assert "changed since they were written" in do_job(job).error
    assert (zarr.open(job.labels, mode="r")["0"][:10, :10] == 77).all()


def test_labels_that_are_corrected_during_the_work_are_not_replaced(job, clicks, monkeypatch):
    zarr = pytest.importorskip("zarr", minversion="3")
    assert not do_job(job).error
    clicks.write_text(clicks.read_text() + "2,70,20,true\n")
    segment = segmenting._segmented

    def correct_and_segment(*arguments):
        zarr.open(job.labels, mode="r+")["0"][:10, :10] = 77
        return segment(*arguments)

    monkeypatch.setattr(segmenting, "_segmented", correct_and_segment)
    assert "changed since they were written" in do_job(job).error
    assert (zarr.open(job.labels, mode="r")["0"][:10, :10] == 77).all()
    assert Path(job.table).exists()


def test_zarr_labels_that_were_copied_are_unchanged(tmp_path):
    zarr = pytest.importorskip("zarr", minversion="3")
    labels = np.zeros((2100, 2600), np.int32)  # in shards
    labels[:600, :600] = 5
    path, copied = tmp_path / "a_labels.ome.zarr", tmp_path / "b_labels.ome.zarr"
    write_labels(path, labels, {"made": 1})
    shutil.copytree(path, copied, copy_function=shutil.copyfile)
    (copied / ".DS_Store").write_bytes(b"where the folder's window is")
    assert is_unchanged(copied)
    assert read_provenance(copied) == {"made": 1}
    for change in (
        lambda group: group["0"].__setitem__((3, 3), 6),
        lambda group: group["0"].__setitem__(slice(None), 0),
        lambda group: group.create_group("mine"),
    ):
        shutil.rmtree(copied)
        shutil.copytree(path, copied)
        change(zarr.open_group(copied, mode="r+"))
        assert not is_unchanged(copied)


def test_outputs_neither_replace_the_image_nor_lie_in_it(zarr_image, clicks, weights, capsys):
    before = sorted(zarr_image.rglob("*"))
    for image, out, words in [
        (zarr_image / "0", zarr_image, "would replace the image"),
        (zarr_image, zarr_image / "labels" / "mine.ome.zarr", "would lie inside the image"),
    ]:
        arguments = ["segment", str(image), str(clicks), "--out", str(out), "--model", weights]
        assert main(arguments) == 2
        assert words in capsys.readouterr().err
    out = ["--out", str(zarr_image / "out"), "--model", weights]
    assert main(["everything", str(zarr_image), *out]) == 2
    assert "would lie inside the image" in capsys.readouterr().err
    assert sorted(zarr_image.rglob("*")) == before


def test_labels_that_are_the_image_by_another_name(job, tmp_path):
    link = tmp_path / "link.tif"
    os.link(job.image, link)
    outcome = do_job(replace(job, labels=str(link), table=""))
    assert "would replace the image" in outcome.error


def test_a_folder_of_something_else_is_not_replaced(folder, zarr_image, clicks, weights, capsys):
    out, image = zarr_image.with_name("out.zarr"), folder / "a.tif"
    arguments = ["segment", str(image), str(clicks), "--out", str(out), "--model", weights]
    assert main(arguments) == 0
    assert main(arguments) == 0  # as it was written
    shutil.rmtree(out)
    zarr_image.rename(out)
    assert main(arguments) == 2
    assert "holds something else" in capsys.readouterr().err
    assert (out / "0").is_dir()


def test_a_table_of_somebody_else_is_not_replaced(job):
    Path(job.table).parent.mkdir()
    Path(job.table).write_text("mine")
    assert "a_objects.csv: this table has no labels" in do_job(job).error
    assert Path(job.table).read_text() == "mine"


def test_endings_in_capitals(folder, tmp_path, clicks, weights):
    zarr = pytest.importorskip("zarr", minversion="3")
    for name in ("LABELS.ZARR", "LABELS.TIF"):
        assert main(["segment", str(folder / "a.tif"), str(clicks), "--out", str(tmp_path / name),
                     "--model", weights]) == 0  # fmt: skip
    labels = zarr.open_group(tmp_path / "LABELS.ZARR", mode="r")["0"][...]
    np.testing.assert_array_equal(labels, tifffile.imread(tmp_path / "LABELS.TIF"))
    assert read_provenance(tmp_path / "LABELS.ZARR")["kind"] == "segment"


def test_outputs_of_an_image_are_refused_inside_it(zarr_image):
    with pytest.raises(OutputError, match="would lie inside the image"):
        outputs_of(zarr_image, zarr_image / "out")
