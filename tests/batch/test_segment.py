"""Segmenting from clicks: the same labels as in memory, in images of any size."""

from __future__ import annotations

import csv
import tracemalloc
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_inter2former.batch import Job, do_job, outputs_of, write_table
from napari_inter2former.everything import measure_objects
from napari_inter2former.predictor import Predictor
from napari_inter2former.prompts import Click
from napari_inter2former.scripting import segment


@pytest.fixture
def clicks(tmp_path) -> Path:
    path = tmp_path / "clicks.csv"
    lines = ("object,row,column,positive", "7,35,50,true", "70000,30,45,true", "70000,35,50,false",
             "2,70,20,true", "9,35,50,true", "11,80,100,false")  # fmt: skip
    path.write_text("\n".join(lines))
    return path


@pytest.fixture
def job(folder, clicks, tmp_path, weights) -> Job:
    outputs = outputs_of(folder / "a.tif", tmp_path / "out")
    return Job(kind="segment", clicks=str(clicks), model=weights, **outputs)


def test_streamed_labels_are_those_made_in_memory(job, tmp_path, weights):
    outcome = do_job(job)
    assert not outcome.error
    scores = {}
    objects = {7: [Click(35, 50)], 70000: [Click(30, 45), Click(35, 50, False)],
               2: [Click(70, 20)], 9: [Click(35, 50)], 11: [Click(80, 100, False)]}  # fmt: skip
    expected = segment(tifffile.imread(job.image), objects, Predictor(weights),
                       progress=lambda label, mask: scores.update({label: mask.score}))  # fmt: skip
    labels = tifffile.imread(job.labels)
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, expected)
    write_table(tmp_path / "expected.csv", measure_objects(expected, scores))
    assert Path(job.table).read_bytes() == (tmp_path / "expected.csv").read_bytes()
    there = set(np.unique(expected).tolist()) - {0}
    assert outcome.objects == len(there)
    assert outcome.clicked == 5
    # Object 9 is clicked where object 7 lies already.
    assert 9 not in there
    assert "object 9: no pixels" in " ".join(outcome.notes)
    left = sorted(path.name for path in Path(job.labels).parent.iterdir())
    assert left == ["a_labels.ome.tif", "a_objects.csv"]


def test_compact_labels(job, clicks, tmp_path):
    assert not do_job(job).error
    expected = tifffile.imread(job.labels)
    compact = replace(job, compact=True, labels=str(tmp_path / "labels.tif"), table="")
    assert not do_job(compact).error
    labels = tifffile.imread(compact.labels)
    assert labels.dtype == np.uint32
    np.testing.assert_array_equal(labels, expected)
    clicks.write_text(clicks.read_text().replace("70000", "8"))
    assert not do_job(compact).error
    labels = tifffile.imread(compact.labels)
    assert labels.dtype == np.uint16
    np.testing.assert_array_equal(labels, np.where(expected == 70000, 8, expected))


@pytest.mark.parametrize("form", ["tiff", "zarr"])
def test_a_slide_is_segmented_in_little_memory(tmp_path, weights, form):
    """Labels in memory would take 196 MB, the image 98 MB."""
    zarr = pytest.importorskip("zarr", minversion="3")
    shape, image = (7_000, 7_000), tmp_path / "slide.zarr"
    array = zarr.create_array(str(image), shape=shape, chunks=(512, 512), dtype="uint16")
    yy, xx = np.mgrid[:512, :512]
    for at in (3584, 6144):
        array[at : at + 512, at : at + 512] = 200 + 900 * (np.hypot(yy - 250, xx - 260) < 40)
    clicks = tmp_path / "clicks.csv"
    clicks.write_text("object,row,column,positive\n1,3834,3844,true\n2,6394,6404,true\n")
    outputs = outputs_of(image, tmp_path / "out", form)
    job = Job(kind="segment", clicks=str(clicks), model=weights, **outputs)
    tracemalloc.start()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "[^.]*chunks of the zarr array")  # most are missing
            outcome = do_job(job)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert not outcome.error
    assert peak < 150 << 20, peak
    with Path(job.table).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == outcome.objects
    if form == "zarr":
        labels = zarr.open_group(job.labels, mode="r")["0"][...]
    else:
        labels = tifffile.imread(job.labels)
    for row in rows:
        assert np.count_nonzero(labels == int(row["label"])) == int(row["area"]) > 0
    assert set(np.unique(labels)) == {0, *(int(row["label"]) for row in rows)}
