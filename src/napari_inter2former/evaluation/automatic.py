"""How good everything mode is: precision, recall and AP50, and its masks beside one click's."""

from __future__ import annotations

import statistics
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_inter2former._files import write_json
from napari_inter2former.errors import ImageError
from napari_inter2former.evaluation.clicks import first_click
from napari_inter2former.evaluation.datasets import MIN_AREA, find_datasets
from napari_inter2former.evaluation.metrics import iou
from napari_inter2former.evaluation.parallel import default_predictor, on_processes
from napari_inter2former.evaluation.regions import object_regions
from napari_inter2former.everything import segment_everything

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from numpy.typing import NDArray

    from napari_inter2former.evaluation.datasets import Pair
    from napari_inter2former.everything import EverythingSettings

__all__ = [
    "AutomaticResult",
    "ImageCounts",
    "best_overlaps",
    "evaluate_everything",
    "write_results",
]

MATCH = 0.5
"""Intersection over union from which an object counts as found."""
CLOSE = 0.05
"""An automatic mask is as good as one click if its IoU is at most this much lower."""


@dataclass(frozen=True)
class ImageCounts:
    """Everything mode on one image.

    Attributes
    ----------
    name : str
        Of the image.
    found, wrong, missed : int
        True positives, false positives and false negatives at an IoU of 0.5.
    close, clicked : int
        Objects whose automatic mask is within 0.05 IoU of that of one click at their centre, and
        the number that was clicked.
    seconds : float
        What finding the objects took.
    """

    name: str
    found: int
    wrong: int
    missed: int
    close: int
    clicked: int
    seconds: float


@dataclass
class AutomaticResult:
    """Everything mode on one dataset.

    Attributes
    ----------
    images : list of ImageCounts
        One for each image.
    skipped : list of str
        One line for every file that could not be read.
    """

    images: list[ImageCounts] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return the figures; those that do not exist are None.

        ``ap50`` is TP / (TP + FP + FN) over the objects of all images, as StarDist reports it,
        ``ap50_per_image`` the mean of what each image gives, as Cellpose does.
        """
        found = sum(image.found for image in self.images)
        wrong = sum(image.wrong for image in self.images)
        missed = sum(image.missed for image in self.images)
        each = [_share(i.found, i.found + i.wrong + i.missed) for i in self.images]
        known = [share for share in each if share is not None]
        clicked = sum(image.clicked for image in self.images)
        return {
            "images": len(self.images),
            "ap50": _share(found, found + wrong + missed),
            "ap50_per_image": sum(known) / len(known) if known else None,
            "precision50": _share(found, found + wrong),
            "recall50": _share(found, found + missed),
            "within_0.05_of_one_click": _share(sum(i.close for i in self.images), clicked),
            "clicked": clicked,
            "seconds": statistics.median(i.seconds for i in self.images) if self.images else None,
        }


def evaluate_everything(
    weights: str,
    root: str | Path,
    split: str = "val",
    *,
    max_images: int | None = None,
    max_clicked: int = 10,
    settings: EverythingSettings | None = None,
    workers: int = 1,
    predictor: Any = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, AutomaticResult]:
    """Run everything mode over labelled images.

    Parameters
    ----------
    weights : str
        Name or path of the weights; every process loads them once.
    root, split
        See `napari_inter2former.evaluation.find_datasets`.
    max_images : int, optional
        At most so many images of each dataset, evenly spread over it; all by default.
    max_clicked : int
        So many objects of each image are clicked for comparison, the first ones of at least 64
        pixels.
    settings : EverythingSettings, optional
        How objects are looked for.
    workers : int
        Number of processes, an image at a time each; 1 runs in this one. All figures but the
        times are the same for any number.
    predictor : Predictor, optional
        With these weights, if there is one already.
    progress : callable, optional
        Called with the dataset's name, the images done and their number, first with 0.

    Returns
    -------
    dict of str to AutomaticResult
        By dataset.

    Raises
    ------
    DatasetError
        When there is no dataset.
    """
    if workers < 1:
        raise ValueError("At least one worker is needed.")
    results: dict[str, AutomaticResult] = {}
    totals: dict[str, int] = {}
    jobs: list[tuple[Any, ...]] = []
    for name, source in find_datasets(root, split).items():
        pairs = source.pairs
        if max_images is not None and len(pairs) > max_images:
            pairs = [pairs[i * len(pairs) // max_images] for i in range(max_images)]
        results[name], totals[name] = AutomaticResult(), len(pairs)
        jobs += [(name, pair, max_clicked, settings) for pair in pairs]
        if progress is not None:
            progress(name, 0, len(pairs))
    if predictor is None:
        predictor = default_predictor(weights)
    for name, one in on_processes(_evaluate, jobs, predictor, weights, default_predictor, workers):
        result = results[name]
        if isinstance(one, str):
            result.skipped.append(one)
        else:
            result.images.append(one)
        if progress is not None:
            progress(name, len(result.images) + len(result.skipped), totals[name])
    return results


def _evaluate(
    predictor: Any, name: str, pair: Pair, max_clicked: int, settings: EverythingSettings | None
) -> tuple[str, ImageCounts | str]:
    """Count what is found in an image; return why instead if it can't be read."""
    try:
        picture, truth = pair.read()
    except ImageError as error:
        return name, str(error)
    how: dict[str, Any] = {"channel_axis": picture.channel_axis, "rgb": picture.rgb}
    start = time.perf_counter()
    labels = segment_everything(picture.data, predictor, settings=settings, **how).labels
    seconds = time.perf_counter() - start
    overlaps, wrong = best_overlaps(truth, labels)
    found = sum(value > MATCH for value in overlaps.values())
    close = clicked = 0
    predictor.set_image(picture.data, **how)
    regions = object_regions(truth, MIN_AREA)
    for number in list(regions)[:max_clicked]:
        click = first_click(regions[number])
        assert click is not None
        by_click = iou(regions[number], predictor.predict([click]))
        clicked += 1
        close += overlaps[number] >= by_click - CLOSE
    counts = found, wrong, len(overlaps) - found, close, clicked
    return name, ImageCounts(pair.name, *counts, seconds)


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
    figures = {
        name: {**result.to_dict(), "each": [asdict(image) for image in result.images]}
        for name, result in results.items()
    }
    write_json(Path(path), {"task": "everything", "datasets": figures, "weights": weights})


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
