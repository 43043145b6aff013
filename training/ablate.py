"""Rerun the ablation table (Inter2Former, Table 2) and the ablations of our own additions.

Every row is trained for the same number of steps on the same pool, then evaluated on the same
objects of its val split. Run ``python training/ablate.py --help``, or
``python -m napari_inter2former.training.ablate``. A finished row is kept in the run's folder and
not trained again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_inter2former._files import write_file, write_json
from napari_inter2former.evaluation import DatasetError, evaluate
from napari_inter2former.evaluation.results import MAX_CLICKS
from napari_inter2former.model import PRESETS, Inter2Former, ModelConfig, build_model
from napari_inter2former.predictor import Predictor
from napari_inter2former.training.command import tells_errors
from napari_inter2former.training.loop import Trainer, TrainingOptions
from napari_inter2former.training.pool import Dataset, read_pool
from napari_inter2former.training.sampling import SamplingOptions, batches, prefetch
from napari_inter2former.weights import load_model, read_metadata, save_weights

ONLY_INFERENCE = ("dpe", "dlu")
"""Switches that training does not see: rows that differ in these alone share their weights."""


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Parameters
    ----------
    title : str
        What is changed.
    config, sampling, training : dict
        Changes of the `ModelConfig`, of the `SamplingOptions` and of the `TrainingOptions`.
    left_out : tuple of str
        Datasets of the pool that are not trained on.
    start : str
        A file in the run's folder with the weights to begin with, made by the command that it is
        named after; empty for random weights.
    """

    title: str
    config: dict[str, Any] = field(default_factory=dict)
    sampling: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    start: str = ""

    def trained_as(self) -> tuple[object, ...]:
        """Return what of the row matters to training."""
        config = {k: v for k, v in self.config.items() if k not in ONLY_INFERENCE}
        changes = (config, self.sampling, self.training)
        return (*(tuple(sorted(one.items())) for one in changes), self.left_out, self.start)


ROWS = {
    "base": Row("base configuration"),
    "non-dpe": Row("non-DPE: prompts embedded everywhere", {"dpe": False}),
    "all-fa": Row("all-FA: full attention for all tokens", {"attention": "full"}),
    "all-bsqa": Row("all-BSQA: quantised attention for all tokens", {"attention": "quantized"}),
    "non-dlu": Row("non-DLU: upsampling everywhere", {"dlu": False}),
    "vqa": Row("VQA: a learned codebook instead of BSQ", {"quantizer": "vq"}),
    "no-synthetic": Row(
        "no synthetic scenes, no superpixels", sampling={"synthetic": 0.0, "superpixels": 0.0}
    ),
    "linear-stem": Row(
        "linear patch embedding, CannyNet's edges", {"stem": "linear", "edges": "canny"}
    ),
    "canny": Row("convolutional stem, CannyNet's edges", {"edges": "canny"}),
    "no-skips": Row("no finer levels of the prompt embedding", {"prompt_skips": False}),
    "whole-discs": Row("whole discs of clicks, no fine ones", {"fine_clicks": False}),
    "adamw": Row("AdamW for all weights, no Muon", training={"optimizer": "adamw"}),
    "unseen": Row(
        "never trained on axon_sem, blood_wbc, embryo and usiigaci",
        left_out=("axon_sem", "blood_wbc", "embryo", "usiigaci"),
    ),
    "pretrained": Row("begins as a masked autoencoder's encoder", start="pretrain.safetensors"),
    "distilled": Row("begins with an encoder distilled from another", start="distill.safetensors"),
}
"""Table 2's rows, then those of additions that are not in the paper."""
FROM_SCRATCH = [name for name, row in ROWS.items() if not row.start]


