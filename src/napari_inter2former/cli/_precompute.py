"""``inter2former precompute``: encode images ahead, so that every first click is instant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_inter2former.cli._batch import IMAGES_HELP, add_batch_options, run_batch, threads_of
from napari_inter2former.cli._rendering import add_rendering_options, rendering_of

if TYPE_CHECKING:
    import argparse

DESCRIPTION = """\
Encode images ahead, over lunch or night, so that every first click in them is instant, in the
widget and in scripts; of stacks and series all planes. What is encoded goes into the user's cache
folder, which is kept below 10 GB (INTER2FORMER_CACHE_GB): an image of 2,048 x 2,048 pixels takes
about 2 GB, and what would not fit is refused before any work. Windows that are there are skipped,
so an interrupted run goes on where it stopped.

What is encoded is found again where channels and contrast are the same: by default those of the
widget, each plane with the percentiles of its own."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("images", metavar="IMAGE", nargs="+", help=IMAGES_HELP)
    parser.add_argument(
        "--model", default="tiny", metavar="NAME", help="name or path of the weights (%(default)s)"
    )
    add_rendering_options(parser, scope="plane")
    add_batch_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    from napari_inter2former.batch import Job, check_room, find_images
    from napari_inter2former.weights import load_model

    rendering = rendering_of(arguments)
    images = find_images(arguments.images)
    load_model(arguments.model)
    jobs = [
        Job(
            kind="precompute",
            image=str(image.absolute()),
            model=arguments.model,
            rendering=rendering,
            threads=threads_of(arguments),
        )
        for image in images
    ]
    check_room(jobs)
    return run_batch(jobs, arguments, "windows encoded")
