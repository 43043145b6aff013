"""Evaluation on several processes, an image at a time."""

from __future__ import annotations

import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from napari_inter2former._processors import processors
from napari_inter2former.evaluation.datasets import MIN_AREA, find_datasets, select_objects
from napari_inter2former.evaluation.protocol import evaluate_image, weights_of
from napari_inter2former.evaluation.results import (
    MAX_CLICKS,
    DatasetResult,
    EvaluationResult,
    ObjectResult,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from napari_inter2former.evaluation.datasets import Pair, Selection
    from napari_inter2former.evaluation.protocol import SupportsPredict

__all__ = ["default_predictor", "evaluate_parallel", "on_processes"]

Job = tuple[str, "Pair", list[int], int, bool, bool]
P = TypeVar("P")
R = TypeVar("R")

_predictor: Any = None
"""The predictor of a worker process."""


def evaluate_parallel(
    weights: str,
    root: str | Path,
    split: str = "val",
    max_objects: int | None = None,
    max_clicks: int = MAX_CLICKS,
    seed: int = 0,
    *,
    workers: int = 1,
    keep: bool = False,
    boxed: bool = False,
    make_predictor: Callable[[str], SupportsPredict] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> EvaluationResult:
    """Run the click protocol over one dataset or a folder of datasets.

    Parameters
    ----------
    weights : str
        Name or path of the weights; every process loads them once.
    root : path-like
        A dataset or a folder of datasets, see `find_datasets`.
    split : str
        The subfolder of split datasets.
    max_objects : int or None
        At most so many objects of each dataset; None for all.
    max_clicks : int
        At most so many clicks for each object.
    seed : int
        Of the draw of the objects.
    workers : int
        Number of processes; 1 runs in this one. The processor's threads are shared out among
        them. All figures but the times are the same for any number.
    keep : bool
        Whether the results keep what it takes to show them: objects and masks.
    boxed : bool
        Whether a box round each object comes before the first click.
    make_predictor : callable, optional
        Makes the predictor from `weights`; by default ``Predictor(weights)``. It must be a
        module's own function when there are several workers.
    progress : callable, optional
        Called with the dataset's name, the number of objects done and their total, first with 0.

    Returns
    -------
    EvaluationResult
        One entry for each dataset.

    Raises
    ------
    DatasetError, ImageError, WeightsError
        When there is no dataset, a pair does not fit together, or the weights cannot be used.
    """
    if max_clicks < 1 or workers < 1:
        raise ValueError("At least one click and one worker are needed.")
    make = make_predictor or default_predictor
    # First what fails fast; also the caller's own use of the weights' name and hash.
    predictor = make(weights)
    selections = {
        name: select_objects(source, max_objects, seed, MIN_AREA)
        for name, source in find_datasets(root, split).items()
    }
    jobs: list[Job] = [
        (name, pair, numbers, max_clicks, keep, boxed)
        for name, selection in selections.items()
        for pair, numbers in selection.objects.items()
    ]
    collected: dict[str, list[ObjectResult]] = {name: [] for name in selections}
    totals = {name: len(selection) for name, selection in selections.items()}
    for name, total in totals.items():
        _report(progress, name, 0, total)
    for name, results in on_processes(_click, jobs, predictor, weights, make, workers):
        collected[name] += results
        _report(progress, name, len(collected[name]), totals[name])
    return EvaluationResult(_results(collected, selections), *weights_of(predictor))


def default_predictor(weights: str) -> SupportsPredict:
    """Return a predictor with these weights, as any user of the package gets it."""
    from napari_inter2former.predictor import Predictor

    return Predictor(weights)


def on_processes(
    work: Callable[..., R],
    jobs: Sequence[tuple[Any, ...]],
    predictor: P,
    weights: str,
    make: Callable[[str], P],
    workers: int,
) -> Iterator[R]:
    """Do jobs, each with a predictor of its process, and yield the results in their order.

    Parameters
    ----------
    work : callable
        A module's own function, called with the predictor and what a job holds.
    jobs : sequence of tuple
        The other arguments of each call.
    predictor : object
        For the jobs that run in this process.
    weights, make, workers
        See `evaluate_parallel`.
    """
    if workers == 1:
        for job in jobs:
            yield work(predictor, *job)
        return
    threads = max(1, processors() // workers)
    # A forked process would inherit torch's threads in an unknown state.
    with ProcessPoolExecutor(
        max(1, min(workers, len(jobs))),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start_worker,
        initargs=(weights, make, threads),
    ) as pool:
        yield from pool.map(_work, [work] * len(jobs), jobs)


def _start_worker(weights: str, make: Callable[[str], Any], threads: int) -> None:
    global _predictor
    os.environ["OMP_NUM_THREADS"] = str(threads)
    _predictor = make(weights)
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(threads)


def _work(work: Callable[..., R], job: tuple[Any, ...]) -> R:
    return work(_predictor, *job)


def _click(
    predictor: SupportsPredict,
    name: str,
    pair: Pair,
    numbers: list[int],
    max_clicks: int,
    keep: bool,
    boxed: bool,
) -> tuple[str, list[ObjectResult]]:
    return name, evaluate_image(predictor, pair, numbers, max_clicks, keep=keep, boxed=boxed)


def _results(
    collected: Mapping[str, list[ObjectResult]], selections: Mapping[str, Selection]
) -> dict[str, DatasetResult]:
    return {
        name: DatasetResult(objects, selections[name].skipped)
        for name, objects in collected.items()
    }


def _report(
    progress: Callable[[str, int, int], None] | None, name: str, done: int, total: int
) -> None:
    if progress is not None:
        progress(name, done, total)
