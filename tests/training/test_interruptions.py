"""Ctrl-C, termination and full disks during each training command."""

from __future__ import annotations

import csv
import errno
import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_inter2former import _files
from napari_inter2former.errors import ImageError
from napari_inter2former.model import build_model
from napari_inter2former.training import distill, finetune, pretrain, train, unlabelled
from napari_inter2former.training.checkpoint import load_checkpoint
from napari_inter2former.training.interruptions import StopRequest
from napari_inter2former.training.log import COLUMNS, add_row, read_log, resume_log
from napari_inter2former.training.loop import Trainer
from napari_inter2former.training.plotting import plot_log
from napari_inter2former.weights import read_metadata, save_weights

from .conftest import draw_pair

Command = Callable[[list[str]], int]
SMALL = ["--side", "64", "--crops", "2", "--device", "cpu"]
ctrl_c = partial(signal.raise_signal, signal.SIGINT)
terminate = partial(signal.raise_signal, signal.SIGTERM)


def after_step(monkeypatch: pytest.MonkeyPatch, number: int, act: Callable[[], None]) -> None:
    """Let something happen in the middle of a step of `Trainer`, and refuse to take another."""
    step = Trainer.step

    def stepped(trainer: Trainer, *arguments: Any) -> Any:
        assert trainer.steps < number
        result = step(trainer, *arguments)
        if trainer.steps == number:
            act()
        return result

    monkeypatch.setattr(Trainer, "step", stepped)


