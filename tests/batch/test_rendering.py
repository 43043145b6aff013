"""Channels and contrast on the command line, and what counts as done."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_inter2former.batch import _state
from napari_inter2former.batch._outputs import read_provenance
from napari_inter2former.batch._state import image_state
from napari_inter2former.cli import main
from napari_inter2former.everything import EverythingSettings, segment_everything
from napari_inter2former.images import Normalization
from napari_inter2former.weights import load_model


@pytest.fixture
def image(tmp_path) -> Path:
    """Return two channels with different objects."""
    data = np.random.default_rng(0).integers(0, 60, (2, 60, 70)).astype(np.uint8)
    data[0, 10:30, 10:35] += 150
    data[1, 30:50, 30:60] += 150
    path = tmp_path / "images" / "a.ome.tif"
    path.parent.mkdir()
    tifffile.imwrite(path, data, metadata={"axes": "CYX"})
    return path


def test_options_choose_what_the_model_sees(image, tmp_path, weights, capsys):
    out = tmp_path / "out"
    options = ["--channels", "1", "--contrast", "0", "200"]
    command = ["everything", str(image), "--out", str(out), "--model", weights, "--zoom", "1",
               "--min-score", "0", "--min-area", "1", "--threads", "1"]  # fmt: skip
    assert main([*command, *options]) == 0
    labels = tifffile.imread(out / "a_labels.ome.tif")
    settings = EverythingSettings(zoom=1, min_score=0, min_area=1)
    expected = segment_everything(
        tifffile.imread(image)[1],
        load_model(weights),
        settings=settings,
        normalization=Normalization((0,), (200,)),
    )
    np.testing.assert_array_equal(labels, expected.labels)
    assert main([*command, *options]) == 0
    assert "1 were done before" in capsys.readouterr().out
    for other in (["--channels", "1"], ["--channels", "1=red", *options[2:]],
                  ["--percentiles", "1", "99"], ["--contrast-of", "plane"]):  # fmt: skip
        assert main([*command, *other]) == 0
        assert "done before" not in capsys.readouterr().out
    made = read_provenance(out / "a_labels.ome.tif")
    assert made is not None
    assert made["rendering"]["scope"] == "plane"


def test_segment_and_precompute_too(image, tmp_path, weights, capsys, monkeypatch):
    from napari_inter2former.predictor import _disk_cache

    monkeypatch.setattr(_disk_cache, "default_folder", lambda: tmp_path / "cache")
    clicks = tmp_path / "clicks.csv"
    clicks.write_text("object,row,column,positive\n1,40,45,true\n")
    more = ["--model", weights, "--threads", "1"]
    written = []
    roles = ["--channels", "ignore,use", "--contrast-of", "plane"]
    for options in ([], ["--channels", "1"], roles):
        out = tmp_path / "labels.tif"
        assert main(["segment", str(image), str(clicks), "--out", str(out), *more, *options]) == 0
        written.append(tifffile.imread(out))
    single = tmp_path / "single.tif"
    tifffile.imwrite(single, tifffile.imread(image)[1])
    assert main(["segment", str(single), str(clicks), "--out", str(out), *more]) == 0
    np.testing.assert_array_equal(written[1], tifffile.imread(out))
    np.testing.assert_array_equal(written[2], tifffile.imread(out))
    assert main(["precompute", str(image), *more, "--channels", "0"]) == 0
    assert main(["precompute", str(image), *more, "--channels", "1"]) == 0
    assert "1 windows encoded" in capsys.readouterr().out
    assert main(["precompute", str(single), *more]) == 0
    assert "1 were done before" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--channels", "dapi"], "'dapi' names no channels"),
        (["--channels", "0=colormap"], "names no channels"),
        (["--channels", "0,0"], "named twice"),
        (["--contrast", "9", "3"], "lower one first"),
        (["--percentiles", "1", "200"], "0 to 100"),
    ],
)
def test_bad_values_are_said_before_any_work(image, tmp_path, weights, capsys, options, message):
    clicks = tmp_path / "clicks.csv"
    clicks.write_text("object,row,column,positive\n1,40,45,true\n")
    out = ["--out", str(tmp_path / "out" / "labels.tif")]
    for command in (["everything", str(image), *out], ["precompute", str(image)],
                    ["segment", str(image), str(clicks), *out],
                    ["segment", str(image.parent), str(tmp_path), *out]):  # fmt: skip
        assert main([*command, "--model", weights, *options]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_channel_that_an_image_lacks_fails_that_image(image, tmp_path, weights, capsys):
    tifffile.imwrite(image.parent / "b.tif", np.zeros((40, 50), np.uint8))
    command = ["everything", str(image.parent), "--out", str(tmp_path / "out"), "--model", weights]
    assert main([*command, "--channels", "1", "--threads", "1", "--zoom", "1"]) == 1
    printed = capsys.readouterr()
    assert "1 image(s) done" in printed.out
    assert "b.tif has 1 channel(s), counted from 0; there is no channel 1" in printed.err


def test_a_chunk_that_is_rewritten_in_place_shows(tmp_path, monkeypatch):
    folder = tmp_path / "a.zarr"
    chunks = folder / "0" / "c" / "0"
    chunks.mkdir(parents=True)
    (folder / "zarr.json").write_text("{}")
    for name in "012":
        (chunks / name).write_bytes(b"1234")
    before = image_state(folder)
    assert before[0] == 7
    assert image_state(folder) == before
    times = (chunks / "1").stat()
    (chunks / "1").write_bytes(b"4321")
    os.utime(chunks / "1", ns=(times.st_atime_ns, before[2] + 10**9))
    assert image_state(folder) != before
    rewritten = image_state(folder)
    (chunks / "2").unlink()
    assert image_state(folder)[:2] == [6, rewritten[1] - 4]
    # Of more files only the first are looked at.
    monkeypatch.setattr(_state, "MOST_FILES", 4)
    assert image_state(folder)[0] == 4
    bounded = image_state(folder)
    os.utime(chunks / "1", ns=(times.st_atime_ns, before[2] + 10**10))
    assert image_state(folder) == bounded


def test_rewritten_chunks_are_worked_on_again(tmp_path, weights, capsys):
    zarr = pytest.importorskip("zarr", minversion="3")
    path = tmp_path / "a.zarr"
    array = zarr.create_array(str(path), shape=(60, 70), chunks=(30, 35), dtype="uint8")
    array[...] = np.random.default_rng(0).integers(0, 200, (60, 70))
    command = ["everything", str(path), "--out", str(tmp_path / "out"), "--model", weights,
               "--zoom", "1", "--threads", "1"]  # fmt: skip
    assert main(command) == 0
    assert main(command) == 0
    assert "1 were done before" in capsys.readouterr().out
    array[:30, :35] = 9
    assert main(command) == 0
    assert "done before" not in capsys.readouterr().out
