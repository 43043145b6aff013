"""Train Inter2Former from scratch, or go on, on a pool of annotated images.

Run ``python training/train.py --help``, or ``python -m napari_inter2former.training.train``. On
several GPUs, or one process per CPU core, which is faster than threads:
``torchrun --nproc-per-node 2 training/train.py --threads 1 ...``.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_inter2former.evaluation.datasets import DatasetError
from napari_inter2former.model import PRESETS, build_model
from napari_inter2former.training.checkpoint import (
    Checkpoint,
    CheckpointError,
    load_checkpoint,
    model_of,
    restore,
    save_checkpoint,
)
from napari_inter2former.training.command import tells_errors
from napari_inter2former.training.interruptions import RegularSaves, StopRequest, only_warns
from napari_inter2former.training.log import add_row, resume_log
from napari_inter2former.training.loop import Trainer, TrainingOptions, mean
from napari_inter2former.training.optimizer import OPTIMIZERS, optimizer_state, restore_optimizers
from napari_inter2former.training.parallel import agree, start_processes
from napari_inter2former.training.plotting import plot_log
from napari_inter2former.training.pool import read_pool
from napari_inter2former.training.sampling import SamplingOptions, batches, prefetch

LONGEST_STEP = 60.0
"""A step counts for no more seconds than this, in case the process was suspended."""


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    result = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    result.add_argument("--data", type=Path, required=True, help="pool: DATA/NAME/train/*_image.*")
    result.add_argument("--out", type=Path, required=True, help="folder of the run")
    result.add_argument(
        "--preset", choices=sorted(PRESETS), help="default: tiny, or that of --start-from"
    )
    result.add_argument("--hours", type=float, default=4, help="training time in all")
    result.add_argument("--start-from", help="weights to start from (name or path)")
    result.add_argument("--freeze-encoder", action="store_true", help="learn all but the encoder")
    result.add_argument(
        "--emphasis",
        type=factor,
        action="append",
        default=[],
        metavar="NAME=FACTOR",
        help="draw a dataset that many times as often; may be repeated",
    )
    result.add_argument("--save-minutes", type=float, default=5)
    result.add_argument("--log-steps", type=int, default=20)
    result.add_argument("--threads", type=int, default=0, help="0: PyTorch's choice")
    result.add_argument("--seed", type=int, default=0)
    result.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    for options in (SamplingOptions(), TrainingOptions()):
        for field in dataclasses.fields(options):
            flag = "--" + field.name.replace("_", "-")
            default = getattr(options, field.name)
            choices = OPTIMIZERS if field.name == "optimizer" else None
            result.add_argument(flag, type=type(default), default=default, choices=choices)
    return result


def factor(text: str) -> tuple[str, float]:
    """Read ``NAME=FACTOR``."""
    name, _, value = text.partition("=")
    return name, float(value)


def pick(
    kind: type[TrainingOptions | SamplingOptions], arguments: argparse.Namespace
) -> dict[str, Any]:
    """Return the arguments that are fields of an options dataclass."""
    return {field.name: getattr(arguments, field.name) for field in dataclasses.fields(kind)}


class Run:
    """A training run in a folder: checkpoint, log, and what is needed to go on."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.rank, self.processes = start_processes(arguments.device)
        self.out: Path = arguments.out
        self.out.mkdir(parents=True, exist_ok=True)
        self.path = self.out / "checkpoint.safetensors"
        self.log_path = self.out / "log.csv"
        self.seconds = 0.0
        self.masks = 0
        saved = load_checkpoint(self.path) if self.path.exists() else None
        torch.manual_seed(arguments.seed)  # the same in all processes
        if saved is not None:
            config = model_of(self.path, saved)
            if arguments.preset not in (None, config.name):
                raise CheckpointError(
                    f"{self.path} was trained as {config.name!r}, not {arguments.preset!r}; "
                    "use another --out."
                )
            model = build_model(config)
            restore(self.path, model, saved.model)
        elif arguments.start_from:
            from napari_inter2former.weights import load_model

            model = load_model(arguments.start_from)
            if arguments.preset not in (None, model.config.name):
                raise CheckpointError(
                    f"{arguments.start_from} is a {model.config.name!r}, no {arguments.preset!r}; "
                    "leave --preset out."
                )
        else:
            model = build_model(arguments.preset or "tiny")
        model.encoder.requires_grad_(not arguments.freeze_encoder)
        training = TrainingOptions(**pick(TrainingOptions, arguments))
        self.trainer = Trainer(model.to(arguments.device), training)
        if saved is not None:
            restore(self.path, self.trainer.average, saved.average)
            if self.trainer.auxiliary is not None:
                restore(self.path, self.trainer.auxiliary, saved.auxiliary)
            restore_optimizers(self.trainer.optimizers, self.trainer.names, saved.optimizer)
            self.trainer.steps = saved.progress["step"]
            self.seconds = saved.progress["seconds"]
            self.masks = saved.progress["masks"]

    def save(self) -> None:
        """Write the checkpoint; the first process does."""
        if self.rank:
            return
        model, auxiliary = self.trainer.model, self.trainer.auxiliary
        progress = {
            "step": self.trainer.steps,
            "seconds": self.seconds,
            "masks": self.masks,
            "config": model.config.to_dict(),
        }
        save_checkpoint(
            self.path,
            Checkpoint(
                model.state_dict(),
                self.trainer.average.state_dict(),
                {} if auxiliary is None else auxiliary.state_dict(),
                optimizer_state(self.trainer.optimizers, self.trainer.names),
                progress,
            ),
        )
        with only_warns():
            plot_log(self.log_path)

    def goes_on(self, stopped: bool) -> bool:
        """Return whether to take another step; the first process decides for all."""
        state = agree(torch.tensor([self.seconds, stopped], dtype=torch.float64))
        self.seconds = float(state[0])
        return self.seconds < self.arguments.hours * 3600 and not bool(state[1])

    def train(self) -> None:
        """Train until the time is used up or a signal asks to stop."""
        arguments = self.arguments
        budget = arguments.hours * 3600
        sampling = SamplingOptions(**pick(SamplingOptions, arguments))
        # Another stream of samples after every resumption.
        rng = np.random.default_rng([arguments.seed, self.trainer.steps, self.rank])
        datasets, skipped = read_pool(arguments.data, "train")
        for line in skipped if self.rank == 0 else ():
            print(f"left out: {line}", file=sys.stderr)
        shapes = np.random.default_rng([arguments.seed, self.trainer.steps])
        emphasis = dict(arguments.emphasis)
        unknown = emphasis.keys() - {dataset.name for dataset in datasets}
        if unknown:
            raise DatasetError(f"--emphasis names no dataset of the pool: {', '.join(unknown)}.")
        source = prefetch(batches(datasets, sampling, rng.spawn(1)[0], shapes, emphasis))
        if self.rank == 0:
            resume_log(self.log_path, self.trainer.steps)
        recent: deque[tuple[float, ...]] = deque(maxlen=arguments.log_steps)
        saves = RegularSaves(self.save, arguments.save_minutes)
        with StopRequest() as stop:
            while self.goes_on(stop.asked):
                begun = time.monotonic()
                batch = next(source)
                result = self.trainer.step(batch, self.seconds / budget, rng)
                elapsed = min(time.monotonic() - begun, LONGEST_STEP)
                self.seconds += elapsed
                masks = len(batch.targets) * result.clicks * self.processes
                self.masks += masks
                ious = (result.first_iou, result.last_iou)
                recent.append((result.loss, result.auxiliary, *ious, masks, elapsed))
                if self.trainer.steps % arguments.log_steps == 0 and self.rank == 0:
                    self.log(recent)
                saves.when_due()
            self.save()
        if self.rank == 0:
            hours = self.seconds / 3600
            print(f"{self.path}: {self.trainer.steps} steps, {hours:.2f} hours of training")

    def log(self, recent: Iterable[tuple[float, ...]]) -> None:
        """Append the means over recent steps to the log."""
        *means, masks, seconds = map(mean, zip(*recent, strict=True))
        rate = self.trainer.rate(self.seconds / (self.arguments.hours * 3600))
        hours = self.seconds / 3600
        with only_warns():
            add_row(
                self.log_path,
                (self.trainer.steps, hours, self.masks, rate, *means, masks / seconds),
            )


@tells_errors
def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    options = parser().parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    Run(options).train()
    return 0


if __name__ == "__main__":
    sys.exit(main())