def train_row(
    model: Inter2Former,
    datasets: Sequence[Dataset],
    sampling: SamplingOptions,
    training: TrainingOptions,
    steps: int,
) -> tuple[Inter2Former, float]:
    """Train a network, with the same seed for every row.

    Returns
    -------
    model : Inter2Former
        The averaged weights.
    iou : float
        Mean IoU after the last click of the training's last quarter. Rows with the same samples
        saw the same crops then, so it tells rows apart that a few objects of a val split can't.
    """
    rng = np.random.default_rng(0)
    trainer = Trainer(model, training)
    crops, shapes = rng.spawn(2)
    source = prefetch(batches(datasets, sampling, crops, shapes))
    begun = time.monotonic()
    ious = []
    for step in range(steps):
        result = trainer.step(next(source), step / steps, rng)
        ious.append(result.last_iou)
        if (step + 1) % 50 == 0:
            seconds = (time.monotonic() - begun) / (step + 1)
            print(f"  step {step + 1}  loss {result.loss:.3f}  {seconds:.2f} s a step", flush=True)
    return trainer.average, float(np.mean(ious[3 * steps // 4 :]))


def run(options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Train and evaluate the rows that are not there yet; return the figures of all."""
    budget = {key: getattr(options, key) for key in ("preset", "steps", "max_objects", "clicks")}
    budget |= {key: getattr(options, key) for key in ("side", "crops", "objects")}
    budget["base"] = PRESETS[options.preset].to_dict()
    settings = options.out / "budget.json"
    if settings.exists() and json.loads(settings.read_text()) != json.loads(json.dumps(budget)):
        raise DatasetError(f"{options.out} holds rows of another budget; use another --out.")
    write_json(settings, budget)
    base = PRESETS[options.preset]
    plain = SamplingOptions(side=options.side, crops=options.crops, objects=options.objects)
    datasets: list[Dataset] = []
    figures = {}
    for name in options.rows:
        row = ROWS[name]
        owner = next(n for n, other in ROWS.items() if other.trained_as() == row.trained_as())
        path = options.out / f"{owner}.safetensors"
        result = options.out / f"{name}.json"
        if not path.exists():
            print(f"{name}: training", flush=True)
            datasets = datasets or read_pool(options.data, "train")[0]
            model = first_weights(ROWS[owner], base, options.out)
            sampling = replace(plain, **row.sampling)
            training = TrainingOptions(warm_up=min(100, options.steps // 4 + 1), **row.training)
            seen = [d for d in datasets if d.name not in row.left_out]
            model, iou = train_row(model, seen, sampling, training, options.steps)
            save_weights(path, model, {"training": budget | {"iou": iou}})
        if not result.exists():
            print(f"{name}: evaluation", flush=True)
            evaluation = evaluate(
                predictor(path, row), options.data, "val", options.max_objects, options.clicks
            )
            evaluation.write(result)
        trained = read_metadata(path)["training"]
        figures[name] = json.loads(result.read_text()) | {"training": trained}
    return figures


def first_weights(row: Row, base: ModelConfig, folder: Path) -> Inter2Former:
    """Return the network that a row begins with."""
    torch.manual_seed(0)
    if not row.start:
        return build_model(replace(base, **row.config))
    path = folder / row.start
    if not path.exists():
        command = f"training/{path.stem}.py --out {path}"
        raise DatasetError(f"The row '{row.title}' needs {path}; make it with {command}.")
    return load_model(path)


def predictor(path: Path, row: Row) -> Predictor:
    """Return a predictor with a row's weights and its switches of inference."""
    model = load_model(path)
    switches = {k: v for k, v in row.config.items() if k in ONLY_INFERENCE}
    if switches:
        tensors = model.state_dict()
        model = build_model(replace(model.config, **switches))
        model.load_state_dict(tensors)
    return Predictor(model)


def table(figures: dict[str, dict[str, Any]], options: argparse.Namespace) -> str:
    """Return the document: means over the datasets, then IoU after three clicks in each."""
    lines = [
        "# Ablations",
        "",
        "Written by `python -m napari_inter2former.training.ablate`; do not edit. Each row was",
        f"trained for {options.steps:,} steps of {options.crops} crops with {options.objects}",
        f"objects (preset `{options.preset}`), from random weights but where its name tells of an",
        "encoder that was taught before, far less than the weights that ship,",
        f"and evaluated on {options.max_objects} objects of each dataset's val split: small",
        "differences are noise. non-DPE and non-DLU change inference only and use the base row's",
        "weights.",
        "",
        "Mean over the datasets: IoU after 1, 3, 5, 10 clicks; clicks to IoU 0.90",
        f"({options.clicks} where it is not reached); milliseconds a click without encoding, on",
        "the machine of this run; IoU after the last click in the last quarter of the training, on",
        "the same crops in all rows but the two that are trained on others.",
        "",
        "| | 1 | 3 | 5 | 10 | NoC90 | ms | trained |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, result in figures.items():
        mean = result["mean"]
        ious = " | ".join(_text(mean["iou_at"][k], 3) for k in ("1", "3", "5", "10"))
        rest = f"{_text(mean['noc']['90'], 2)} | {_text(mean['online_spc_ms'], 1)}"
        trained = _text(result["training"]["iou"], 3)
        lines.append(f"| {ROWS[name].title} | {ious} | {rest} | {trained} |")
    names = sorted({dataset for result in figures.values() for dataset in result["datasets"]})
    lines += ["", "IoU after three clicks by dataset:", "", f"| | {' | '.join(names)} |"]
    lines.append("| --- " * (len(names) + 1) + "|")
    for name, result in figures.items():
        each = (result["datasets"].get(dataset, {}) for dataset in names)
        values = " | ".join(_text(one.get("iou_at", {}).get("3"), 3) for one in each)
        lines.append(f"| {ROWS[name].title} | {values} |")
    return "\n".join(lines) + "\n"


def _text(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    result = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    sizes = {f.name: f.default for f in fields(SamplingOptions)}
    result.add_argument("--data", type=Path, required=True, help="pool with train and val")
    result.add_argument("--out", type=Path, required=True, help="folder of the run")
    result.add_argument("--report", type=Path, help="default: OUT/ablation.md, and .json beside it")
    result.add_argument("--preset", default="tiny", choices=sorted(PRESETS))
    result.add_argument("--rows", nargs="+", default=FROM_SCRATCH, choices=list(ROWS))
    result.add_argument("--steps", type=int, default=1000, help="training steps of every row")
    result.add_argument("--max-objects", type=int, default=20, help="of each dataset, evaluated")
    result.add_argument("--clicks", type=int, default=MAX_CLICKS, help="at most, in the evaluation")
    for name in ("side", "crops", "objects"):
        result.add_argument(f"--{name}", type=int, default=sizes[name])
    result.add_argument("--threads", type=int, default=0, help="0: PyTorch's choice")
    return result


@tells_errors
def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    options = parser().parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    report = options.report or options.out / "ablation.md"
    figures = run(options)
    write_json(report.with_suffix(".json"), figures)
    write_file(report, table(figures, options).encode())
    print(f"written to {report}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
