from __future__ import annotations

import json
import math

import numpy as np
import pytest

from napari_inter2former._files import OutputError
from napari_inter2former.evaluation import (
    DatasetError,
    DatasetResult,
    EvaluationResult,
    ObjectResult,
    evaluate,
    evaluate_dataset,
    evaluate_image,
    evaluate_object,
    evaluate_parallel,
    find_pairs,
    region_of,
)
from napari_inter2former.prompts import box

KEYS = {"objects", "iou_at", "noc", "nof", "boundary_iou_at", "online_spc_ms", "spc20_ms",
        "largest_drop", "curve"}  # fmt: skip


@pytest.fixture
def predictor(dataset, fake_class):
    fake = fake_class()
    for pair in find_pairs(dataset):
        picture, labels = pair.read()
        fake.know(picture.data, labels)
    return fake


def margin_iou(margin, side=12):
    return side**2 / (side + 2 * margin) ** 2


def test_figures_of_a_dataset(dataset, predictor):
    result = evaluate_dataset(predictor, dataset)
    assert len(result.objects) == 9
    assert predictor.images == 3
    # The margin is 3, 2, 1, 0 pixels after click 1, 2, 3, 4.
    assert result.iou_at == pytest.approx({1: margin_iou(3), 3: margin_iou(1), 5: 1, 10: 1})
    assert result.noc == {80: 4, 85: 4, 90: 4, 95: 4}
    assert result.nof == {90: 0}
    assert result.boundary_iou_at == {5: 1}
    assert result.online_spc_ms > 0
    assert result.spc20_ms > 0


def test_perfect_masks_end_the_protocol(dataset, predictor):
    result = evaluate_dataset(predictor, dataset, max_objects=1)
    assert len(result.objects[0].clicks) == 4
    assert result.objects[0].ious == pytest.approx([margin_iou(m) for m in (3, 2, 1, 0)])


def test_clicks_accumulate(dataset, predictor):
    evaluate_dataset(predictor, dataset, max_objects=1)
    for shorter, longer in zip(predictor.prompts, predictor.prompts[1:], strict=False):
        assert longer[: len(shorter)] == shorter
    assert [len(prompts) for prompts in predictor.prompts] == [1, 2, 3, 4]


def test_a_box_comes_before_the_first_click(dataset, predictor):
    labels = find_pairs(dataset)[0].read()[1]
    evaluate_image(predictor, find_pairs(dataset)[0], [4], boxed=True)
    first, *others = predictor.prompts
    frame, click = first
    assert frame == box(9, 49, 22, 62)
    assert click.positive
    assert labels[int(click.row), int(click.column)] == 4
    assert all(prompts[0] == frame for prompts in others)


def test_failures_count_as_twenty(dataset, predictor):
    predictor.start = 100
    result = evaluate_dataset(predictor, dataset, max_objects=2)
    assert result.noc == {80: 20, 85: 20, 90: 20, 95: 20}
    assert result.nof == {90: 2}
    assert all(len(o.ious) == 20 for o in result.objects)


@pytest.mark.parametrize(("missing", "clicks"), [(4, 10), (6, 20)])
def test_the_protocol_ends_when_no_figure_can_change(missing, clicks, fake_class):
    class Stuck(fake_class):
        def predict(self, prompts, /):
            mask = super().predict(prompts)
            mask.data[:missing] = False
            return mask

    labels = np.ones((100, 100), np.uint8)
    fake = Stuck(start=0)
    fake.know(labels, labels)
    fake.set_image(labels)
    result = evaluate_object(fake, region_of(labels > 0))
    # An IoU of 0.96 is above every threshold; 0.94 might still reach the last one.
    assert len(result.ious) == clicks
    assert result.noc(90) == 1
    assert result.noc(95) == (1 if missing == 4 else 20)


