from __future__ import annotations

import csv
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from napari_inter2former._files import OutputError
from napari_inter2former.batch import (
    BatchError,
    Job,
    claimed,
    do_job,
    find_images,
    output_stem,
    outputs_of,
    run_jobs,
    write_labels,
)
from napari_inter2former.batch._outputs import read_provenance
from napari_inter2former.cli import main
from napari_inter2former.everything import EverythingSettings
from napari_inter2former.weights import save_weights

from ..networks import smallest_model

SETTINGS = EverythingSettings(zoom=1, min_score=0, min_area=1)


@pytest.fixture
def jobs(folder, tmp_path, weights):
    return [
        Job(kind="everything", model=weights, settings=SETTINGS,
            **outputs_of(image, tmp_path / "out", "tiff"))
        for image in find_images([folder])
    ]  # fmt: skip


def contents(out: Path) -> dict[str, bytes | np.ndarray]:
    """Pixels of the labels and bytes of the tables: the files' headers hold times."""
    return {
        path.name: tifffile.imread(path).tobytes() if path.suffix == ".tif" else path.read_bytes()
        for path in sorted(out.iterdir())
        if not path.name.startswith(".")
    }


def test_find_images(folder, tmp_path, monkeypatch):
    (folder / "notes.txt").write_text("no image")
    (folder / ".hidden.tif").write_bytes(b"")
    (folder / "a_labels.ome.tif").write_bytes(b"an output of ours")
    names = [path.name for path in find_images([folder])]
    assert names == ["a.tif", "b.tif", "c.tif"]
    monkeypatch.chdir(folder)
    assert find_images(["a.tif", folder / "a.tif"]) == [Path("a.tif")]
    assert find_images([folder / "a.tif", folder, str(folder / "[ab].tif")]) == find_images(
        [str(folder / "?.tif")]
    )
    (folder / "z.zarr").mkdir()
    (folder / "z.zarr" / "zarr.json").write_text("{}")
    assert find_images([folder])[-1].name == "z.zarr"
    assert find_images([folder / "z.zarr"]) == [folder / "z.zarr"]
    with pytest.raises(BatchError, match="no image found"):
        find_images([tmp_path / "missing"])
    (folder / "a.png").write_bytes(b"")
    with pytest.raises(BatchError, match="would both be written"):
        find_images([folder])


@pytest.mark.parametrize(
    ("name", "stem"),
    [("a.tif", "a"), ("a.b.ome.tif", "a.b"), ("A.OME.ZARR", "A"), ("raw", "raw"), (".tif", ".tif")],
)
def test_output_stems(name, stem):
    assert output_stem(Path(name)) == stem


def test_labels_and_table(jobs, tmp_path):
    outcomes = run_jobs(jobs)
    assert [outcome.error for outcome in outcomes] == [""] * 3
    for job, outcome in zip(jobs, outcomes, strict=True):
        labels = tifffile.imread(job.labels)
        assert labels.shape == (90, 110)
        with tifffile.TiffFile(job.labels) as file:
            assert file.is_ome
            assert file.pages[0].is_tiled
        with Path(job.table).open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == outcome.objects == labels.max()
        for row in rows:
            assert np.count_nonzero(labels == int(row["label"])) == int(row["area"])
            assert 0 <= float(row["score"]) <= 1
    files = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert files == [f"{n}_{what}" for n in "abc" for what in ("labels.ome.tif", "objects.csv")]


def test_what_is_done_is_skipped_and_what_changed_is_not(jobs):
    run_jobs(jobs)
    assert [outcome.skipped for outcome in run_jobs(jobs)] == [True] * 3
    data = tifffile.imread(jobs[1].image)
    tifffile.imwrite(jobs[1].image, np.ascontiguousarray(data[::-1, :100]))
    Path(jobs[2].table).unlink()
    assert [outcome.skipped for outcome in run_jobs(jobs)] == [True, False, False]
    assert tifffile.imread(jobs[1].labels).shape == (90, 100)
    from dataclasses import replace

    other = replace(jobs[0], settings=EverythingSettings(zoom=1, min_area=10**6))
    assert not do_job(other).skipped
    assert tifffile.imread(jobs[0].labels).max() == 0


