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

if TYPE_CHECKING:
    import argparse

DESCRIPTION = """\
Segment the objects of one image from clicks in a CSV file, and write the labels as TIFF, those of
a stack or series as OME-TIFF or OME-Zarr.

The CSV file has one click a line, in the order they are made, in the columns

  object,row,column,positive
  1,120,88,true
  1,131,90,false
  2,40,52,true

or it is a Points layer saved by napari (index, axis-0, axis-1) with the features object and
positive. Rows and columns are pixels of the image; 0,0 is the centre of the first one.

In a stack or series, the columns t and z (those that the image has), or one column plane, say in
which plane a click lies, counted from 0; or the points have as many axes as the image. An object
that is clicked in several planes is segmented in each, and keeps its number.

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
        help="the labels to write, of a stack also LABELS.ome.zarr; for many images a folder",
    )
    parser.add_argument(
        "--model", default="tiny", metavar="NAME", help="name or path of the weights (%(default)s)"
    )
    many = parser.add_argument_group("for many images")
    add_format_option(many)
    add_batch_options(many)


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    if arguments.clicks.is_dir():
        return _run_many(arguments)
    if _is_stack(arguments.image):
        return _run_stack(arguments)
    import numpy as np

    from napari_inter2former._files import OutputError
    from napari_inter2former._labels import write_labels
    from napari_inter2former.evaluation.click_files import read_clicks
    from napari_inter2former.evaluation.reading import read_picture
    from napari_inter2former.scripting import segment

    out: Path = arguments.out
    if out.suffix.lower() not in (".tif", ".tiff"):
        raise OutputError(f"{out}: labels are written as TIFF; give a name that ends in .tif.")
    picture = read_picture(arguments.image)
    clicks = read_clicks(arguments.clicks, picture.shape)
    labels = segment(
        picture.data,
        clicks,
        arguments.model,
        channel_axis=picture.channel_axis,
        rgb=picture.rgb,
    )
    write_labels(out, labels)
    there = set(np.unique(labels).tolist())
    for number in clicks:
        if number not in there:
            print(f"object {number}: no pixels (nothing found at its clicks)", file=sys.stderr)
    print(f"{len(there - {0})} of {len(clicks)} objects written to {out}")
    return 0


def _is_stack(image: Path) -> bool:
    from napari_inter2former.errors import ImageError
    from napari_inter2former.images import open_image

    try:
        return image.is_dir() or open_image(image).planes > 1
    except ImageError:
        return False  # what is wrong is said where it is read


def _run_stack(arguments: argparse.Namespace) -> int:
    from napari_inter2former._files import OutputError
    from napari_inter2former.batch import BatchError, Job, do_job

    out: Path = arguments.out
    if out.suffix.lower() not in (".tif", ".tiff", ".zarr"):
        raise OutputError(
            f"{out}: labels of stacks are written as OME-TIFF or OME-Zarr; give a name that ends "
            "in .ome.tif or .ome.zarr."
        )
    outcome = do_job(
        Job(
            kind="segment",
            image=str(arguments.image.absolute()),
            labels=str(out.absolute()),
            clicks=str(arguments.clicks.absolute()),
            model=arguments.model,
            threads=threads_of(arguments),
        )
    )
    if outcome.error:
        raise BatchError(outcome.error)
    for note in outcome.notes:
        print(note, file=sys.stderr)
    print(f"{outcome.objects} object(s), counted in each plane, written to {out}")
    return 0


def _run_many(arguments: argparse.Namespace) -> int:
    from napari_inter2former.batch import Job, claimed, find_images, outputs_of
    from napari_inter2former.weights import load_model

    images = find_images([arguments.image])
    load_model(arguments.model)  # what can't be used is said before any work
    with claimed(arguments.out):
        jobs = [
            Job(
                kind="segment",
                clicks=str(_clicks_of(image, arguments.clicks).absolute()),
                model=arguments.model,
                threads=threads_of(arguments),
                **outputs_of(image, arguments.out, arguments.format),  # type: ignore[arg-type]
            )
            for image in images
        ]
        return run_batch(jobs, arguments)


def _clicks_of(image: Path, folder: Path) -> Path:
    """Find the clicks of an image; the name to ask for if there are none."""
    from napari_inter2former.batch import output_stem

    stem = output_stem(image)
    names = (f"{stem}.csv", f"{stem}_clicks.csv", f"{stem.removesuffix('_image')}_clicks.csv")
    return next((folder / name for name in names if (folder / name).is_file()), folder / names[0])
