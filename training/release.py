"""Turn a training checkpoint into weights that ship, with a model card.

Run ``python -m napari_inter2former.training.release --help``. Twice, usually: once before the
evaluation, once with its result (``--evaluation``) to write the figures into both.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_inter2former._files import write_file
from napari_inter2former.errors import Inter2FormerError
from napari_inter2former.model import PRESETS, ModelConfig, build_model
from napari_inter2former.training.checkpoint import CheckpointError, load_checkpoint
from napari_inter2former.weights import load_model, save_weights


def release(checkpoint: Path, path: Path, data: str, evaluation: dict[str, Any] | None) -> None:
    """Write the averaged weights of a checkpoint, and a model card beside them.

    Parameters
    ----------
    checkpoint : Path
        From `train`.
    path : Path
        Of the weights; the card has the same name and the suffix ``.md``.
    data : str
        What the model was trained on, in a sentence or two.
    evaluation : dict, optional
        The JSON of ``inter2former evaluate`` for these weights.
    """
    saved = load_checkpoint(checkpoint)
    config = ModelConfig.from_dict(saved.progress["config"])
    # The window is a choice of use, not of training.
    model = build_model(replace(config, window=PRESETS[config.name].window))
    model.load_state_dict(saved.average)
    training = {
        "data": data,
        "hours": round(saved.progress["seconds"] / 3600, 2),
        "steps": saved.progress["step"],
        "masks": saved.progress["masks"],
    }
    figures = (evaluation or {}).get("datasets", {})
    save_weights(path, model, {"training": training, "figures": figures}, half=True)
    sha256 = load_model(path).weights_sha256 or ""
    tested = (evaluation or {}).get("weights", {}).get("sha256")
    if evaluation is not None and tested != sha256:
        raise CheckpointError(
            f"The evaluation is of weights {str(tested)[:12]}, the checkpoint gives {sha256[:12]}: "
            "evaluate these weights, then release them again."
        )
    write_file(path.with_suffix(".md"), card(path, config, training, sha256, figures).encode())


def card(
    path: Path, config: ModelConfig, training: dict[str, Any], sha256: str, figures: dict[str, Any]
) -> str:
    """Return the text of a model card."""
    parameters = sum(p.numel() for p in build_model(config).parameters())
    lines = [
        f"# {path.stem}",
        "",
        "Inter2Former weights for interactive segmentation of microscopy images.",
        "",
        (
            f"- Preset `{config.name}`, {parameters / 1e6:.1f} million parameters, "
            f"{path.stat().st_size / 2**20:.1f} MiB in half precision."
        ),
        f"- Trained on {training['data']}",
        (
            f"- {training['hours']} hours on a two-core CPU, {training['steps']:,} steps, "
            f"{training['masks']:,} masks with simulated clicks."
        ),
        "- Images are normalised per channel by percentiles 1 to 99.8.",
        "- Licence: BSD-3-Clause.",
        f"- SHA-256 of the tensors: `{sha256}`",
    ]
    if figures:
        lines += [
            "",
            "## Figures",
            "",
            "IoU after 1, 3, 5 and 10 clicks, and clicks needed for IoU 0.85 and 0.90 (20 where it",
            "is not reached), on images never trained on. The zoom is found by the predictor.",
            "",
            "| dataset | objects | 1 | 3 | 5 | 10 | NoC85 | NoC90 |",
            "| --- | --- | --- | --- | --- | --- | --- | --- |",
        ]
        for name, row in sorted(figures.items()):
            ious = " | ".join(_number(row["iou_at"].get(k)) for k in ("1", "3", "5", "10"))
            clicks = " | ".join(_number(row["noc"].get(k)) for k in ("85", "90"))
            lines.append(f"| {name} | {row['objects']} | {ious} | {clicks} |")
    return "\n".join(lines) + "\n"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}" if value <= 1 else f"{value:.1f}"


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="weights/NAME.safetensors")
    parser.add_argument("--data", required=True, help="what it was trained on, for the card")
    parser.add_argument("--evaluation", type=Path, help="JSON of inter2former evaluate")
    options = parser.parse_args(arguments)
    try:
        evaluation = json.loads(options.evaluation.read_text()) if options.evaluation else None
        release(options.checkpoint, options.out, options.data, evaluation)
    except (Inter2FormerError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
