"""Turn a training checkpoint into weights that ship, with a model card.

With ``--pool`` all at once: the weights are written, evaluated, and get a card with figures and
pictures. Else twice: once before ``inter2former evaluate --report DIR``, once with its result
(``--evaluation``, ``--report``).

Weights that were changed after training (``score.py``) are released by ``--weights``. Several
checkpoints of one run give the mean of their weights, and ``--mean-with`` that with the weights
which the run began from, which is often better than any of them (model soups, and robust
fine-tuning: both Wortsman et al., 2022).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from napari_inter2former._files import replacing
from napari_inter2former.cli import main as inter2former
from napari_inter2former.model import PRESETS, Inter2Former, build_model
from napari_inter2former.training.card import (
    CardContent,
    CardError,
    read_cases,
    read_sources,
    write_card,
)
from napari_inter2former.training.checkpoint import (
    CheckpointError,
    load_checkpoint,
    model_of,
    restore,
)
from napari_inter2former.training.command import tells_errors
from napari_inter2former.weights import find_weights, load_model, read_metadata, save_weights


def release(
    model: Inter2Former,
    training: dict[str, Any],
    path: Path,
    *,
    evaluation: dict[str, Any] | None = None,
    report: Path | None = None,
    sources: Path | None = None,
) -> None:
    """Write weights, and a model card beside them.

    Parameters
    ----------
    model : Inter2Former
        With the weights.
    training : dict
        How it was trained, see `CardContent`.
    path : Path
        Of the weights; the card has the same name and the suffix ``.md``.
    evaluation : dict, optional
        The JSON of ``inter2former evaluate`` for these weights.
    report : Path, optional
        The folder of its ``--report``, for pictures.
    sources : Path, optional
        A table of the datasets' licences, see `read_sources`. Only what it names as free is shown
        in pictures.

    Raises
    ------
    CheckpointError
        If the evaluation is of other weights.
    CardError
        If the report or the sources can't be used.
    """
    content = CardContent(
        model.config,
        training,
        "",
        evaluation or {},
        read_sources(sources) if sources else {},
        read_cases(report) if report else [],
    )
    figures = content.evaluation.get("datasets", {})
    with replacing(path) as beside:  # an evaluation of other weights must not harm the old file
        save_weights(beside, model, {"training": training, "figures": figures}, half=True)
        content.sha256 = load_model(beside).weights_sha256 or ""
        tested = content.evaluation.get("weights", {}).get("sha256")
        if evaluation is not None and tested != content.sha256:
            raise CheckpointError(
                f"The evaluation is of weights {str(tested)[:12]}, these are "
                f"{content.sha256[:12]}: evaluate these weights, then release them again."
            )
        if content.evaluation.get("method", "inter2former") != "inter2former":
            raise CheckpointError(
                f"The evaluation is of {content.evaluation['method']}: evaluate these weights with "
                "clicks alone, then release them again."
            )
    write_card(path, content)


def trained_weights(options: argparse.Namespace) -> tuple[Inter2Former, dict[str, Any]]:
    """Return the model to be released, and how it was trained.

    Raises
    ------
    CheckpointError
        If a checkpoint can't be used, two don't fit together, or nothing says what the model was
        trained on.
    WeightsError
        If the weights can't be used.
    """
    known: dict[str, Any] = {}
    if options.weights and options.mean_with:
        raise CheckpointError("--mean-with goes with --checkpoint, not with --weights.")
    if options.mean_with and find_weights(options.mean_with).resolve() == options.out.resolve():
        # Done once more, it would be the mean with the mean.
        raise CheckpointError(
            f"--mean-with {options.mean_with} is what --out replaces: give --out another file, and "
            "release that with --weights."
        )
    if options.weights:
        model = load_model(options.weights)
        known = read_metadata(options.weights)["training"]
        missing = sorted({"hours", "machine", "masks", "steps"} - set(known))
        if missing:
            raise CheckpointError(
                f"{options.weights} does not tell its {', '.join(missing)}, as weights from "
                "train.py do; give the --checkpoint instead."
            )
    else:
        model, progress = mean_model(options.checkpoint)
    data = options.data or known.get("data")
    if not data and options.out.is_file():
        data = read_metadata(options.out)["training"].get("data")
    if not data:
        raise CheckpointError("Say what it was trained on: --data TEXT.")
    if options.weights:
        return model, known | {"data": data}
    training = {
        "data": data,
        "machine": options.machine,
        "hours": hours(progress[-1]),
        "steps": progress[-1]["step"],
        "masks": progress[-1]["masks"],
    }
    if len(progress) > 1:
        training["mean_of_hours"] = [hours(each) for each in progress]
    if options.mean_with:
        training["mean_with"] = average_with(model, options.mean_with)
    return model, training


def mean_model(checkpoints: Sequence[Path]) -> tuple[Inter2Former, list[dict[str, Any]]]:
    """Return the mean of checkpoints' averaged weights, and their progress, the longest last.

    Raises
    ------
    CheckpointError
        If one can't be used, or is of another configuration than the first.
    """
    loaded = [(path, load_checkpoint(path)) for path in checkpoints]
    loaded.sort(key=lambda pair: pair[1].progress.get("seconds", 0))
    first, saved = loaded[0]
    config = model_of(first, saved)
    # The window is a choice of use, not of training.
    model = build_model(replace(config, window=PRESETS[config.name].window))
    total: dict[str, Tensor] = {}
    for path, each in loaded:
        if model_of(path, each) != config:
            raise CheckpointError(f"{path} is of another configuration than {first}.")
        restore(path, model, each.average)
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                total[name] = total.get(name, 0) + value / len(loaded)
    model.load_state_dict(total, strict=False)
    return model, [each.progress for _, each in loaded]


def average_with(model: Inter2Former, name_or_path: str) -> str:
    """Replace a model's weights by their mean with others, and return the hash of those.

    Raises
    ------
    CheckpointError
        If they are of another configuration.
    WeightsError
        If they can't be used.
    """
    other = load_model(name_or_path)
    if other.config != model.config:
        raise CheckpointError(
            f"{name_or_path} is of another configuration than what was trained, so they have no "
            "mean: --mean-with is for the weights that the run began from."
        )
    state, others = model.state_dict(), other.state_dict()
    for name, value in state.items():
        if value.is_floating_point():
            value.lerp_(others[name], 0.5)
    return other.weights_sha256 or ""


def hours(progress: dict[str, Any]) -> float:
    """Return the training time of a checkpoint's progress, in hours."""
    return round(float(progress["seconds"]) / 3600, 2)


