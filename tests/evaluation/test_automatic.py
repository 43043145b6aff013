"""Figures of everything mode: what is found, missed and wrong."""

from __future__ import annotations

import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from napari_inter2former.cli import main
from napari_inter2former.evaluation import automatic
from napari_inter2former.evaluation.automatic import (
    AutomaticResult,
    ImageCounts,
    best_overlaps,
    evaluate_everything,
)
from napari_inter2former.weights import save_weights

from ..networks import smallest_model


def test_overlaps_of_labels_with_the_truth():
    truth, labels = np.zeros((2, 20, 30), np.int32)
    truth[0:10, 0:10], truth[0:10, 20:30], truth[15:20, 0:10] = 7, 9, 2
    labels[0:10, 0:10] = 1  # the same
    labels[0:5, 20:30] = 2  # half of it: not enough
    labels[12:14, 12:14] = 3  # nothing
    overlaps, wrong = best_overlaps(truth, labels)
    assert overlaps == {2: 0.0, 7: 1.0, 9: 0.5}
    assert wrong == 2


def test_nothing_to_find_and_nothing_found():
    empty = np.zeros((5, 6), np.int32)
    assert best_overlaps(empty, empty) == ({}, 0)
    assert set(AutomaticResult().to_dict().values()) == {0, None}
    nothing = AutomaticResult([ImageCounts("a", 0, 0, 0, 0, 0, 1.0)]).to_dict()
    assert nothing["images"] == 1
    assert nothing["ap50_per_image"] is None


def test_figures():
    images = [ImageCounts("a", 5, 0, 0, 3, 4, 1.0), ImageCounts("b", 1, 2, 4, 0, 0, 3.0)]
    figures = AutomaticResult(images).to_dict()
    assert figures["images"] == 2
    assert figures["ap50"] == 0.5
    assert figures["ap50_per_image"] == pytest.approx((1 + 1 / 7) / 2)
    assert figures["precision50"] == 0.75
    assert figures["recall50"] == 0.6
    assert figures["within_0.05_of_one_click"] == 0.75
    assert figures["seconds"] == 2.0


@pytest.mark.slow
def test_any_number_of_workers_gives_the_same_figures(tmp_path, dataset):
    weights = str(save_weights(tmp_path / "small.safetensors", smallest_model()))
    seen = []
    alone, shared = (
        evaluate_everything(
            weights,
            dataset,
            max_images=2,
            workers=workers,
            progress=lambda *n: seen.append(n),
        )["squares"].to_dict()
        for workers in (1, 2)
    )
    for figures in (alone, shared):
        assert figures.pop("seconds") > 0
    assert alone == shared
    assert seen == [("squares", done, 2) for done in range(3)] * 2


def test_the_command_counts_every_object_once(tmp_path, dataset, squares, monkeypatch, capsys):
    found = np.where(squares == 9, 0, squares)
    found[0:4, 90:100] = 11
    monkeypatch.setattr(
        automatic, "segment_everything", lambda *_, **__: SimpleNamespace(labels=found)
    )
    weights = save_weights(tmp_path / "small.safetensors", smallest_model())
    (dataset / "d_image.png").write_bytes(b"damaged")
    cv2.imwrite(str(dataset / "d_label.png"), squares)
    out = tmp_path / "figures.json"
    assert main(["evaluate", "--data", str(dataset), "--task", "everything", "--weights",
                 str(weights), "--json", str(out)]) == 0  # fmt: skip
    written = json.loads(out.read_text())
    assert written["task"] == "everything"
    figures = written["datasets"]["squares"]
    assert figures["images"] == 3
    assert [image["name"] for image in figures["each"]] == ["a", "b", "c"]
    assert figures["each"][0]["found"] == 3
    assert figures["ap50"] == pytest.approx(3 / 5)  # of four one is missed, and one is wrong
    assert figures["precision50"] == figures["recall50"] == pytest.approx(3 / 4)
    assert figures["clicked"] == 9  # those of at least 64 pixels
    printed = capsys.readouterr()
    assert "squares" in printed.out
    assert "d_image.png" in printed.err


@pytest.mark.parametrize(
    ("task", "option"), [("everything", ["--report", "r.html"]), ("clicks", ["--images", "2"])]
)
def test_options_of_the_other_task_are_refused(tmp_path, dataset, task, option, capsys):
    out = str(tmp_path / "x.json")
    assert main(["evaluate", "--data", str(dataset), "--task", task, "--json", out, *option]) == 2
    assert f"{option[0]} belongs to --task" in capsys.readouterr().err
