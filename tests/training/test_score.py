"""The score is taught alone: on what clicks draw, and nothing else changes."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_inter2former.errors import Inter2FormerError
from napari_inter2former.evaluation.datasets import find_datasets
from napari_inter2former.everything._decode import encode
from napari_inter2former.everything._shapes import Shape
from napari_inter2former.model import reference_mask as rm
from napari_inter2former.model.quality import IoUHead
from napari_inter2former.predictor._engine import Engine
from napari_inter2former.training import score
from napari_inter2former.training import score_samples as made
from napari_inter2former.training.pool import LazyImages, TrainingImage
from napari_inter2former.weights import load_model, read_metadata, save_weights

from ..networks import SMALLEST, smallest_model


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the windows small, and the clicks few."""
    monkeypatch.setattr(score, "SIDE", 128)
    monkeypatch.setattr(score, "TARGETS", 1)
    monkeypatch.setattr(score, "CLICKS", 2)
    monkeypatch.setattr(made, "ON_OBJECTS", 4)
    monkeypatch.setattr(made, "BESIDE", 4)
    monkeypatch.setattr(score, "learn", partial(score.learn, epochs=50, rate=1e-2))


def first_image(pool: Path) -> TrainingImage:
    """Return an image of the pool."""
    (source, *_) = find_datasets(pool, "train").values()
    return TrainingImage(source.pairs[0])