def test_labels_that_were_corrected_are_not_replaced(jobs):
    run_jobs(jobs[:1])
    corrected = np.full((90, 110), 7, np.int32)
    tifffile.imwrite(jobs[0].labels, corrected)
    assert "changed since they were written" in do_job(jobs[0]).error
    assert (tifffile.imread(jobs[0].labels) == corrected).all()


def test_another_command_or_format_does_not_replace_labels(jobs, tmp_path):
    from dataclasses import replace

    do_job(jobs[0])
    clicks = tmp_path / "clicks.csv"
    clicks.write_text("object,row,column,positive\n1,20,20,true\n")
    other = replace(jobs[0], kind="segment", settings=None, clicks=str(clicks))
    assert "made by 'inter2former everything'" in do_job(other).error
    form = replace(jobs[0], **outputs_of(jobs[0].image, tmp_path / "out", "zarr"))
    assert "made by 'inter2former everything' as tif" in do_job(form).error
    assert do_job(jobs[0]).skipped


def test_weights_that_were_trained_further_are_loaded_again(jobs, tmp_path):
    from dataclasses import replace

    path = tmp_path / "mine.safetensors"
    save_weights(path, smallest_model())
    job = replace(jobs[0], model=str(path))
    assert do_job(job).error == ""
    assert do_job(job).skipped
    trained = smallest_model()
    with torch.no_grad():
        next(trained.parameters()).add_(1)
    save_weights(path, trained)
    assert not do_job(job).skipped


@pytest.mark.parametrize("named", [False, True])
def test_a_second_run_takes_no_labels_for_images(jobs, folder, named):
    from dataclasses import replace

    job = replace(jobs[0], **outputs_of(jobs[0].image, folder))
    assert do_job(job).error == ""
    before = {Path(each.image) for each in jobs}
    found = find_images(sorted(folder.glob("*.tif")) if named else [str(folder / "*.tif")])
    assert set(found) == before
    with pytest.raises(BatchError, match="labels that this program has written"):
        find_images([job.labels])


def test_failures_are_named_and_end_nothing(jobs, folder):
    Path(jobs[1].image).write_bytes(b"II*\0 broken off")
    outcomes = run_jobs(jobs)
    assert [bool(outcome.error) for outcome in outcomes] == [False, True, False]
    assert "b.tif" in outcomes[1].error
    assert not Path(jobs[1].labels).exists()


def test_an_image_that_changes_meanwhile(jobs, monkeypatch):
    job = jobs[0]
    from napari_inter2former import everything

    search = everything.search_everything

    def change_and_search(*args, **kwargs):
        with Path(job.image).open("ab") as file:
            file.write(b"more")
        return search(*args, **kwargs)

    monkeypatch.setattr(everything, "search_everything", change_and_search)
    outcome = do_job(job)
    assert "changed while" in outcome.error
    assert not Path(job.labels).exists()
    assert not Path(job.table).exists()


def test_a_full_disk_leaves_nothing_half_written(jobs, monkeypatch):
    job = jobs[0]
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", lambda file: (_ for _ in ()).throw(OSError(28, "disk full")))
        assert "disk full" in do_job(job).error
    out = Path(job.labels).parent
    assert [p for p in out.rglob("*") if p.suffix in (".tif", ".csv", ".part")] == []
    assert not do_job(job).error


def test_what_a_killed_job_left_goes_after_a_day(tmp_path):
    old = [tmp_path / f".a_labels.ome.{name}" for name in (
        "tif.0123abcd.part", "tif.0123abcd.raw", "zarr.89abcdef.part")]  # fmt: skip
    new, mine = tmp_path / ".b.tif.0123abcd.part", tmp_path / ".c.tif.part"
    for path in (*old[:2], new, mine):
        path.write_text("")
    (old[2] / "0").mkdir(parents=True)
    for path in (*old, mine):
        os.utime(path, (1e9, 1e9))
    with claimed(tmp_path):
        left = {path for path in tmp_path.iterdir() if path.suffix != ".lock"}
    assert left == {new, mine}


