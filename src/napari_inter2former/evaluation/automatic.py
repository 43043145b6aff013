"""How good everything mode is: precision, recall and AP50, and its masks beside one click's."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_inter2former._files import write_json
from napari_inter2former.errors import ImageError
from napari_inter2former.evaluation.clicks import first_click
from napari_inter2former.evaluation.datasets import MIN_AREA, find_datasets
from napari_inter2former.evaluation.metrics import iou
from napari_inter2former.evaluation.regions import object_regions
from napari_inter2former.everything import segment_everything

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from numpy.typing import NDArray

    from napari_inter2former.everything import EverythingSettings
    from napari_inter2former.predictor import Predictor

__all__ = ["AutomaticResult", "best_overlaps", "evaluate_everything", "write_results"]

MATCH = 0.5
"""Intersection over union from which an object counts as found."""
CLOSE = 0.05
"""An automatic mask is as good as one click if its IoU is at most this much lower."""


@dataclass
class AutomaticResult:
    """Everything mode on one dataset.

    Attributes
    ----------
    found, wrong, missed : int
        True positives, false positives and false negatives at an IoU of 0.5, over all images.
    close, clicked : int
        Objects whose automatic mask is within 0.05 IoU of that of one click at their centre, and
        the number that was clicked.
    images : int
        Number of images.
    skipped : list of str
        One line for every file that could not be read.
    """

    found: int = 0
    wrong: int = 0
    missed: int = 0
    close: int = 0
    clicked: int = 0
    images: int = 0
    skipped: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return the figures; those that do not exist are None.

        ``ap50`` is TP / (TP + FP + FN), as Cellpose and StarDist report it.
        """
        total = self.found + self.wrong + self.missed
        return {
            "images": self.images,
            "ap50": _share(self.found, total),
            "precision50": _share(self.found, self.found + self.wrong),
            "recall50": _share(self.found, self.found + self.missed),
            "within_0.05_of_one_click": _share(self.close, self.clicked),
            "clicked": self.clicked,
        }


def evaluate_everything(
    predictor: Predictor,
    root: str | Path,
    split: str = "val",
    *,
    max_images: int | None = None,
    max_clicked: int = 10,
    settings: EverythingSettings | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, AutomaticResult]:
    """Run everything mode over labelled images.

    Parameters
    ----------
    predictor : Predictor
        What draws, automatically and by one click.
    root, split
        See `napari_inter2former.evaluation.find_datasets`.
    max_images : int, optional
        At most so many images of each dataset, evenly spread over it; all by default.
    max_clicked : int
        So many objects of each image are clicked for comparison, the first ones of at least 64
        pixels.
    settings : EverythingSettings, optional
        How objects are looked for.
    progress : callable, optional
        Called with the dataset's name, the images done and their number.

    Returns
    -------
    dict of str to AutomaticResult
        By dataset.

    Raises
    ------
    DatasetError
        When there is no dataset.
    """
    results: dict[str, AutomaticResult] = {}
    for name, source in find_datasets(root, split).items():
        pairs = source.pairs
        if max_images is not None and len(pairs) > max_images:
            pairs = [pairs[i * len(pairs) // max_images] for i in range(max_images)]
        result = results.setdefault(name, AutomaticResult())
        for done, pair in enumerate(pairs):
            if progress is not None:
                progress(name, done, len(pairs))
            try:
                picture, truth = pair.read()
            except ImageError as error:
                result.skipped.append(str(error))
                continue
            how: dict[str, Any] = {"channel_axis": picture.channel_axis, "rgb": picture.rgb}
            labels = segment_everything(picture.data, predictor, settings=settings, **how).labels
            overlaps, wrong = best_overlaps(truth, labels)
            result.images += 1
            result.wrong += wrong
            result.found += sum(value > MATCH for value in overlaps.values())
            result.missed += sum(value <= MATCH for value in overlaps.values())
            predictor.set_image(picture.data, **how)
            regions = object_regions(truth, MIN_AREA)
            for number in list(regions)[:max_clicked]:
                click = first_click(regions[number])
                assert click is not None
                by_click = iou(regions[number], predictor.predict([click]))
                result.clicked += 1
                result.close += overlaps[number] >= by_click - CLOSE
        if progress is not None:
            progress(name, len(pairs), len(pairs))
    return results


def best_overlaps(
    truth: NDArray[np.integer[Any]], labels: NDArray[np.integer[Any]]
) -> tuple[dict[int, float], int]:
    """Compare labels with the truth.

    Parameters
    ----------
    truth, labels : array of int, (height, width)
        0 is background.

    Returns
    -------
    overlaps : dict of int to float
        For each true object its largest IoU with a label.
    wrong : int
        Labels that have an IoU above 0.5 with no true object. (Above 0.5 a label can match one
        object only.)
    """
    numbers, true = np.unique(truth, return_inverse=True)
    drawn_numbers, drawn = np.unique(labels, return_inverse=True)
    true, drawn = true.reshape(-1), drawn.reshape(-1)
    common = np.bincount(
        true * len(drawn_numbers) + drawn, minlength=len(numbers) * len(drawn_numbers)
    ).reshape(len(numbers), len(drawn_numbers))
    union = common.sum(1, keepdims=True) + common.sum(0, keepdims=True) - common
    overlap = common / np.maximum(union, 1)
    overlap[numbers == 0] = 0
    overlap[:, drawn_numbers == 0] = 0
    wrong = int(np.count_nonzero((overlap.max(axis=0) <= MATCH) & (drawn_numbers != 0)))
    best = overlap.max(axis=1)
    return {int(n): float(best[i]) for i, n in enumerate(numbers) if n != 0}, wrong


def write_results(
    path: str | Path, results: dict[str, AutomaticResult], weights: dict[str, Any]
) -> None:
    """Write the figures as JSON, whole or not at all.

    Raises
    ------
    OutputError
        When it cannot be written.
    """
    figures = {name: result.to_dict() for name, result in results.items()}
    write_json(Path(path), {"task": "everything", "datasets": figures, "weights": weights})


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
