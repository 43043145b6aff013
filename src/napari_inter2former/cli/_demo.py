"""``inter2former demo``: the sample images, in napari or without a display."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

DESCRIPTION = """\
Open napari with a sample image and the Inter2Former widget: click a nucleus, press Enter, click
the next.

Without a display, or with --headless, the recorded clicks of the sample images go the same way:
the labels are written as TIFF with an overlay picture as PNG, and the IoU with the ground truth
is printed."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--headless", action="store_true", help="open no window")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("inter2former-demo"),
        metavar="DIR",
        help="where to write the results without a window (%(default)s)",
    )
    parser.add_argument(
        "--model", default="tiny", metavar="NAME", help="name or path of the weights (%(default)s)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    from napari_inter2former import demo

    if not arguments.headless:
        reason = demo.no_window_because()
        if reason is None:
            demo.open_window(model=arguments.model)
            return 0
        print(f"{reason} The demo runs without a window.")
    demo.run_headless(arguments.out, arguments.model)
    return 0