def test_labels_never_replace_the_image(jobs):
    from dataclasses import replace

    job = jobs[0]
    before = Path(job.image).read_bytes()
    assert "would replace the image" in do_job(replace(job, labels=job.image)).error
    assert Path(job.image).read_bytes() == before


def test_a_table_that_is_open_elsewhere(jobs, monkeypatch):
    job = jobs[0]
    assert not do_job(job).error
    labels = Path(job.labels).read_bytes()
    with Path(job.image).open("ab") as file:
        file.write(b"changed")
    unlink = Path.unlink

    def in_use(self, missing_ok=False):
        if self.suffix == ".csv":
            raise PermissionError(13, "Permission denied")
        unlink(self, missing_ok)

    monkeypatch.setattr(Path, "unlink", in_use)
    assert "a_objects.csv: the table can't be replaced" in do_job(job).error
    assert Path(job.labels).read_bytes() == labels


def test_zarr_labels(jobs, folder, tmp_path):
    zarr = pytest.importorskip("zarr", minversion="3")
    from dataclasses import replace

    job = replace(jobs[0], **outputs_of(Path(jobs[0].image), tmp_path / "z", "zarr"))
    assert do_job(job).error == ""
    do_job(jobs[0])
    group = zarr.open_group(job.labels, mode="r")
    assert (group["0"][:] == tifffile.imread(jobs[0].labels)).all()
    assert group.attrs["ome"]["multiscales"][0]["datasets"][0]["path"] == "0"
    assert do_job(job).skipped
    assert read_provenance(Path(job.labels))["kind"] == "everything"
    # Labels in zarr are images too.
    other = replace(job, image=job.labels, **{
        key: value for key, value in outputs_of(Path(job.labels), tmp_path / "zz", "tiff").items()
        if key != "image"
    })  # fmt: skip
    assert do_job(other).error == ""


def test_two_jobs_on_one_folder(tmp_path):
    out = tmp_path / "out"
    with claimed(out), pytest.raises(OutputError, match="another job"), claimed(out):
        pass
    with claimed(tmp_path / "out"):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="permissions work differently")
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="can't be written"), claimed(tmp_path / "out"):
        pass


