"""Stacks and series: every plane, named in labels, tables and click files."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_inter2former.batch import Job, do_job, outputs_of, write_labels
from napari_inter2former.batch._large import do_part, finish_job, is_large, plan_job
from napari_inter2former.batch._layout import Layout
from napari_inter2former.batch._outputs import write_planes
from napari_inter2former.batch._planes import Planes
from napari_inter2former.cli import main
from napari_inter2former.errors import ImageError
from napari_inter2former.everything import EverythingSettings, segment_everything
from napari_inter2former.images import normalization_of, open_image
from napari_inter2former.weights import load_model

SETTINGS = EverythingSettings(zoom=1, min_score=0, min_area=1)
SIZES = {
    "PhysicalSizeX": 0.5,
    "PhysicalSizeXUnit": "µm",
    "PhysicalSizeZ": 2.0,
    "PhysicalSizeZUnit": "nm",
    "TimeIncrement": 30.0,
    "TimeIncrementUnit": "s",
}


@pytest.fixture
def stack() -> np.ndarray:
    """Return two times of two planes of two channels, each with other objects."""
    data = np.random.default_rng(0).integers(0, 60, (2, 2, 2, 60, 70)).astype(np.uint8)
    for t, z in np.ndindex(2, 2):
        data[t, z, :, 10 + 10 * t : 30 + 10 * t, 20 + 15 * z : 45 + 15 * z] += 150
    return data


@pytest.fixture
def image(stack, tmp_path) -> Path:
    path = tmp_path / "stack.ome.tif"
    tifffile.imwrite(path, stack, metadata={"axes": "TZCYX", **SIZES})
    return path


@pytest.fixture
def job(image, tmp_path, weights) -> Job:
    outputs = outputs_of(image, tmp_path / "out")
    return Job(kind="everything", model=weights, settings=SETTINGS, **outputs)


def rows_of(path: str) -> list[dict[str, str]]:
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_plane_is_searched_for_itself(job, stack, weights):
    assert do_job(job).error == ""
    with tifffile.TiffFile(job.labels) as file:
        assert file.series[0].axes == "TZYX"
        labels = file.asarray()
    model, after = load_model(weights), 0
    limits = normalization_of(open_image(job.image))
    for t, z in np.ndindex(2, 2):
        alone = segment_everything(
            stack[t, z], model, settings=SETTINGS, channel_axis=0, normalization=limits
        )
        expected = np.where(alone.labels, alone.labels + after, 0)
        np.testing.assert_array_equal(labels[t, z], expected)
        after = int(expected.max(initial=after))
    rows = rows_of(job.table)
    assert list(rows[0])[:4] == ["label", "t", "z", "area"]
    assert [int(row["label"]) for row in rows] == list(range(1, after + 1))
    for row in rows:
        found = np.argwhere(labels == int(row["label"]))
        assert len(found) == int(row["area"])
        assert (found[:, :2] == (int(row["t"]), int(row["z"]))).all()
    assert open_image(job.labels).spacing == open_image(job.image).spacing
    assert do_job(job).skipped


def test_an_interrupted_stack_goes_on_where_it_stopped(job, monkeypatch):
    from napari_inter2former import everything
    from napari_inter2former.everything import _run

    with monkeypatch.context() as patch:
        search, calls = everything.search_everything, []

        def stop(*arguments, **more):
            calls.append(arguments)
            if len(calls) == 3:
                raise KeyboardInterrupt
            return search(*arguments, **more)

        patch.setattr(everything, "search_everything", stop)
        with pytest.raises(KeyboardInterrupt):
            do_job(job)
    assert not Path(job.labels).exists()
    blocks, searched = _run.search_block, []
    monkeypatch.setattr(_run, "search_block", lambda *a: searched.append(a) or blocks(*a))
    assert do_job(job).error == ""
    assert len({id(source) for _, source, *_ in searched}) == 2
    left = sorted(path.name for path in Path(job.labels).parent.iterdir())
    assert left == ["stack_labels.ome.tif", "stack_objects.csv"]


def test_planes_are_tasks(job, tmp_path, monkeypatch):
    from dataclasses import replace

    from napari_inter2former.batch import _large

    assert not is_large(job)
    monkeypatch.setattr(_large, "LARGE_BYTES", 1)
    monkeypatch.setattr(_large, "LARGE_PIXELS", 4 * 60 * 70)
    assert is_large(job)
    parts, made = plan_job(job)
    assert parts == 4
    assert [do_part(job, made, part) for part in (3, 0, 2, 1)] == [None] * 4
    assert finish_job(job, made).error == ""
    one = replace(job, **outputs_of(job.image, tmp_path / "one"))
    assert do_job(one).objects == len(rows_of(job.table))
    assert Path(one.table).read_bytes() == Path(job.table).read_bytes()
    np.testing.assert_array_equal(tifffile.imread(one.labels), tifffile.imread(job.labels))


@pytest.mark.parametrize(
    ("shape", "metadata", "sizes"),
    [
        ((2, 6, 8), {}, {"z": 2}),
        ((3, 2, 6, 8), {}, {"t": 3, "z": 2}),
        ((3, 2, 6, 8), {"axes": "ZTYX"}, {"z": 3, "t": 2}),
        ((2, 6, 8), {"axes": "TYX"}, {"t": 2}),
        ((6, 8), {}, {}),
    ],
)
def test_what_planes_are_called(tmp_path, shape, metadata, sizes):
    data = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    path = tmp_path / ("a.ome.tif" if metadata else "a.tif")
    tifffile.imwrite(path, data, metadata=metadata)
    planes = Planes(path)
    assert planes.sizes == sizes
    assert list(planes.sizes) == list(sizes)
    assert planes.layout.shape == shape
    last = len(planes) - 1
    assert planes.position(last) == {name: n - 1 for name, n in sizes.items()}
    pixels = planes.source(last).read(0, 0, 6, 8, 0)[..., 0]
    assert pixels.argmax() == data[(-1,) * len(sizes)].argmax()
    if metadata and sizes:
        write_labels(tmp_path / "b.ome.tif", data.astype(np.int32), {}, planes.layout.axes)
        assert open_image(tmp_path / "b.ome.tif").stack == sizes


def test_too_many_axes(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((2, 2, 2, 6, 8), np.uint8))
    with pytest.raises(ImageError, match="Split it into files"):
        Planes(tmp_path / "a.tif")


def test_zarr_labels_have_a_pyramid(tmp_path):
    zarr = pytest.importorskip("zarr", minversion="3")
    v05 = pytest.importorskip("yaozarrs.v05")
    labels = np.random.default_rng(0).integers(0, 9, (2, 3, 1025, 700)).astype(np.int32)
    path = tmp_path / "a_labels.ome.zarr"
    # The image has its depth before its time, and OME-Zarr prescribes time first.
    spacing = {"z": (2.0, "micrometer"), "x": (0.5, "micrometer"), "t": (30.0, "second")}
    planes = (labels[z, t] for z, t in np.ndindex(2, 3))
    write_planes(path, planes, Layout("ztyx", labels.shape, spacing), {})
    group = zarr.open_group(path, mode="r")
    image = v05.LabelImage.model_validate(group.attrs["ome"])
    (multiscale,) = image.multiscales
    assert [d.scale_transform.scale for d in multiscale.datasets] == [
        [30, 2, 1, 0.5],
        [30, 2, 2, 1],
    ]
    ordered = labels.transpose(1, 0, 2, 3)
    np.testing.assert_array_equal(group["0"][...], ordered)
    np.testing.assert_array_equal(group["1"][...], ordered[..., ::2, ::2])
    stored = open_image(path)
    assert (stored.axes, len(stored.levels)) == ("tzyx", 2)
    assert {axis: stored.spacing[axis] for axis in spacing} == spacing


def write_clicks(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def test_clicks_name_planes(image, stack, tmp_path, weights, capsys):
    lines = ["1,0,1,20,45,true", "2,1,0,30,30,true", "1,1,0,25,40,true"]
    by_axes = write_clicks(tmp_path / "a.csv", "object,t,z,row,column,positive", *lines)
    by_number = write_clicks(tmp_path / "b.csv", "object,plane,row,column,positive",
                             "1,1,20,45,true", "2,2,30,30,true", "1,2,25,40,true")  # fmt: skip
    by_napari = write_clicks(tmp_path / "c.csv",
                             "index,axis-0,axis-1,axis-2,axis-3,object,positive",
                             "0,0,1,20,45,1,true", "1,1,0,30,30,2,true", "2,1,0,25,40,1,true",
                             )  # fmt: skip
    written = []
    for clicks in (by_axes, by_number, by_napari):
        out = tmp_path / f"{clicks.stem}.ome.tif"
        arguments = ["segment", str(image), str(clicks), "--out", str(out), "--model", weights]
        assert main([*arguments, "--threads", "1", "--contrast-of", "plane"]) == 0
        written.append(tifffile.imread(out))
    assert written[0].shape == (2, 2, 60, 70)
    assert not written[0][[0, 1], [0, 1]].any()
    assert (written[0] == written[1]).all()
    assert (written[0] == written[2]).all()
    single = tmp_path / "single.ome.tif"
    tifffile.imwrite(single, stack[0, 1], metadata={"axes": "CYX"})
    arguments = [str(write_clicks(tmp_path / "d.csv", "object,row,column,positive",
                                  "1,20,45,true"))]  # fmt: skip
    out = tmp_path / "single_labels.tif"
    assert main(["segment", str(single), *arguments, "--out", str(out), "--model", weights]) == 0
    np.testing.assert_array_equal(tifffile.imread(out), written[0][0, 1])
    capsys.readouterr()
    unnamed = ["segment", str(image), *arguments, "--out", str(out), "--model", weights]
    assert main(unnamed) == 2
    assert "the column 't' is missing" in capsys.readouterr().err
    assert main([*unnamed[:4], "labels.png", *unnamed[5:]]) == 2
    assert ".ome.zarr" in capsys.readouterr().err


def test_precompute_encodes_all_planes(image, tmp_path, weights, capsys, monkeypatch):
    from napari_inter2former.predictor import _disk_cache

    monkeypatch.setattr(_disk_cache, "default_folder", lambda: tmp_path / "cache")
    arguments = ["precompute", str(image), "--model", weights, "--threads", "1"]
    assert main(arguments) == 0
    assert "4 windows encoded" in capsys.readouterr().out
    assert main(arguments) == 0
    assert "1 were done before" in capsys.readouterr().out
