"""What the commands over many images share: their options, progress and last words."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from napari_inter2former._processors import processors
from napari_inter2former.cli._numbers import natural

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from napari_inter2former.batch import Job

__all__ = ["IMAGES_HELP", "add_batch_options", "add_format_option", "run_batch", "threads_of"]

IMAGES_HELP = "image files, folders, zarr groups, or patterns in quotes"


def add_batch_options(parser: argparse._ActionsContainer) -> None:
    """Declare the options of workers; those that are not given are None."""
    parser.add_argument(
        "--workers",
        type=natural,
        metavar="N",
        help="processes on this machine, by Dask if more than one (1)",
    )
    parser.add_argument(
        "--scheduler", metavar="ADDRESS", help="a Dask scheduler to use instead, tcp://..."
    )
    parser.add_argument(
        "--threads",
        type=natural,
        metavar="N",
        help="threads of each worker (the processors, shared out among the workers)",
    )


def add_format_option(parser: argparse._ActionsContainer) -> None:
    """Declare the option of the labels' format; None means TIFF."""
    parser.add_argument(
        "--format",
        choices=("tiff", "zarr"),
        help="of the labels: tiled OME-TIFF or OME-Zarr (tiff)",
    )


def threads_of(arguments: argparse.Namespace) -> int:
    """Return how many threads each worker uses."""
    if arguments.threads is not None:
        return int(arguments.threads)
    if arguments.scheduler is not None:
        return 1
    return max(1, processors() // (arguments.workers or 1))


def run_batch(jobs: Sequence[Job], arguments: argparse.Namespace, unit: str = "objects") -> int:
    """Do the jobs and say what became of them.

    Returns
    -------
    int
        The exit status: 0, or 1 if an image failed.
    """
    from tqdm import tqdm

    from napari_inter2former.batch import Outcome, run_jobs

    with tqdm(total=len(jobs), unit="image", disable=not sys.stderr.isatty()) as bar:

        def progress(outcome: Outcome) -> None:
            for note in outcome.notes:
                bar.write(f"{Path(outcome.image).name}: {note}", file=sys.stderr)
            bar.update()

        outcomes = run_jobs(
            jobs, workers=arguments.workers or 1, scheduler=arguments.scheduler, progress=progress
        )
    failed = [outcome for outcome in outcomes if outcome.error]
    skipped = sum(outcome.skipped for outcome in outcomes)
    done = len(outcomes) - len(failed) - skipped
    print(
        f"{done} image(s) done, {sum(outcome.objects for outcome in outcomes)} {unit}"
        + (f"; {skipped} were done before" if skipped else "")
    )
    for outcome in failed:
        # Most errors name a file themselves, often this one.
        named = str(outcome.error).startswith(outcome.image)
        line = outcome.error if named else f"{outcome.image}: {outcome.error}"
        print(f"failed: {line}", file=sys.stderr)
    if failed:
        print(f"{len(failed)} of {len(outcomes)} image(s) failed", file=sys.stderr)
    return 1 if failed else 0