def test_only_the_score_learns(
    pool: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start, out = tmp_path / "start.safetensors", tmp_path / "out.safetensors"
    save_weights(
        start, smallest_model(), {"training": {"hours": 3}, "figures": {"x": 1}}, half=True
    )
    command = ["--data", str(pool), "--weights", str(start), "--out", str(out), "--windows", "2"]
    assert score.main(command) == 0
    assert "masks in 2 windows" in capsys.readouterr().out
    before, after = load_model(start).state_dict(), load_model(out).state_dict()
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed
    assert all(name.startswith("quality.") for name in changed)
    told = read_metadata(out)
    assert told["training"]["hours"] == 3
    assert told["training"]["score"]["windows"] == 2
    assert told["figures"] == {"x": 1}
    # The same command writes the same weights.
    again = tmp_path / "again.safetensors"
    assert score.main([*command[:4], "--out", str(again), *command[6:]]) == 0
    assert load_model(again).weights_sha256 == load_model(out).weights_sha256


def test_weights_are_rounded_only_if_they_were() -> None:
    model = smallest_model()
    assert not score.is_half(model)
    assert score.is_half(model.half().float())


def test_what_cannot_be_used_is_told(
    pool: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path, changes in ((tmp_path / "with", {}), (tmp_path / "without", {"iou_head": False})):
        save_weights(path.with_suffix(".safetensors"), smallest_model(**changes))
    out = tmp_path / "out.safetensors"
    command = ["--data", str(pool), "--out", str(out), "--weights"]
    assert score.main([*command, str(tmp_path / "without.safetensors")]) == 1
    assert "no IoU head" in capsys.readouterr().err
    usable = [*command, str(tmp_path / "with.safetensors")]
    assert score.main([*usable, "--partly", "discs", "nonsuch"]) == 1
    assert "no dataset is called nonsuch" in capsys.readouterr().err
    assert score.main([*usable, "--windows", "0"]) == 1
    assert "--windows" in capsys.readouterr().err
    assert not out.exists()


def test_windows_show_the_image_at_a_zoom_that_suits_its_objects(pool: Path) -> None:
    image = first_image(pool)
    rng = np.random.default_rng(0)
    largest = []
    for _ in range(20):
        pixels, labels = made.draw_window(image, 200, rng)
        assert pixels.shape == (*labels.shape, 3)
        assert max(labels.shape) <= 200
        assert pixels[labels > 0].mean() > 2 * pixels[labels == 0].mean()
        sizes = np.sqrt(np.bincount(labels.ravel())[1:])
        # Zooms are a factor of two apart, and the next one to the best is tried as well.
        largest.append(sizes.max())
    assert made.USUAL_SIZE / 4 < min(largest) < 0.7 * max(largest)
    assert max(largest) < 4 * made.USUAL_SIZE


def test_the_target_is_the_best_overlap() -> None:
    labels = np.zeros((40, 40), np.int32)
    labels[:10, :10], labels[:10, 10:14] = 1, 2
    areas = np.bincount(labels.ravel())

    def overlap(top: int, left: int) -> tuple[float, float]:
        data = np.ones((10, 10), np.bool_)
        box = (top, left, top + 10, left + 10)
        shape = Shape(data, box, np.ones((10, 10), np.float32), 100, 0.5, cut=False)
        return made.best_overlap(shape, labels, areas)

    assert overlap(0, 0) == (1, 1)
    assert overlap(0, 2) == (pytest.approx(80 / 120), 1)
    assert overlap(20, 20) == (0, 0)
    assert overlap(5, 0) == (pytest.approx(50 / 150), 0.5)


def test_a_listening_head_changes_nothing() -> None:
    plain, model = smallest_model(), smallest_model()
    head = made.AttentiveHead.listen(model)
    pixels = np.random.default_rng(0).random((96, 96, 3), dtype=np.float32)
    reference = rm.new(96, 96)
    rm.add_click(reference, 40, 50, positive=True)
    expected = plain.decode(encode(plain, pixels), reference)
    drawn = model.decode(encode(model, pixels), reference)
    assert torch.equal(drawn.logits, expected.logits)
    assert drawn.iou == expected.iou
    with torch.inference_mode():
        assert float(head.judge(head.shown).sigmoid()) == expected.iou


def test_clicks_on_what_may_be_an_object_without_label_are_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = smallest_model()
    head = made.AttentiveHead.listen(model)
    head.shown = torch.zeros(1, 2 * SMALLEST.dim + 2)
    clicked = []

    def square(_: object, __: object, clicks: list[tuple[int, int]]) -> list[Shape]:
        ((row, column),) = clicks
        clicked.append((row, column))
        box = (row - 5, column - 5, row + 6, column + 6)
        data = np.ones((11, 11), np.bool_)
        return [Shape(data, box, data.astype(np.float32), 121, 0.5, cut=False)]

    monkeypatch.setattr(made, "draw_shapes", square)
    labels = np.zeros((128, 128), np.int32)
    labels[:, :64] = 3
    pixels = np.zeros((128, 128, 3), np.float32)

    def ious(partly: bool) -> list[float]:
        rng = np.random.default_rng(0)
        return [s.iou for s in made.automatic_samples(model, head, pixels, labels, rng, partly)]

    good = 121 / (128 * 64)
    assert sorted(ious(False)) == pytest.approx([0.0] * 8 + [good] * 8)
    # Each was clicked on the grid, and then in the middle of its mask, which is the same place.
    assert clicked[:8] == clicked[8:]
    assert ious(True) == pytest.approx([good] * 8)


def test_clicks_of_a_user_are_followed() -> None:
    model = smallest_model()
    head = made.AttentiveHead.listen(model)
    rng = np.random.default_rng(0)
    target = np.zeros((96, 96), np.bool_)
    target[30:70, 20:60] = True
    features = encode(model, rng.random((96, 96, 3), dtype=np.float32))
    samples = list(made.clicked_samples(Engine(model, 0), head, features, target, rng, 3))
    assert len(samples) == 3
    assert not torch.equal(samples[0].inputs, samples[1].inputs)
    assert all(0 <= sample.iou <= 1 for sample in samples)


def test_a_head_learns_what_its_inputs_tell() -> None:
    torch.manual_seed(0)
    inputs = torch.randn(600, 2 * SMALLEST.dim + 2)
    ious = (inputs[:, -1] > 0).float()
    head = IoUHead(SMALLEST)
    samples = score.Samples(inputs, ious, torch.arange(600) // 20)
    before, after = score.learn(head, samples, epochs=40, rate=1e-2)
    assert after < 0.5 * before
    told = head.judge(inputs).detach()
    assert told[ious > 0].mean() > told[ious == 0].mean() + 1


def test_nothing_drawn_is_an_error(pool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score, "automatic_samples", lambda *_: iter(()))
    monkeypatch.setattr(score, "clicked_samples", lambda *_, **__: iter(()))
    images = {"discs": LazyImages([first_image(pool)])}
    with pytest.raises(Inter2FormerError, match="drew anything"):
        score.gather(smallest_model(), images, 2, np.random.default_rng(0))
