from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tifffile

from napari_inter2former import __version__, kernels
from napari_inter2former._files import OutputError, write_file
from napari_inter2former.cli import main, make_parser
from napari_inter2former.data import sample_folder
from napari_inter2former.weights import user_models_folder

CLICKS = "object,row,column,positive\n70000,60,100,true\n70000,10,10,false\n3,200,40,true\n"


@pytest.fixture
def clicks(tmp_path):
    path = tmp_path / "clicks.csv"
    path.write_text(CLICKS)
    return path


def fails(capsys, *arguments):
    """Run a command that must fail, and return its one line."""
    assert main([str(argument) for argument in arguments]) == 2
    printed = capsys.readouterr()
    lines = printed.err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("inter2former: error: ")
    return lines[0]


def test_segment(tmp_path, weights, tissue_image, clicks, capsys):
    out = tmp_path / "new" / "labels.tif"
    assert main(["segment", str(tissue_image), str(clicks), "--out", str(out),
                 "--model", weights]) == 0  # fmt: skip
    labels = tifffile.imread(out)
    assert labels.shape == (256, 320)
    assert labels.dtype == np.uint32
    assert {70000} <= set(np.unique(labels)) <= {0, 3, 70000}
    with tifffile.TiffFile(out) as file:
        assert file.pages[0].compression.name == "ADOBE_DEFLATE"
    assert list(out.parent.iterdir()) == [out]
    assert "of 2 objects" in capsys.readouterr().out


def test_segment_writes_what_the_script_returns(tmp_path, model, weights, tissue_image, clicks):
    from napari_inter2former.evaluation import read_picture
    from napari_inter2former.evaluation.click_files import read_clicks
    from napari_inter2former.scripting import segment

    clicks.write_text(CLICKS.replace("70000", "7"))
    out = tmp_path / "labels.tif"
    out.write_bytes(b"an older file is replaced")
    main(["segment", str(tissue_image), str(clicks), "--out", str(out), "--model", weights])
    expected = segment(read_picture(tissue_image).data, read_clicks(clicks), model)
    labels = tifffile.imread(out)
    assert labels.dtype == np.uint16
    assert (labels == expected).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("object,row,column\n1,2,3\n", "the column 'positive' is missing"),
        ("object,row,column,positive\n1,300,3,true\n", "line 2: .* outside the image of 256 x 320"),
    ],
)
def test_segment_with_bad_clicks(tmp_path, tissue_image, clicks, text, message, capsys):
    clicks.write_text(text)
    line = fails(capsys, "segment", tissue_image, clicks, "--out", tmp_path / "labels.tif")
    assert np.all([part in line for part in message.split(" .* ")])
    assert not (tmp_path / "labels.tif").exists()


def test_segment_with_a_bad_image(tmp_path, clicks, capsys):
    bad = tmp_path / "image.tif"
    assert "image.tif" in fails(capsys, "segment", bad, clicks, "--out", tmp_path / "x.tif")
    bad.write_bytes(b"II*\0 not a TIFF")
    assert "image.tif" in fails(capsys, "segment", bad, clicks, "--out", tmp_path / "x.tif")


def test_clicks_in_a_stack_must_tell_their_plane(tmp_path, clicks, capsys):
    stack = tmp_path / "image.tif"
    tifffile.imwrite(stack, np.zeros((5, 60, 60), np.uint8), metadata={"axes": "ZYX"})
    line = fails(capsys, "segment", stack, clicks, "--out", tmp_path / "x.tif")
    assert "the column 'z' is missing: the image has 5 planes" in line


def test_segment_with_unknown_weights(tmp_path, tissue_image, clicks, weights, capsys):
    line = fails(capsys, "segment", tissue_image, clicks, "--out", tmp_path / "x.tif",
                 "--model", "huge")  # fmt: skip
    assert "huge" in line
    assert "test" in line


def test_segment_a_folder_with_the_clicks_of_one_image(tmp_path, clicks, capsys):
    line = fails(capsys, "segment", tmp_path, clicks, "--out", tmp_path / "x.tif")
    assert "this is a folder" in line


def test_segment_writes_tiff_only(tmp_path, tissue_image, clicks, capsys):
    line = fails(capsys, "segment", tissue_image, clicks, "--out", tmp_path / "labels.png")
    assert ".tif" in line


@pytest.mark.parametrize("option", ["--format=zarr", "--workers=1", "--scheduler=tcp://x:1"])
def test_options_for_many_images_are_not_ignored_for_one(
    tmp_path, tissue_image, clicks, option, capsys
):
    line = fails(capsys, "segment", tissue_image, clicks, "--out", tmp_path / "x.tif", option)
    assert f"{option.split('=')[0]} is for many images" in line


