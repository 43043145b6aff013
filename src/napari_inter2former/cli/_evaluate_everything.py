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
            arguments.weights,
            arguments.data,
            arguments.split,
            max_images=arguments.images,
            workers=arguments.workers,
            predictor=predictor,
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
    head = ("images", "AP50", "image", "prec.", "recall", "~1 click", "s/image")
    lines = [f"{'':<{width}} " + " ".join(f"{title:>8}" for title in head)]
    for name, result in results.items():
        figures = result.to_dict()
        keys = ("ap50", "ap50_per_image", "precision50", "recall50", "within_0.05_of_one_click")
        cells = ["-" if figures[key] is None else f"{figures[key]:.3f}" for key in keys]
        cells += ["-" if figures["seconds"] is None else f"{figures['seconds']:.1f}"]
        cells = [str(figures["images"]), *cells]
        lines.append(f"{name:<{width}} " + " ".join(f"{cell:>8}" for cell in cells))
    return "\n".join(lines)
