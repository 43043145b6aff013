"""Learning from images without labels: both protocols, from end to end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from napari_inter2former.evaluation import DatasetError
from napari_inter2former.model import build_model
from napari_inter2former.training import distill, pretrain, train
from napari_inter2former.training.unlabelled import Images, crop, crops, find_images
from napari_inter2former.weights import load_model, read_metadata

from ..networks import SMALLEST

QUICK = ["--minutes", "0.02", "--side", "64", "--crops", "2", "--device", "cpu"]


def test_images_are_found_without_labels_and_bad_ones_left_out(
    pool: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = find_images(pool)
    assert [p.name for p in paths] == ["0000_image.png", "0001_image.png"] * 2
    (pool / "others" / "masks").mkdir()
    (pool / "others" / "masks" / "0001.png").write_bytes(paths[0].read_bytes())
    assert find_images(pool) == paths
    (pool / "broken.png").write_bytes(b"no picture")
    images = Images(find_images(pool))
    batch = next(crops(images, 30, 32, 0.2, np.random.default_rng(0)))
    assert batch.shape == (30, 32, 32, 3)
    assert 0 <= batch.min() <= batch.max() <= 1
    assert capsys.readouterr().err.count("broken.png") == 1
    with pytest.raises(DatasetError, match="is no folder"):
        find_images(pool / "nowhere")
    (pool / "empty").mkdir()
    with pytest.raises(DatasetError, match="holds no image"):
        find_images(pool / "empty")
    with pytest.raises(DatasetError, match="None of the images"):
        Images([pool / "broken.png"]).draw(np.random.default_rng(0))


@pytest.mark.parametrize("shape", [(5, 7), (40, 200), (300, 300)])
def test_images_of_any_size_give_crops(shape: tuple[int, int]) -> None:
    image = np.full((*shape, 3), 255, np.uint8)
    for seed in range(5):
        part = crop(image, 64, np.random.default_rng(seed))
        assert part.shape == (64, 64, 3)
        assert (part == 1).all()


def test_hidden_squares_are_as_many_as_asked_for() -> None:
    masked = pretrain.MaskedAutoencoder(build_model(SMALLEST), ratio=0.75, unit=2)
    hidden = masked.draw(3, 8, 8)
    assert hidden.sum((1, 2)).tolist() == [48, 48, 48]
    assert torch.equal(hidden[:, ::2, ::2], hidden[:, 1::2, 1::2])
    assert masked.draw(2, 5, 3).shape == (2, 5, 3)


@pytest.mark.parametrize("protocol", ["pretrain", "distill"])
def test_protocols_lower_their_loss(protocol: str) -> None:
    torch.manual_seed(0)
    model = build_model(SMALLEST).train()
    loss: torch.nn.Module
    if protocol == "pretrain":
        loss = pretrain.MaskedAutoencoder(model)
        parameters = list(loss.parameters())
    else:
        loss = distill.Distillation(build_model(SMALLEST), model)
        parameters = loss.learned()
    rows = torch.linspace(0, 20, 64)
    images = (rows[:, None].sin() * rows.cos() * 0.5 + 0.5).expand(2, 3, 64, 64).permute(0, 2, 3, 1)
    optimizer = torch.optim.Adam(parameters, 3e-3)
    losses = []
    for _ in range(30):
        value = loss(images)
        value.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(value.detach()))
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])


def test_both_protocols_write_weights_that_training_starts_from(
    pool: Path, tmp_path: Path, preset: str, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = tmp_path / "masked.safetensors", tmp_path / "student.safetensors"
    common = ["--images", str(pool), "--preset", preset, *QUICK]
    assert pretrain.main([*common, "--out", str(first)]) == 0
    assert distill.main([*common, "--teacher", str(first), "--out", str(second)]) == 0
    assert read_metadata(second)["training"]["teacher"] == load_model(first).weights_sha256
    # Only the decoder learns when the encoder is frozen.
    arguments = ["--data", str(pool), "--out", str(tmp_path / "run"), "--preset", preset]
    arguments += ["--start-from", str(second), "--freeze-encoder", "--hours", "0.0008"]
    arguments += ["--device", "cpu"]
    arguments += ["--side", "64", "--crops", "2", "--objects", "2"]
    run = train.Run(train.parser().parse_args(arguments))
    before = {k: v.clone() for k, v in run.trainer.model.state_dict().items()}
    run.train()
    changed = {k for k, v in run.trainer.model.state_dict().items() if (v != before[k]).any()}
    assert changed
    assert not any(k.startswith("encoder.") for k in changed)
    capsys.readouterr()
    assert pretrain.main([*common, "--out", str(first), "--side", "50"]) == 1
    assert "multiple of 32" in capsys.readouterr().err


def test_a_student_of_another_width_is_matched() -> None:
    from dataclasses import replace

    teacher = build_model(replace(SMALLEST, dim=24))
    pair = distill.Distillation(teacher, build_model(SMALLEST))
    pair(torch.rand(1, 64, 64, 3)).backward()
    assert all(p.grad is None for p in teacher.parameters())
    assert any(p.grad is not None for p in pair.student.parameters())
