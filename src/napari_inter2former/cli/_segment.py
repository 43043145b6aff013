"""``inter2former segment``: images and recorded clicks to labels."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from napari_inter2former.cli._batch import (
    add_batch_options,
    add_format_option,
    run_batch,
    threads_of,
)
from napari_inter2former.cli._rendering import add_rendering_options, rendering_of

if TYPE_CHECKING:
    import argparse

DESCRIPTION = """\
Segment the objects of one image from clicks in a CSV file, and write the labels as tiled OME-TIFF
or OME-Zarr. Images and labels of any size are read and written in parts.

The CSV file has one click a line, in the order they are made, in the columns

  object,row,column,positive
  1,120,88,true
  1,131,90,false
  2,40,52,true

or it is a Points layer saved by napari (index, axis-0, axis-1) with the features object and
positive. Rows and columns are pixels of the image; 0,0 is the centre of the first one.

In a stack or series, the columns t and z (those that the image has), or one column plane, say in
which plane a click lies, counted from 0; or the points have as many axes as the image. An object
that is clicked in several planes is segmented in each, and keeps its number; it is counted in each.

Many images: when CLICKS is a folder, IMAGE may be a folder or a pattern in quotes. The clicks of
NAME.tif are NAME.csv or NAME_clicks.csv there, and --out is a folder for NAME_labels.ome.tif (or
.ome.zarr) and NAME_objects.csv. Images that are done are skipped; those that fail are named at the
end, and the exit status is 1."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "image", metavar="IMAGE", type=Path, help="TIFF, PNG, JPEG, WebP, BMP or a zarr group"
    )
    parser.add_argument("clicks", metavar="CLICKS", type=Path, help="the clicks, a CSV file")
    parser.add_argument(
        "--out",
        required=True,
        type=Path,
        metavar="LABELS.tif",
        help="the labels to write, also LABELS.ome.zarr; for many images a folder",
    )
    parser.add_argument(
        "--model", default="tiny", metavar="NAME", help="name or path of the weights (%(default)s)"
    )
    add_rendering_options(parser)
    many = parser.add_argument_group("for many images")
    add_format_option(many)
    add_batch_options(many)


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    return _run_many(arguments) if arguments.clicks.is_dir() else _run_one(arguments)


def _run_one(arguments: argparse.Namespace) -> int:
    from napari_inter2former._files import OutputError
    from napari_inter2former.batch import BatchError, Job, do_job, is_zarr

    out: Path = arguments.out
    if arguments.image.is_dir() and not is_zarr(arguments.image):
        raise BatchError(
            f"{arguments.image}: this is a folder, and {arguments.clicks} is not. For many images "
            "give a folder with the clicks of each, too; for one image, its file."
        )
    for name in ("format", "workers", "scheduler"):
        if getattr(arguments, name) is not None:
            raise BatchError(
                f"--{name} is for many images; leave it out for one (the name of --out tells the "
                f"format), or give a folder instead of {arguments.clicks}."
            )
    if out.suffix.lower() not in (".tif", ".tiff", ".zarr"):
        raise OutputError(
            f"{out}: labels are written as OME-TIFF or OME-Zarr; give a name that ends in .tif, "
            ".ome.tif or .ome.zarr."
        )
    outcome = do_job(
        Job(
            kind="segment",
            image=str(arguments.image.absolute()),
            labels=str(out.absolute()),
            clicks=str(arguments.clicks.absolute()),
            compact=True,
            model=arguments.model,
            rendering=rendering_of(arguments),
            threads=threads_of(arguments),
        )
    )
    if outcome.error:
        raise BatchError(outcome.error)
    for note in outcome.notes:
        print(note, file=sys.stderr)
    print(f"{outcome.objects} of {outcome.clicked} objects written to {out}")
    return 0


def _run_many(arguments: argparse.Namespace) -> int:
    from napari_inter2former.batch import Job, claimed, find_images, outputs_of
    from napari_inter2former.weights import load_model

    rendering = rendering_of(arguments)
    images = find_images([arguments.image])
    load_model(arguments.model)  # what can't be used is said before any work
    jobs = [
        Job(
            kind="segment",
            clicks=str(_clicks_of(image, arguments.clicks).absolute()),
            model=arguments.model,
            rendering=rendering,
            threads=threads_of(arguments),
            **outputs_of(image, arguments.out, arguments.format or "tiff"),  # type: ignore[arg-type]
        )
        for image in images
    ]
    with claimed(arguments.out):
        return run_batch(jobs, arguments)


def _clicks_of(image: Path, folder: Path) -> Path:
    """Find the clicks of an image; the name to ask for if there are none."""
    from napari_inter2former.batch import output_stem

    stem = output_stem(image)
    names = (f"{stem}.csv", f"{stem}_clicks.csv", f"{stem.removesuffix('_image')}_clicks.csv")
    return next((folder / name for name in names if (folder / name).is_file()), folder / names[0])