def test_few_clicks_leave_later_figures_out(dataset, predictor):
    result = evaluate_dataset(predictor, dataset, max_objects=3, max_clicks=3)
    figures = result.to_dict()
    assert result.iou_at[3] == pytest.approx(margin_iou(1))
    assert math.isnan(result.iou_at[5])
    assert figures["iou_at"]["5"] is figures["iou_at"]["10"] is None
    assert figures["boundary_iou_at"] == {"5": None}
    assert figures["noc"]["90"] == 3


def test_at_least_one_click(dataset, predictor):
    with pytest.raises(ValueError, match="At least one click"):
        evaluate_dataset(predictor, dataset, max_clicks=0)


def test_progress_and_skipped_files(dataset, predictor):
    (dataset / "b_label.png").write_bytes(b"damaged")
    steps = []
    result = evaluate_dataset(predictor, dataset, progress=steps.append)
    assert steps == [3, 3]
    assert len(result.skipped) == 1


def test_encoding_inside_a_click_is_no_time_of_the_click(squares, fake_class):
    class Zooming(fake_class):
        def predict(self, prompts, /):
            if len(prompts) == 2:
                self.encode_seconds += 1e6
            return super().predict(prompts)

    image = np.zeros((2, 2), np.uint8)
    fake = Zooming(start=3)
    fake.know(image, squares)
    fake.set_image(image)
    result = evaluate_object(fake, region_of(squares == 4))
    assert result.click_seconds[1] == 0
    assert result.encode_seconds > 0


def test_json(tmp_path, dataset, predictor, squares, write_pair):
    other = tmp_path / "other" / "val"
    predictor.know(*write_pair(other, "z", squares))
    result = evaluate(predictor, tmp_path, max_objects=2)
    path = tmp_path / "new" / "figures.json"
    result.write(path)
    figures = json.loads(path.read_text())
    assert set(figures) == {"datasets", "mean", "weights", "method"}
    assert set(figures["datasets"]) == {"squares", "other"}
    assert figures["weights"] == {"name": "in memory", "sha256": None}
    for row in [*figures["datasets"].values(), figures["mean"]]:
        assert set(row) == KEYS
        assert set(row["iou_at"]) == {"1", "3", "5", "10"}
        assert set(row["noc"]) == {"80", "85", "90", "95"}
        assert set(row["nof"]) == {"90"}
        assert set(row["boundary_iou_at"]) == {"5"}
    assert figures["mean"]["objects"] == 4
    assert list(path.parent.iterdir()) == [path]


def test_the_mean_counts_every_dataset_alike():
    def one(iou, count):
        return DatasetResult([ObjectResult(ious=[iou], max_clicks=1) for _ in range(count)])

    result = EvaluationResult({"a": one(1.0, 9), "b": one(0.5, 1)}, "x", "abc").to_dict()
    assert result["mean"]["iou_at"]["1"] == 0.75
    assert result["mean"]["nof"] == {"90": 1}
    assert result["weights"] == {"name": "x", "sha256": "abc"}


def test_weights_are_named(dataset, predictor):
    class Model:
        weights_name, weights_sha256 = "tiny", "0" * 64

    predictor.model = Model()
    result = evaluate(predictor, dataset, max_objects=1)
    assert (result.weights_name, result.weights_sha256) == ("tiny", "0" * 64)


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="could not be written"):
        EvaluationResult({}).write(tmp_path / "file" / "out.json")


def test_parallel_in_one_process_is_the_same(dataset, predictor):
    reported = []
    result = evaluate_parallel(
        "fake",
        dataset,
        max_objects=5,
        make_predictor=lambda name: predictor,
        progress=lambda *step: reported.append(step),
    )
    alone = evaluate_dataset(predictor, dataset, max_objects=5)
    assert [o.ious for o in result.datasets["squares"].objects] == [o.ious for o in alone.objects]
    assert reported[0] == ("squares", 0, 5)
    assert reported[-1] == ("squares", 5, 5)


def test_parallel_asks_for_a_dataset_first(tmp_path, fake_class):
    with pytest.raises(DatasetError):
        evaluate_parallel("fake", tmp_path, make_predictor=lambda name: fake_class())
    with pytest.raises(ValueError, match="worker"):
        evaluate_parallel("fake", tmp_path, workers=0)