def test_a_file_in_place_of_the_folder(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(OutputError, match="can't be written"), claimed(tmp_path / "out"):
        pass
    with pytest.raises(OutputError, match="could not be written"):
        write_labels(tmp_path / "out" / "x.ome.tif", np.zeros((4, 4), np.int32), {})


def test_everything_on_the_command_line(folder, tmp_path, weights, capsys):
    (folder / "d.tif").write_bytes(b"no image")
    out = tmp_path / "out"
    arguments = ["everything", str(folder), "--out", str(out), "--model", weights, "--zoom", "1",
                 "--threads", "1"]  # fmt: skip
    assert main(arguments) == 1
    printed = capsys.readouterr()
    assert "3 image(s) done" in printed.out
    assert printed.err.count(str(folder / "d.tif")) == 1
    assert "1 of 4 image(s) failed" in printed.err
    (folder / "d.tif").unlink()
    assert main(arguments) == 0
    assert "3 were done before" in capsys.readouterr().out


def test_segment_many_on_the_command_line(folder, tmp_path, weights, capsys):
    clicks = tmp_path / "clicks"
    clicks.mkdir()
    text = "object,row,column,positive\n1,35,50,true\n2,70,20,true\n"
    (clicks / "a.csv").write_text(text)
    (clicks / "b_clicks.csv").write_text(text)
    out = tmp_path / "out"
    arguments = ["segment", str(folder), str(clicks), "--out", str(out), "--model", weights,
                 "--threads", "1"]  # fmt: skip
    assert main(arguments) == 1
    assert "c.csv" in capsys.readouterr().err
    single = tmp_path / "single.tif"
    assert main(["segment", str(folder / "a.tif"), str(clicks / "a.csv"), "--out", str(single),
                 "--model", weights]) == 0  # fmt: skip
    assert (tifffile.imread(out / "a_labels.ome.tif") == tifffile.imread(single)).all()
    (clicks / "c.csv").write_text(text)
    assert main(arguments) == 0


def test_errors_before_any_work(folder, tmp_path, weights, capsys):
    out = ["--out", str(tmp_path / "out")]
    for arguments, words in [
        (["everything", str(tmp_path / "none"), *out, "--model", weights], "no image found"),
        (["everything", str(folder), *out, "--model", "huge"], "huge"),
        (["everything", str(folder), *out, "--model", weights, "--zoom", "3"], "zoom"),
        (["everything", str(folder), *out, "--model", weights, "--spacing", "7"], "multiple of 16"),
    ]:
        assert main(arguments) == 2
        assert words in capsys.readouterr().err


def test_precompute_on_the_command_line(folder, tmp_path, weights, capsys, monkeypatch):
    from napari_inter2former.predictor import _disk_cache

    monkeypatch.setattr(_disk_cache, "default_folder", lambda: tmp_path / "cache")
    assert main(["precompute", str(folder), "--model", weights, "--threads", "1"]) == 0
    assert "3 image(s) done" in capsys.readouterr().out
    assert main(["precompute", str(folder), "--model", weights, "--threads", "1"]) == 0
    assert "3 were done before" in capsys.readouterr().out
    monkeypatch.setenv("INTER2FORMER_CACHE_GB", "1e-6")
    assert main(["precompute", str(folder), "--model", weights, "--threads", "1"]) == 2
    assert "let the cache grow" in capsys.readouterr().err
    monkeypatch.setenv("INTER2FORMER_CACHE_GB", "ten")
    assert main(["precompute", str(folder), "--model", weights, "--threads", "1"]) == 2
    assert "no number of gigabytes" in capsys.readouterr().err


def test_a_scheduler_that_is_not_there(jobs, monkeypatch):
    pytest.importorskip("distributed")
    from napari_inter2former.batch import _run

    monkeypatch.setattr(_run, "CONNECT_SECONDS", 0.3)
    with pytest.raises(BatchError, match="No Dask scheduler answers"):
        run_jobs(jobs, scheduler="tcp://127.0.0.1:9")


@pytest.mark.slow
def test_two_processes_give_the_same_files(jobs, tmp_path, monkeypatch):
    """One of them dies half-way: that costs its task a rerun and nothing else."""
    pytest.importorskip("distributed")
    from dataclasses import replace

    from napari_inter2former.batch import _run

    run_jobs(jobs)
    expected = contents(tmp_path / "out")
    two = tmp_path / "two"
    two.mkdir()
    others = [replace(job, **outputs_of(Path(job.image), two, "tiff")) for job in jobs]

    # Inside the test, so that it travels by value: workers can't import this module.
    def die_once(job):
        mark = Path(job.table).with_suffix(".died")
        if job.image.endswith("b.tif") and not mark.exists():
            mark.touch()
            os._exit(1)
        return do_job(job)

    monkeypatch.setattr(_run, "do_job", die_once)
    outcomes = run_jobs(others, workers=2)
    assert [outcome.error for outcome in outcomes] == [""] * 3
    (two / "b_objects.died").unlink()
    assert contents(two) == expected


def test_a_large_image_is_many_tasks(jobs, tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    from dataclasses import replace

    from napari_inter2former.batch import _large

    big = np.random.default_rng(0).integers(0, 255, (260, 700)).astype(np.uint8)
    tifffile.imwrite(jobs[0].image, big)
    assert not _large.is_large(jobs[0])
    assert not do_job(jobs[0]).error
    monkeypatch.setattr(_large, "LARGE_BYTES", 1 << 17)
    monkeypatch.setattr(_large, "LARGE_PIXELS", 1 << 17)
    assert _large.is_large(jobs[0])
    job = replace(jobs[0], **outputs_of(Path(jobs[0].image), tmp_path / "two", "tiff"))
    outcomes = run_jobs([job, jobs[1]], workers=2, processes=False)
    assert [outcome.error for outcome in outcomes] == ["", ""]
    assert (tifffile.imread(job.labels) == tifffile.imread(jobs[0].labels)).all()
    assert Path(job.table).read_bytes() == Path(jobs[0].table).read_bytes()
    assert run_jobs([job], workers=2, processes=False)[0].skipped
    broken = replace(job, model="huge", **outputs_of(Path(job.image), tmp_path / "three", "tiff"))
    assert "huge" in run_jobs([broken], workers=2, processes=False)[0].error