def test_a_path_that_the_stream_can_not_hold(tmp_path, weights, tissue_image, clicks, monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    monkeypatch.setattr(sys, "stdout", stream)
    out = tmp_path / "\u7d30\u80de.tif"
    assert main(["segment", str(tissue_image), str(clicks), "--out", str(out),
                 "--model", weights]) == 0  # fmt: skip
    assert b"\\u7d30\\u80de.tif" in stream.buffer.getvalue()


def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "labels.tif"
    path.write_bytes(b"old")
    monkeypatch.setattr("os.fsync", lambda file: (_ for _ in ()).throw(OSError(28, "disk full")))
    with pytest.raises(OutputError, match=r"labels\.tif: .*disk full"):
        write_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_info(weights, capsys):
    assert main(["info"]) == 0
    text = capsys.readouterr().out
    assert __version__ in text
    assert "kernels" in text
    assert "dsb2018: IoU 0.250 after 5, 0.500 after 10" in text
    assert str(user_models_folder()) in text
    assert main(["info", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    entry = next(entry for entry in facts["weights"] if entry["name"] == weights)
    assert len(entry["sha256"]) == 64
    assert entry["sha256"] in text
    assert facts["kernels"]["instruction_set"] in ("avx512", "avx2", "portable", "none")
    assert facts["encoder_precision"] == "fp32"
    assert "encoder in fp32" in text
    assert facts["threads"] >= 1


@pytest.mark.parametrize("setting", ["INTER2FORMER_PRECISION=fp8", "INTER2FORMER_ISA=sse9"])
def test_settings_that_are_not_there(setting, capsys, monkeypatch):
    if "ISA" in setting and not kernels.native_available():
        pytest.skip("the extension is not available")
    monkeypatch.setenv(*setting.split("="))
    assert setting in fails(capsys, "info")


def test_info_names_damaged_weights(weights, capsys):
    (user_models_folder() / "broken.safetensors").write_bytes(b"\0" * 100)
    assert main(["info"]) == 0
    text = capsys.readouterr().out
    assert "not usable: " in text
    assert "broken.safetensors" in text
    assert "sha256" in text


@pytest.fixture
def dataset(tmp_path):
    folder = tmp_path / "pool" / "nuclei" / "val"
    folder.mkdir(parents=True)
    for kind in ("image", "label"):
        shutil.copy(sample_folder() / f"nuclei_tissue_{kind}.png", folder / f"1_{kind}.png")
        shutil.copy(sample_folder() / f"nuclei_tissue_{kind}.png", folder / f"2_{kind}.png")
    return folder


def test_evaluate(tmp_path, dataset, weights, capsys):
    out = tmp_path / "figures.json"
    (dataset / "3_image.png").write_bytes(b"damaged")
    (dataset / "3_label.png").write_bytes(b"damaged")
    assert main(["evaluate", "--data", str(tmp_path / "pool"), "--weights", weights,
                 "--objects", "3", "--clicks", "3", "--json", str(out)]) == 0  # fmt: skip
    figures = json.loads(out.read_text())
    assert list(figures) == ["datasets", "mean", "weights", "method"]
    assert figures["weights"]["name"] == "test"
    assert len(figures["weights"]["sha256"]) == 64
    assert figures["datasets"]["nuclei"]["objects"] == 3
    assert 0 <= figures["mean"]["iou_at"]["3"] <= 1
    printed = capsys.readouterr()
    assert "nuclei" in printed.out
    assert "1 file(s) skipped" in printed.err
    assert "3_label.png" in printed.err


def test_evaluate_a_classical_method(tmp_path, dataset, capsys):
    pytest.importorskip("matplotlib")
    out, report = tmp_path / "figures.json", tmp_path / "report.html"
    assert main(["evaluate", "--data", str(dataset), "--method", "grabcut", "--objects", "2",
                 "--clicks", "2", "--json", str(out), "--report", str(report)]) == 0  # fmt: skip
    figures = json.loads(out.read_text())
    assert figures["weights"] == {"name": "grabcut", "sha256": None}
    assert figures["method"] == "grabcut"
    assert figures["mean"]["iou_at"]["1"] is not None
    assert "Evaluation of grabcut" in report.read_text(encoding="utf-8")
    assert str(report) in capsys.readouterr().out


@pytest.mark.slow
def test_evaluate_with_workers_gives_the_same_figures(tmp_path, dataset, weights):
    figures = []
    for workers in ("1", "2"):
        out = tmp_path / f"{workers}.json"
        main(["evaluate", "--data", str(dataset), "--weights", weights, "--objects", "4",
              "--clicks", "2", "--json", str(out), "--workers", workers])  # fmt: skip
        figures.append(json.loads(out.read_text())["mean"])
    for key in ("objects", "iou_at", "noc", "nof"):
        assert figures[0][key] == figures[1][key]


def test_evaluate_without_data(tmp_path, weights, capsys):
    arguments = ("--weights", weights, "--json", tmp_path / "x.json")
    line = fails(capsys, "evaluate", "--data", tmp_path / "missing", *arguments)
    assert "no such folder" in line
    (tmp_path / "empty").mkdir()
    assert "no dataset" in fails(capsys, "evaluate", "--data", tmp_path / "empty", *arguments)
    assert not (tmp_path / "x.json").exists()


@pytest.mark.parametrize("task", ["clicks", "everything"])
def test_evaluate_says_at_once_that_its_figures_can_not_be_written(tmp_path, weights, task, capsys):
    (tmp_path / "file").touch()
    for out in (tmp_path, tmp_path / "file" / "x.json"):
        line = fails(capsys, "evaluate", "--data", tmp_path / "missing", "--weights", weights,
                     "--task", task, "--json", out)  # fmt: skip
        assert f"{out}: the file could not be written" in line
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("value", ["0", "-1", "many", "1.5"])
def test_numbers_are_checked(value, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", "--data", "x", "--json", "y", "--objects", value])
    assert stop.value.code == 2
    assert "whole number of at least 1" in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["demo"], ["segment"], ["info"], ["evaluate"]])
def test_help(command, capsys):
    with pytest.raises(SystemExit) as stop:
        make_parser().parse_args([*command, "--help"])
    assert stop.value.code == 0
    assert "inter2former" in capsys.readouterr().out


def test_help_needs_neither_torch_nor_napari():
    code = (
        "import sys; from napari_inter2former.cli import make_parser; make_parser(); "
        "sys.exit(bool({'torch', 'napari', 'qtpy', 'cv2'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
