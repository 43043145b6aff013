from __future__ import annotations

import json
import sys
from unittest.mock import MagicMock

import cv2
import numpy as np
import pytest
import tifffile

from napari_inter2former import demo
from napari_inter2former._overlay import beside, beside_labels, draw_overlay
from napari_inter2former.cli import main
from napari_inter2former.data import SAMPLES, load_sample
from napari_inter2former.evaluation.click_files import read_clicks
from napari_inter2former.prompts import Click
from napari_inter2former.weights import WeightsError


def test_headless(tmp_path, weights, capsys):
    out = tmp_path / "out"
    assert main(["demo", "--headless", "--out", str(out), "--model", weights]) == 0
    report = json.loads((out / "report.json").read_text())
    assert report["objects"] == 73
    assert 0 <= report["mean_iou"] <= 1
    assert 1 <= report["clicks"] <= 3
    assert list(report["samples"]) == list(SAMPLES)
    labels = tifffile.imread(out / "labels.tif")
    overlay = cv2.imread(str(out / "overlay.png"))
    assert labels.dtype == np.uint16
    assert overlay.shape[0] == 2 * labels.shape[0]
    for name in SAMPLES:
        sample = load_sample(name)
        assert tifffile.imread(out / name / "labels.tif").shape == sample.labels.shape
        assert (out / name / "overlay.png").is_file()
        alone = json.loads((out / name / "report.json").read_text())
        assert alone == report["samples"][name]
    printed = capsys.readouterr().out
    assert str(out / "labels.tif") in printed
    assert "mean IoU" in printed


def test_no_display_runs_headless(tmp_path, weights, monkeypatch, capsys):
    monkeypatch.setattr(demo, "SAMPLES", {"nuclei_tissue": SAMPLES["nuclei_tissue"]})
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    assert main(["demo", "--out", str(tmp_path), "--model", weights]) == 0
    assert "runs without a window" in capsys.readouterr().out
    assert (tmp_path / "report.json").is_file()


@pytest.mark.parametrize("variable", ["DISPLAY", "WAYLAND_DISPLAY"])
def test_reasons_for_no_window(variable, monkeypatch):
    monkeypatch.delenv("QT_QPA_PLATFORM", raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert "no display" in demo.no_window_because()
    monkeypatch.setenv(variable, "x")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "napari is not installed" in demo.no_window_because()


def test_the_truth_scores_one(sample):
    clicks = read_clicks(sample.clicks_path)
    report = demo.compare(sample, sample.labels, clicks)
    assert report["mean_iou"] == 1
    assert report["objects"] == len(clicks)
    assert demo.compare(sample, np.zeros_like(sample.labels), clicks)["mean_iou"] == 0


def test_record_centres(tmp_path):
    demo.record(None, tmp_path)
    for name in SAMPLES:
        clicks = read_clicks(tmp_path / f"{name}_clicks.csv")
        labels = load_sample(name).labels
        for number, of_object in clicks.items():
            assert len(of_object) == 1
            assert labels[int(of_object[0].row), int(of_object[0].column)] == number


def test_record_with_a_model(tmp_path, model, monkeypatch):
    from napari_inter2former.predictor import Predictor

    monkeypatch.setattr(demo, "SAMPLES", {"nuclei_tissue": SAMPLES["nuclei_tissue"]})
    demo.record(Predictor(model), tmp_path)
    clicks = read_clicks(tmp_path / "nuclei_tissue_clicks.csv")
    assert len(clicks) == 13
    assert all(1 <= len(of_object) <= 3 for of_object in clicks.values())


def test_overlay():
    image = np.full((20, 30), 100, np.uint8)
    labels = np.zeros((20, 30), np.uint16)
    labels[5:15, 5:15] = 3
    plain = draw_overlay(image, np.zeros_like(labels), {})
    drawn = draw_overlay(image, labels, {3: (Click(10, 10), Click(10, 25, False))})
    assert drawn.shape == (40, 60, 3)
    changed = (plain != drawn).any(axis=2)
    assert changed[10:30, 10:30].mean() > 0.9
    assert not changed[:8].any()
    assert changed[20, 50]


def test_an_overlay_of_black():
    assert draw_overlay(np.zeros((4, 5, 3), np.uint8), np.zeros((4, 5), int), {}).max() == 0


def test_beside():
    first, second = np.zeros((4, 5), np.uint16), np.zeros((6, 3), np.uint16)
    first[1, 1], first[2, 2], second[5, 2] = 7, 9, 7
    together = beside_labels([first, second])
    assert together.shape == (6, 5 + 8 + 3)
    assert (together[1, 1], together[2, 2], together[5, 15]) == (1, 2, 3)
    assert np.count_nonzero(together) == 3
    assert beside([np.ones((2, 2, 3)), np.ones((1, 2, 3))]).shape == (2, 12, 3)


def test_the_window(monkeypatch):
    napari = MagicMock()
    monkeypatch.setitem(sys.modules, "napari", napari)
    viewer = demo.open_window("nuclei_tissue")
    (image,), options = viewer.add_image.call_args
    assert image.shape == (256, 320, 3)
    assert options["rgb"]
    viewer.window.add_plugin_dock_widget.assert_called_once_with(
        "napari-inter2former", "Inter2Former"
    )
    napari.run.assert_called_once_with()
    widget = MagicMock()
    viewer.window.add_plugin_dock_widget.return_value = (None, widget)
    demo.open_window("nuclei_tissue", "tiny")
    widget.controller.choose_model.assert_called_once_with("tiny")
    with pytest.raises(WeightsError, match="no model called 'tinny'"):
        demo.open_window("nuclei_tissue", "tinny")
