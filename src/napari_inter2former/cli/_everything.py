"""``inter2former everything``: find and segment all objects of images, without clicks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_inter2former.cli._batch import (
    IMAGES_HELP,
    add_batch_options,
    add_format_option,
    run_batch,
    threads_of,
)
from napari_inter2former.cli._numbers import natural
from napari_inter2former.cli._rendering import add_rendering_options, rendering_of

if TYPE_CHECKING:
    import argparse

DESCRIPTION = """\
Find and segment all objects of images of any size, and write for each image NAME the labels
(NAME_labels.ome.tif or NAME_labels.ome.zarr) and a table of the objects with area, centroid, box
and score (NAME_objects.csv).

Objects are clicked where the network sees them, and by a grid where there may be more; masks that
it expects to be poor itself are background. Stacks and series are searched plane by plane: the
labels have the image's axes (t, z, y, x) and are numbered through, and the table has columns for
the plane.

Images that are done are skipped, and an interrupted run goes on where it stopped.
Images that fail are named at the end, and the exit status is 1."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("images", metavar="IMAGE", nargs="+", help=IMAGES_HELP)
    parser.add_argument(
        "--out", required=True, type=Path, metavar="DIR", help="where to write the results"
    )
    parser.add_argument(
        "--model", default="tiny", metavar="NAME", help="name or path of the weights (%(default)s)"
    )
    add_format_option(parser)
    parser.add_argument(
        "--spacing",
        type=natural,
        metavar="PIXELS",
        help="distance of the clicks in the model's input, a multiple of 16 (32)",
    )
    parser.add_argument(
        "--zoom", type=float, help="input pixels per image pixel, a power of two (found by itself)"
    )
    parser.add_argument(
        "--min-score",
        type=float,
        metavar="S",
        help="drop objects below this score, 0 to 1 (0.65 or less, found by itself)",
    )
    parser.add_argument("--min-area", type=natural, metavar="N", help="drop smaller objects")
    parser.add_argument("--max-area", type=natural, metavar="N", help="drop larger objects")
    add_rendering_options(parser)
    add_batch_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    from napari_inter2former.batch import Job, claimed, find_images, outputs_of
    from napari_inter2former.everything import EverythingSettings
    from napari_inter2former.weights import load_model

    names = ("spacing", "zoom", "min_score", "min_area", "max_area")
    chosen = {name: getattr(arguments, name) for name in names}
    settings = EverythingSettings(**{k: v for k, v in chosen.items() if v is not None})
    rendering = rendering_of(arguments)
    images = find_images(arguments.images)
    load_model(arguments.model)  # what can't be used is said before any work
    jobs = [
        Job(
            kind="everything",
            model=arguments.model,
            settings=settings,
            rendering=rendering,
            threads=threads_of(arguments),
            **outputs_of(image, arguments.out, arguments.format or "tiff"),  # type: ignore[arg-type]
        )
        for image in images
    ]
    with claimed(arguments.out):
        return run_batch(jobs, arguments)