def read_evaluation(path: Path) -> dict[str, Any]:
    """Read the JSON of ``inter2former evaluate``.

    Raises
    ------
    CardError
        If it is none.
    """
    try:
        evaluation = json.loads(path.read_text(encoding="utf-8"))
        if "mean" in evaluation and "datasets" in evaluation:
            return dict(evaluation)
        reason = "no figures of datasets"
    except (OSError, ValueError, TypeError) as error:
        reason = str(error)
    raise CardError(f"{path}: no result of `inter2former evaluate --json OUT` ({reason}).")


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    result = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    begin = result.add_mutually_exclusive_group(required=True)
    begin.add_argument(
        "--checkpoint", type=Path, nargs="+", help="of several, the mean of their weights"
    )
    begin.add_argument("--weights", type=Path, help="a weights file that says how it was trained")
    result.add_argument(
        "--mean-with",
        metavar="NAME_OR_PATH",
        help="the mean of --checkpoint and these weights, say those that the run began from",
    )
    result.add_argument("--out", type=Path, required=True, help="weights/NAME.safetensors")
    result.add_argument(
        "--data", help="what it was trained on (default: as the weights at --out say)"
    )
    result.add_argument("--machine", default="two CPU cores", help="(default: %(default)s)")
    result.add_argument("--evaluation", type=Path, help="JSON of inter2former evaluate")
    result.add_argument("--report", type=Path, help="folder of its --report, for pictures")
    result.add_argument(
        "--sources", type=Path, help="licences of the datasets (default: POOL/SOURCES.md)"
    )
    result.add_argument("--pool", type=Path, help="evaluate on this pool's val split first")
    result.add_argument("--objects", type=int, help="of each dataset, for --pool (default: all)")
    result.add_argument("--workers", type=int, default=1, help="for --pool (default: 1)")
    return result


@tells_errors
def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    options = parser().parse_args(arguments)
    sources: Path | None = options.sources
    model, training = trained_weights(options)
    if options.pool:
        release(model, training, options.out)
        folder = (options.weights or options.checkpoint[-1]).parent
        options.evaluation = options.evaluation or folder / "evaluation.json"
        options.report = options.report or folder / "report"
        command = ["evaluate", "--data", options.pool, "--weights", options.out,
                   "--json", options.evaluation, "--report", options.report,
                   "--workers", options.workers]  # fmt: skip
        if options.objects:
            command += ["--objects", options.objects]
        failed = inter2former([str(part) for part in command])
        if failed:
            return failed
        if sources is None and (options.pool / "SOURCES.md").is_file():
            sources = options.pool / "SOURCES.md"
    release(
        model,
        training,
        options.out,
        evaluation=read_evaluation(options.evaluation) if options.evaluation else None,
        report=options.report,
        sources=sources,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
