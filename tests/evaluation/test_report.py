"""The report, and what it is made of."""

from __future__ import annotations

import json
import re
import sys

import cv2
import numpy as np
import pytest

from napari_inter2former.evaluation import (
    DatasetResult,
    EvaluationResult,
    ObjectResult,
    evaluate_parallel,
    find_pairs,
)
from napari_inter2former.evaluation.report import ReportError, find_cases, write_report
from napari_inter2former.evaluation.report.cases import SIDE

matplotlib = pytest.importorskip("matplotlib")


@pytest.fixture
def result(tmp_path, dataset, squares, write_pair, fake_class):
    """Return an evaluation of two datasets, kept to be shown."""
    fake = fake_class()
    for name in ("a", "b & c"):
        write_pair(tmp_path / "other & more", name, squares)
    for folder in (dataset, tmp_path / "other & more"):
        for pair in find_pairs(folder):
            picture, labels = pair.read()
            fake.know(picture.data, labels)
    (dataset / "c_label.png").write_bytes(b"damaged")
    return evaluate_parallel("fake", tmp_path, keep=True, make_predictor=lambda name: fake)


def curve(*ious, clicks=20):
    return ObjectResult(ious=list(ious), max_clicks=clicks)


def test_drops_are_means_over_the_objects():
    result = DatasetResult([curve(0.9, 0.8, 0.9, clicks=4), curve(0.5, 0.5, 0.3, 0.9, clicks=4)])
    assert result.curve == pytest.approx([0.7, 0.65, 0.6, 0.9])
    assert result.largest_drop == pytest.approx(0.05)
    assert DatasetResult([curve(0.1, 0.2)]).largest_drop == 0
    assert DatasetResult([curve(0.5, clicks=1)]).largest_drop == 0
    both = EvaluationResult({"a": result, "b": DatasetResult([curve(0.1, 0.2)])}).to_dict()
    assert both["mean"]["largest_drop"] == pytest.approx(0.05)
    assert both["mean"]["curve"] == pytest.approx([0.4, 0.425, 0.4, 0.55])


def test_one_file(result, tmp_path):
    path = tmp_path / "new" / "report.html"
    assert write_report(result, path) == path
    assert list(path.parent.iterdir()) == [path]
    text = path.read_text(encoding="utf-8")
    assert text.count("<svg") == 3
    assert "<script" not in text
    assert not re.search(r'(src|href)="(?!data:|#)', text.replace("xlink:href", "href"))
    assert "other &amp; more" in text
    assert "b &amp; c:" in text
    assert "1 file(s) could not be used" in text
    assert "c_label.png" in text
    # Three best and three worst of each dataset, as far as there are so many objects.
    assert text.count("data:image/jpeg") == 12


def test_a_folder(result, tmp_path):
    folder = tmp_path / "report"
    page = write_report(result, folder)
    assert page == folder / "index.html"
    cases = json.loads((folder / "cases.json").read_text())
    assert {case["kind"] for case in cases} == {"best", "worst"}
    text = page.read_text(encoding="utf-8")
    for case in cases:
        assert f'src="{case["file"]}"' in text
        picture = cv2.imread(str(folder / case["file"]))
        assert max(picture.shape[:2]) == SIDE
        assert (folder / case["file"]).stat().st_size < 40_000
        assert case["clicks"] <= 5
        assert 0 <= case["iou"] <= 1


def test_the_worst_are_the_worst_and_of_different_images(result):
    each = result.datasets["squares"]
    for number, shown in enumerate(each.objects):
        shown.ious = [number / 10] * 5
    cases = find_cases("squares", each, best=2, worst=2)
    lowest, second = cases["worst"]
    assert lowest.iou == 0
    assert second.name.split(":")[0] != lowest.name.split(":")[0]
    assert cases["best"][0].iou == (len(each.objects) - 1) / 10
    assert not {c.name for c in cases["best"]} & {c.name for c in cases["worst"]}


def test_cases_show_outlines_and_clicks(result):
    shown = result.datasets["squares"].objects[0]
    (case,) = find_cases("squares", DatasetResult([shown]), best=0, worst=1)["worst"]
    picture = cv2.imdecode(np.frombuffer(case.jpeg, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    red, green, blue = picture.astype(int).transpose(2, 0, 1)
    assert ((red > 200) & (blue > 180) & (green < 80)).any() or (
        (red > 200) & (green > 180) & (blue < 80)
    ).any()
    assert ((green > 180) & (red < 110) & (blue < 110)).any()


def test_without_what_can_be_shown(tmp_path):
    result = EvaluationResult({"a": DatasetResult([curve(0.5, 0.6)])}, "tiny", "0" * 64)
    text = write_report(result, tmp_path / "x.html").read_text()
    assert "<h3>" not in text
    assert "0" * 64 in text


def test_without_matplotlib(result, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ReportError, match=r"napari-inter2former\[report\]"):
        write_report(result, tmp_path / "report")
    assert not (tmp_path / "report").exists()
