"""``inter2former evaluate --task everything``: automatic masks over labelled images."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from napari_inter2former.evaluation.automatic import AutomaticResult

__all__ = ["run"]


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    from tqdm import tqdm

    from napari_inter2former.evaluation.automatic import evaluate_everything, write_results
    from napari_inter2former.predictor import Predictor

    predictor = Predictor(arguments.weights)
    with tqdm(unit="image", disable=not sys.stderr.isatty()) as bar:

        def progress(name: str, done: int, total: int) -> None:
            bar.set_description(name)
            bar.total, bar.n = total, done
            bar.refresh()

        results = evaluate_everything(
            predictor,
            arguments.data,
            arguments.split,
            max_images=arguments.images,
            progress=progress,
        )
    for name, result in results.items():
        for line in result.skipped:
            print(f"{name}: skipped {line}", file=sys.stderr)
    model = predictor.model
    weights = {"name": model.weights_name, "sha256": model.weights_sha256}
    write_results(arguments.json, results, weights)
    print(table(results))
    print(f"written to {arguments.json}")
    return 0


def table(results: dict[str, AutomaticResult]) -> str:
    """Return the figures as a table of plain text."""
    width = max(len(name) for name in results)
    lines = [f"{'':<{width}} {'images':>6} {'AP50':>6} {'prec.':>6} {'recall':>6} {'~1 click':>8}"]
    for name, result in results.items():
        figures = result.to_dict()
        keys = ("ap50", "precision50", "recall50", "within_0.05_of_one_click")
        cells = ["-" if figures[key] is None else f"{figures[key]:.3f}" for key in keys]
        lines.append(
            f"{name:<{width}} {result.images:>6} "
            + " ".join(f"{cell:>6}" for cell in cells[:3])
            + f" {cells[3]:>8}"
        )
    return "\n".join(lines)
