"""The command line: ``inter2former demo | segment | everything | ...``.

Each command is a module with a `DESCRIPTION`, `add_arguments` and `run`; what needs PyTorch is
imported in `run`, so that ``--help`` is quick.
"""

from __future__ import annotations

import argparse
import io
import sys
from typing import TYPE_CHECKING

from napari_inter2former import __version__
from napari_inter2former.cli import (
    _benchmark,
    _demo,
    _evaluate,
    _everything,
    _info,
    _precompute,
    _segment,
)
from napari_inter2former.errors import Inter2FormerError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main", "make_parser"]

_COMMANDS = {
    "demo": (_demo, "try it on sample images"),
    "segment": (_segment, "images and clicks to labels"),
    "everything": (_everything, "all objects of images to labels, without clicks"),
    "precompute": (_precompute, "encode images ahead, for instant first clicks"),
    "benchmark": (_benchmark, "measure how fast this machine is"),
    "info": (_info, "version, weights, processor, kernels"),
    "evaluate": (_evaluate, "measure weights on labelled images"),
}


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="inter2former",
        description="Click a cell, get its mask: interactive segmentation for microscopy.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, (module, summary) in _COMMANDS.items():
        command = commands.add_parser(
            name,
            help=summary,
            description=module.DESCRIPTION,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Instead of the process's own.

    Returns
    -------
    int
        The exit status: 0, or 2 after an error of the user's input, which is printed as one line.
    """
    for stream in (sys.stdout, sys.stderr):
        # Redirected on Windows they can't hold every path; that must not end what was done.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    parsed = make_parser().parse_args(arguments)
    try:
        return int(parsed.run(parsed))
    except Inter2FormerError as error:
        # One line, whatever the message was made of.
        print("inter2former: error: " + " ".join(str(error).split()), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("inter2former: stopped", file=sys.stderr)
        return 130
