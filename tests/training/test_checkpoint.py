"""Checkpoints that do not fit, and disks that fill up in the middle of a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from napari_inter2former.model import build_model
from napari_inter2former.training import release, train
from napari_inter2former.training.checkpoint import (
    FORMAT,
    Checkpoint,
    CheckpointError,
    load_checkpoint,
    save_checkpoint,
)

from ..networks import SMALLEST


def saved_as(path: Path, **changes: object) -> None:
    """Write a checkpoint of the smallest network that says other things about itself."""
    weights = build_model(SMALLEST).state_dict()
    config = {**SMALLEST.to_dict(), **changes}
    progress = {"step": 1, "seconds": 1.0, "masks": 1, "config": config}
    average = {name: tensor.clone() for name, tensor in weights.items()}
    save_checkpoint(path, Checkpoint(weights, average, {}, {}, progress))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dim": 32}, "do not fit the configuration"),
        ({"from_the_future": 1}, "from_the_future"),
        ({"attention": "none"}, "can't be used"),
    ],
)
def test_another_configuration_is_told(
    tmp_path: Path,
    pool: Path,
    preset: str,
    changes: dict[str, object],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "run" / "checkpoint.safetensors"
    saved_as(path, **changes)
    before = path.read_bytes()
    arguments = ["--data", str(pool), "--out", str(path.parent), "--preset", preset]
    assert train.main([*arguments, "--device", "cpu"]) == 1
    out = tmp_path / "new.safetensors"
    command = ["--checkpoint", str(path), "--out", str(out), "--data", "x"]
    assert release.main(command) == 1
    for line in capsys.readouterr().err.strip().splitlines():
        assert message in line
        assert str(path) in line
    assert path.read_bytes() == before
    assert not out.exists()


@pytest.mark.parametrize("metadata", [{}, {"progress": "{"}, {"progress": "{}"}])
def test_damaged_metadata(tmp_path: Path, metadata: dict[str, str]) -> None:
    path = tmp_path / "c.safetensors"
    names = {"elsewhere/a"} if metadata.get("progress") == "{}" else {"model/a"}
    save_file({name: torch.ones(1) for name in names}, path, {"format": FORMAT, **metadata})
    with pytest.raises(CheckpointError, match="can't be read as a checkpoint"):
        load_checkpoint(path)


def test_training_goes_on_when_the_disk_is_full_for_a_while(
    tmp_path: Path,
    pool: Path,
    preset: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    steps: list[int] = []

    def sometimes_full(path: Path, checkpoint: Checkpoint) -> None:
        steps.append(checkpoint.progress["step"])
        if len(steps) == 1:
            raise CheckpointError(f"The checkpoint {path} could not be written (disk full).")
        save_checkpoint(path, checkpoint)

    monkeypatch.setattr(train, "save_checkpoint", sometimes_full)
    arguments = ["--data", str(pool), "--out", str(tmp_path / "run"), "--preset", preset]
    arguments += ["--device", "cpu", "--hours", "0.0002", "--save-minutes", "0", "--side", "64"]
    assert train.main([*arguments, "--crops", "2", "--objects", "2"]) == 0
    assert "warning: The checkpoint" in capsys.readouterr().err
    assert len(steps) > 1
    last = load_checkpoint(tmp_path / "run" / "checkpoint.safetensors").progress
    assert last["step"] == steps[-1]
    assert json.dumps(last["config"]) == json.dumps(SMALLEST.to_dict())
