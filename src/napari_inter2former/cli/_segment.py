"""``inter2former segment``: an image and recorded clicks to labels."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

DESCRIPTION = """\
Segment the objects of one image from clicks in a CSV file, and write the labels as TIFF.

The CSV file has one click a line, in the order they are made, in the columns

  object,row,column,positive
  1,120,88,true
  1,131,90,false
  2,40,52,true

or it is a Points layer saved by napari (index, axis-0, axis-1) with the features object and
positive. Rows and columns are pixels of the image; 0,0 is the centre of the first one."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("image", metavar="IMAGE", type=Path, help="TIFF, PNG, JPEG, WebP or BMP")
    parser.add_argument("clicks", metavar="CLICKS.csv", type=Path, help="the clicks")
    parser.add_argument(
        "--out", required=True, type=Path, metavar="LABELS.tif", help="the labels to write"
    )
    parser.add_argument(
        "--model", default="tiny", metavar="NAME", help="name or path of the weights (%(default)s)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    import numpy as np

    from napari_inter2former._files import OutputError
    from napari_inter2former.cli._labels import write_labels
    from napari_inter2former.evaluation.click_files import read_clicks
    from napari_inter2former.evaluation.reading import read_picture
    from napari_inter2former.scripting import segment
    from napari_inter2former.weights import load_model

    out: Path = arguments.out
    if out.suffix.lower() not in (".tif", ".tiff"):
        raise OutputError(f"{out}: labels are written as TIFF; give a name that ends in .tif.")
    picture = read_picture(arguments.image)
    clicks = read_clicks(arguments.clicks, picture.shape)
    labels = segment(
        picture.data,
        clicks,
        load_model(arguments.model),
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
