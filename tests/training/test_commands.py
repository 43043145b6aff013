"""The training commands from end to end, on a small network."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch.distributed.run import get_args_parser

from napari_inter2former._files import OutputError
from napari_inter2former.evaluation.datasets import DatasetError
from napari_inter2former.model import build_model
from napari_inter2former.predictor import Predictor
from napari_inter2former.prompts import Click
from napari_inter2former.training import finetune, release, train
from napari_inter2former.training.checkpoint import load_checkpoint, save_checkpoint
from napari_inter2former.weights import list_models, load_model, read_metadata, save_weights

from .conftest import draw_pair

QUICK = ["--side", "64", "--crops", "2", "--objects", "2", "--log-steps", "2"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a fresh folder for the user's models."""
    monkeypatch.setenv("INTER2FORMER_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def run_training(pool: Path, out: Path, preset: str, hours: float) -> int:
    """Train for a moment."""
    arguments = ["--data", str(pool), "--out", str(out), "--preset", preset, "--device", "cpu"]
    return train.main([*arguments, "--hours", str(hours), *QUICK])


def test_training_writes_a_log_and_goes_on_where_it_stopped(
    pool: Path, tmp_path: Path, preset: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert run_training(pool, out, preset, 0.0015) == 0
    first = load_checkpoint(out / "checkpoint.safetensors").progress
    assert first["step"] > 0
    # Some more than the first step took, however slow the machine.
    assert run_training(pool, out, preset, first["seconds"] / 3600 + 0.001) == 0
    second = load_checkpoint(out / "checkpoint.safetensors").progress
    assert second["step"] > first["step"]
    assert second["seconds"] > first["seconds"]
    with (out / "log.csv").open() as file:
        steps = [int(row["step"]) for row in csv.DictReader(file)]
    assert steps == sorted(steps)
    # The folder says which configuration it is; another one is refused.
    again = ["--data", str(pool), "--out", str(out), "--device", "cpu", "--hours", "1e-5"]
    assert train.main([*again, *QUICK]) == 0
    capsys.readouterr()
    assert run_training(pool, out, "tiny", 0.01) == 1
    assert "use another --out" in capsys.readouterr().err


def test_torchrun_leaves_the_options_alone() -> None:
    # It looks for abbreviations of its own options even among those of what it is to run.
    options = [flag for action in train.parser()._actions for flag in action.option_strings]
    assert "--start-from" in options
    for flag in options:
        parsed = get_args_parser().parse_args(["--nproc-per-node", "2", "train.py", flag, "1"])
        assert parsed.training_script_args == [flag, "1"]


def test_training_on_nothing_is_a_clear_error(
    tmp_path: Path, preset: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_training(tmp_path / "nowhere", tmp_path / "run", preset, 1) == 1
    assert "no such folder" in capsys.readouterr().err


def test_released_weights_have_a_card(
    pool: Path, tmp_path: Path, preset: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run_training(pool, tmp_path / "run", preset, 0.0005)
    weights = tmp_path / "new.safetensors"
    checkpoint = ["--checkpoint", str(tmp_path / "run" / "checkpoint.safetensors")]
    command = [*checkpoint, "--out", str(weights), "--data", "drawn discs."]
    assert release.main(command) == 0
    card = weights.with_suffix(".md").read_text()
    assert "drawn discs." in card
    assert "## Figures" not in card
    assert read_metadata(weights)["training"]["masks"] > 0
    before = weights.read_bytes()
    foreign = tmp_path / "evaluation.json"
    foreign.write_text('{"weights": {"sha256": "0"}, "datasets": {}, "mean": {}}')
    assert release.main([*command[:-1], "lies", "--evaluation", str(foreign)]) == 1
    assert weights.read_bytes() == before
    assert {p.name for p in tmp_path.glob("*new*")} == {"new.safetensors", "new.md"}
    # Weights that say themselves how they were trained.
    training = {**read_metadata(weights)["training"], "score": {"masks": 7, "windows": 3}}
    model = load_model(weights)
    save_weights(tmp_path / "scored.safetensors", model, {"training": training}, half=True)
    out = tmp_path / "other.safetensors"
    assert release.main(["--weights", str(tmp_path / "scored.safetensors"), "--out", str(out)]) == 0
    assert load_model(out).weights_sha256 == model.weights_sha256
    card = out.with_suffix(".md").read_text()
    assert "drawn discs." in card
    assert "score was then taught on 7 masks in 3 windows" in card
    save_weights(tmp_path / "silent.safetensors", model, half=True)
    command = ["--weights", str(tmp_path / "silent.safetensors"), "--out", str(out)]
    assert release.main(command) == 1
    assert "does not tell its hours" in capsys.readouterr().err


def test_several_checkpoints_give_the_mean_of_their_weights(
    pool: Path, tmp_path: Path, preset: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run_training(pool, tmp_path / "run", preset, 0.0005)
    first = tmp_path / "run" / "checkpoint.safetensors"
    saved = load_checkpoint(first)
    saved.progress["seconds"] += 3600
    name = "upsampling.locate.0.weight"
    saved.average[name] = saved.average[name] + 1
    second = tmp_path / "second.safetensors"
    save_checkpoint(second, saved)
    weights = tmp_path / "new.safetensors"
    command = ["--checkpoint", str(second), str(first), "--out", str(weights)]
    assert release.main([*command, "--data", "drawn discs."]) == 0
    mean, other = load_model(weights).state_dict(), load_checkpoint(first).average
    torch.testing.assert_close(mean[name], other[name] + 0.5, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(
        mean["prompt.embed.weight"], other["prompt.embed.weight"].half().float()
    )
    trained = read_metadata(weights)["training"]
    assert trained["mean_of_hours"][1] == trained["hours"] >= 1
    assert f"{trained['hours']} hours." in weights.with_suffix(".md").read_text()
    # And with the weights that a run began from.
    begun = tmp_path / "begun.safetensors"
    model = load_model(weights)
    sha256 = model.weights_sha256
    model.load_state_dict({**model.state_dict(), name: other[name] - 1.5})
    save_weights(begun, model)
    both = tmp_path / "both.safetensors"
    with_begun = [*command[:-1], str(both), "--data", "drawn discs.", "--mean-with"]
    assert release.main([*with_begun, str(begun)]) == 0
    torch.testing.assert_close(
        load_model(both).state_dict()[name], other[name] - 0.5, atol=1e-3, rtol=1e-3
    )
    assert f"(`{load_model(begun).weights_sha256[:12]}...`)" in both.with_suffix(".md").read_text()
    assert load_model(weights).weights_sha256 == sha256
    assert release.main([*with_begun, str(both)]) == 1
    assert "is what --out replaces" in capsys.readouterr().err
    save_weights(begun, build_model("base"))
    assert release.main([*with_begun, str(begun)]) == 1
    assert "they have no mean" in capsys.readouterr().err
    saved.progress["config"] = {**saved.progress["config"], "iou_head": False}
    save_checkpoint(second, saved)
    before = weights.read_bytes()
    assert release.main([*command, "--data", "drawn discs."]) == 1
    assert "another configuration" in capsys.readouterr().err
    assert weights.read_bytes() == before


def test_release_evaluates_and_shows_what_may_be_shown(
    pool: Path,
    tmp_path: Path,
    preset: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("matplotlib")
    evaluate = release.inter2former
    monkeypatch.setattr(
        release, "inter2former", lambda command: evaluate([*command, "--clicks", "5"])
    )
    run_training(pool, tmp_path / "run", preset, 0.0005)
    for dataset in ("discs", "others"):
        draw_pair(pool / dataset / "val", "a", 5)
    (pool / "SOURCES.md").write_text(
        "| dataset | what it shows | licence | from (repository) |\n"
        "| --- | --- | --- | --- |\n"
        "| discs | bright discs | MIT | me/discs |\n"
        "| others | discs again | CC BY-NC 4.0 | you/others |\n"
    )
    weights = tmp_path / "weights" / "new.safetensors"
    weights.parent.mkdir()
    (weights.parent / "new_worst_gone.jpg").write_bytes(b"of an earlier card")
    checkpoint = ["--checkpoint", str(tmp_path / "run" / "checkpoint.safetensors")]
    command = [*checkpoint, "--out", str(weights), "--pool", str(pool), "--objects", "1"]
    assert release.main(command) == 1  # nothing says what it was trained on
    assert release.main([*command, "--data", "drawn discs.", "--machine", "a desk"]) == 0
    card = weights.with_suffix(".md").read_text()
    for text in (
        "hours on a desk",
        "| discs | 1 |",
        "| **mean** | 2 |",
        "## Known weak spots",
        "me/discs, MIT",
        "| others | discs again | CC BY-NC 4.0 | you/others |",
    ):
        assert text in card
    assert {p.name for p in weights.parent.iterdir()} == {
        "new.safetensors",
        "new.md",
        "new_worst_discs.jpg",
    }
    assert set(read_metadata(weights)["figures"]) == {"discs", "others"}
    # Once more, without saying again what it was trained on.
    report = tmp_path / "run" / "report"
    again = ["--evaluation", str(tmp_path / "run" / "evaluation.json"), "--report", str(report)]
    assert release.main([*checkpoint, "--out", str(weights), *again]) == 0
    assert "drawn discs." in weights.with_suffix(".md").read_text()
    assert not list(weights.parent.glob("*.jpg"))  # no licence was named
    boxed = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    (tmp_path / "boxed.json").write_text(json.dumps({**boxed, "method": "inter2former with boxes"}))
    again = ["--evaluation", str(tmp_path / "boxed.json")]
    assert release.main([*checkpoint, "--out", str(weights), *again]) == 1
    assert "with clicks alone" in capsys.readouterr().err


def test_finetuned_model_is_listed_and_segments(
    tmp_path: Path, home: Path, preset: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(2):
        draw_pair(tmp_path / "mine", f"cells{i}", i)
    start = save_weights(tmp_path / "start.safetensors", build_model(preset))
    arguments = ["--images", str(tmp_path / "mine"), "--name", "mine", "--weights", str(start)]
    arguments += ["--minutes", "0.05", "--device", "cpu"]
    assert finetune.main(arguments) == 0
    assert "mine" in [info.name for info in list_models()]
    assert read_metadata(home / "models" / "mine.safetensors")["training"]["images"] == 2
    predictor = Predictor("mine")
    predictor.set_image(np.random.default_rng(0).random((50, 60)))
    assert predictor.predict([Click(20, 20)]).box is not None
    capsys.readouterr()
    assert finetune.main(arguments) == 1
    assert "--overwrite replaces it" in capsys.readouterr().err


def write(path: Path, dtype: type = np.uint8) -> None:
    """Write a small picture."""
    path.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(path), np.ones((8, 8), dtype))


def test_files_are_matched_by_name(tmp_path: Path) -> None:
    images, labels = tmp_path / "images", tmp_path / "labels"
    for name in ("a.png", "b_img.tif", "c.png", "alone.png"):
        write(images / name)
    for name in ("a.png", "b_masks.tif", "c_label.png", "other.png"):
        write(labels / name, np.uint16)
    pairs = finetune.find_training_pairs(images, labels)
    assert [(p.image.name, p.label.name) for p in pairs] == [
        ("a.png", "a.png"),
        ("b_img.tif", "b_masks.tif"),
        ("c.png", "c_label.png"),
    ]
    # Cellpose keeps both in one folder.
    for path in labels.iterdir():
        path.rename(images / f"{path.stem.split('_')[0]}_masks.png")
    assert [p.name for p in finetune.find_training_pairs(images)] == ["a", "b", "c"]


@pytest.mark.parametrize("missing", ["folder", "labels"])
def test_nothing_to_match_is_a_clear_error(tmp_path: Path, missing: str) -> None:
    write(tmp_path / "images" / "a.png")
    (tmp_path / "labels").mkdir()
    folder = tmp_path / ("nowhere" if missing == "folder" else "labels")
    with pytest.raises(DatasetError, match=r"no such folder|share their\s+name"):
        finetune.find_training_pairs(tmp_path / "images", folder)


@pytest.mark.parametrize("name", ["", "../up", "a b", "tiny"])
def test_unusable_model_names_are_refused(
    name: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_inter2former.weights import ModelInfo

    shipped = [ModelInfo("tiny", Path("tiny.safetensors"), shipped=True)]
    monkeypatch.setattr(finetune, "list_models", lambda: shipped)
    with pytest.raises(DatasetError, match="name"):
        finetune.check_name(name, overwrite=True)


def test_where_no_model_can_be_stored_is_told_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("INTER2FORMER_HOME", str(tmp_path / "file"))
    with pytest.raises(OutputError, match="could not be written"):
        finetune.check_name("mylab", overwrite=False)
