"""The ablation table at its smallest."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from napari_inter2former.model import PRESETS, build_model
from napari_inter2former.training import ablate
from napari_inter2former.weights import load_model


def test_every_row_is_a_configuration_of_its_own() -> None:
    configs = [replace(PRESETS["tiny"], **row.config) for row in ablate.ROWS.values()]
    kinds = [
        (config, *row.sampling, *row.training, *row.left_out, row.start)
        for config, row in zip(configs, ablate.ROWS.values(), strict=True)
    ]
    assert len(set(kinds)) == len(ablate.ROWS)
    for config in configs:
        build_model(config)


def test_rows_are_trained_once_evaluated_and_written(
    pool: Path, tmp_path: Path, preset: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(pool / "others")
    shutil.copytree(pool / "discs" / "train", pool / "discs" / "val")
    arguments = ["--data", str(pool), "--out", str(tmp_path / "run"), "--preset", preset]
    arguments += ["--steps", "2", "--max-objects", "1", "--rows", "base", "non-dlu", "vqa"]
    arguments += ["--side", "64", "--crops", "1", "--objects", "1"]
    assert ablate.main(arguments) == 0
    assert capsys.readouterr().out.count("training") == 2  # non-DLU uses the weights of the base
    assert load_model(tmp_path / "run" / "vqa.safetensors").config.quantizer == "vq"
    text = (tmp_path / "run" / "ablation.md").read_text()
    assert text.count("| VQA") == 2
    figures = json.loads((tmp_path / "run" / "ablation.json").read_text())
    assert list(figures) == ["base", "non-dlu", "vqa"]
    assert 0 <= figures["vqa"]["datasets"]["discs"]["iou_at"]["3"] <= 1
    assert 0 <= figures["vqa"]["training"]["iou"] <= 1
    # Again: everything is there already, until the budget changes.
    assert ablate.main(arguments) == 0
    assert "training" not in capsys.readouterr().out
    assert ablate.main([*arguments, "--steps", "3"]) == 1
    assert "another budget" in capsys.readouterr().err
    assert ablate.main([*arguments, "--rows", "pretrained"]) == 1
    assert "make it with training/pretrain.py" in capsys.readouterr().err
    shutil.copy(tmp_path / "run" / "base.safetensors", tmp_path / "run" / "pretrain.safetensors")
    assert ablate.main([*arguments, "--rows", "pretrained"]) == 0
    assert "| begins as a masked" in (tmp_path / "run" / "ablation.md").read_text()