def full_disk(monkeypatch: pytest.MonkeyPatch, times: int) -> list[int]:
    """Let the disk be full for the first few writes; returns a list of the writes' sizes."""
    sizes: list[int] = []

    def fsync(file: int) -> None:
        sizes.append(os.fstat(file).st_size)
        if len(sizes) <= times:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(_files.os, "fsync", fsync)
    return sizes


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_another_ctrl_c_quits(
    first: signal.Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with StopRequest() as stop:
        assert not stop.asked
        signal.raise_signal(first)
        assert stop.asked
        terminate()  # as `timeout` does: to the process, then to its group
        assert capfd.readouterr().err.count("stopping after this step") == 1
        with pytest.raises(KeyboardInterrupt):
            ctrl_c()
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_torchrun_sends_every_ctrl_c_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    with StopRequest() as stop:
        ctrl_c()
        ctrl_c()
        assert stop.asked


def test_another_thread_gets_no_signals_and_trains_all_the_same() -> None:
    handlers = []

    def run() -> None:
        with StopRequest() as stop:
            handlers.append(signal.getsignal(signal.SIGINT))
            assert not stop.asked

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert handlers == [before]


@pytest.fixture
def finetuning(
    tmp_path: Path, preset: str, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[str], Path]:
    """Return the arguments of a long fine-tuning with small steps, and where the model goes."""
    small = replace(finetune.OWN_OBJECTS, side=64, crops=2, objects=2)
    monkeypatch.setattr(finetune, "finetune", partial(finetune.finetune, sampling=small))
    draw_pair(tmp_path / "mine", "cells", 0)
    start = save_weights(tmp_path / "start.safetensors", build_model(preset))
    arguments = ["--images", str(tmp_path / "mine"), "--name", "mine", "--weights", str(start)]
    path = Path(os.environ["INTER2FORMER_HOME"]) / "models" / "mine.safetensors"
    return [*arguments, "--minutes", "30", "--device", "cpu"], path


def test_finetuning_stopped_by_ctrl_c_stores_what_was_learned(
    finetuning: tuple[list[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments, path = finetuning
    after_step(monkeypatch, 2, ctrl_c)
    assert finetune.main(arguments) == 0
    training = read_metadata(path)["training"]
    assert training["steps"] == 2
    assert training["hours"] < 0.4
    told = capsys.readouterr().out
    assert f"Trained for {training['hours'] * 60:.1f} of 30 minutes (2 steps)" in told


def test_finetuning_that_fails_stores_what_was_learned(
    finetuning: tuple[list[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments, path = finetuning

    def gone() -> None:
        raise ImageError("The drive is gone.")

    after_step(monkeypatch, 2, gone)
    assert finetune.main(arguments) == 1
    assert read_metadata(path)["training"]["steps"] == 2
    told = capsys.readouterr().err
    assert "What was learned by then is stored in" in told
    assert "The drive is gone." in told


def test_another_ctrl_c_quits_finetuning_and_leaves_the_old_model(
    finetuning: tuple[list[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments, path = finetuning
    path.parent.mkdir(parents=True)
    path.write_bytes(b"an old model")
    after_step(monkeypatch, 1, ctrl_c)
    monkeypatch.setattr(_files.os, "fsync", lambda _: ctrl_c())  # written, but not yet renamed
    assert finetune.main([*arguments, "--overwrite"]) == 130
    assert capsys.readouterr().err.endswith("stopped\n")
    assert list(path.parent.iterdir()) == [path]
    assert path.read_bytes() == b"an old model"


@pytest.fixture(params=["pretrain", "distill"])
def protocol(
    request: pytest.FixtureRequest, pool: Path, tmp_path: Path, preset: str
) -> tuple[Command, Path]:
    """Return a command that learns without labels, and the weights it writes."""
    path = tmp_path / "out" / "weights.safetensors"
    arguments = ["--images", str(pool), "--out", str(path), "--preset", preset, *SMALL]
    if request.param == "pretrain":
        return lambda more: pretrain.main([*arguments, *more]), path
    teacher = save_weights(tmp_path / "teacher.safetensors", build_model(preset))
    return lambda more: distill.main([*arguments, "--teacher", str(teacher), *more]), path


def at_batches(monkeypatch: pytest.MonkeyPatch, acts: list[Callable[[], None]]) -> None:
    """Let something happen in the middle of each step of `learn`, and refuse to take another."""
    crops = unlabelled.crops

    def drawn(*arguments: Any) -> Iterator[Any]:
        for act, batch in zip(acts, crops(*arguments), strict=False):
            act()
            yield batch
        raise AssertionError("It went on.")

    monkeypatch.setattr(unlabelled, "crops", drawn)


def test_unlabelled_protocols_survive_a_full_disk_and_stop_on_request(
    protocol: tuple[Command, Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run, path = protocol
    path.parent.mkdir()
    path.write_bytes(b"the last good file")
    sizes = full_disk(monkeypatch, times=2)
    kept = []
    at_batches(monkeypatch, [int, int, lambda: kept.append(path.read_bytes()), terminate])
    assert run(["--minutes", "30", "--save-minutes", "0"]) == 0
    assert kept == [b"the last good file"]
    told = capsys.readouterr()
    assert told.err.count(f"warning: The weights can't be written to {path}") == 2
    assert len(sizes) == 5  # after each of four steps, and at the end
    training = read_metadata(path)["training"]
    assert training["steps"] == 4
    assert training["minutes"] < 29
    assert "in 4 steps" in told.out
    assert list(path.parent.iterdir()) == [path]


def run_training(pool: Path, out: Path, preset: str) -> int:
    """Train for an hour, if nothing happens."""
    arguments = ["--data", str(pool), "--out", str(out), "--preset", preset, *SMALL]
    quick = ["--further", "0", "--rehearsed", "0", "--synthetic", "0", "--large", "0"]
    return train.main([*arguments, *quick, "--objects", "2", "--hours", "1", "--log-steps", "1"])


def steps_of(log: Path) -> list[int]:
    with log.open(newline="") as file:
        return [int(row["step"]) for row in csv.DictReader(file)]


def test_a_resumed_run_drops_what_it_will_log_again(
    pool: Path,
    tmp_path: Path,
    preset: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        after_step(patch, 2, ctrl_c)
        assert run_training(pool, out, preset) == 0
    assert "2 steps" in capsys.readouterr().out
    assert load_checkpoint(out / "checkpoint.safetensors").progress["step"] == 2
    # As a crash leaves it: rows after the last checkpoint, the last one cut off.
    lost = [",".join(["7"] * len(COLUMNS)), "8,0.1"]
    with (out / "log.csv").open("a", newline="") as file:
        file.write("\n".join(lost))
    after_step(monkeypatch, 3, ctrl_c)
    assert run_training(pool, out, preset) == 0
    assert steps_of(out / "log.csv") == [1, 2, 3]
    assert {p.suffix for p in out.iterdir()} <= {".safetensors", ".csv", ".png"}


def test_training_goes_on_when_the_log_can_not_be_written(
    pool: Path,
    tmp_path: Path,
    preset: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def sometimes(path: Path, values: Any) -> None:
        if values[0] == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        add_row(path, values)

    monkeypatch.setattr(train, "add_row", sometimes)
    after_step(monkeypatch, 2, ctrl_c)
    assert run_training(pool, tmp_path / "run", preset) == 0
    assert "warning: [Errno 28] No space left" in capsys.readouterr().err
    assert steps_of(tmp_path / "run" / "log.csv") == [2]


def test_logs_are_cut_at_a_step_and_written_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log.csv"
    resume_log(path, 0)
    assert path.read_text() == ",".join(COLUMNS) + "\n"
    rows = np.arange(1, 4)[:, None] * np.linspace(1, 2.123456, len(COLUMNS))
    with path.open("a") as file:
        file.writelines(",".join(f"{v:.6g}" for v in row) + "\n" for row in rows)
    before = path.read_bytes()
    full_disk(monkeypatch, times=1)
    with pytest.raises(_files.OutputError, match=r"log\.csv"):
        resume_log(path, 2)
    assert path.read_bytes() == before
    resume_log(path, 2)
    assert before.startswith(path.read_bytes())
    assert [row["step"] for row in read_log(path)] == [1, 2]


def test_a_log_is_drawn_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    log, picture = tmp_path / "log.csv", tmp_path / "log.png"
    resume_log(log, 0)
    assert plot_log(log) is None
    add_row(log, [1.0] * len(COLUMNS))
    with log.open("a") as file:
        file.write("2,0.")  # cut off
    assert plot_log(log) == picture
    before = picture.read_bytes()
    assert before.startswith(b"\x89PNG")
    full_disk(monkeypatch, times=1)
    with pytest.raises(OSError, match="No space left"):
        plot_log(log)
    assert picture.read_bytes() == before
    assert {p.name for p in tmp_path.glob("*log*")} == {"log.csv", "log.png"}
