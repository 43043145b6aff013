"""Options for channels and contrast, the same in all commands over images."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from napari_inter2former.images import RenderingChoice

__all__ = ["add_rendering_options", "rendering_of"]


def add_rendering_options(parser: argparse.ArgumentParser, scope: str = "stack") -> None:
    """Declare the options.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Gets them.
    scope : {"stack", "plane"}
        Default of ``--contrast-of``.
    """
    group = parser.add_argument_group("channels and contrast")
    group.add_argument(
        "--channels",
        metavar="LIST",
        help="channels to use, counted from 0: 0,2; with colours: 0=red,2=green; or a role for "
        "each: use, ignore, red, green or blue (all channels)",
    )
    limits = group.add_mutually_exclusive_group()
    limits.add_argument(
        "--contrast",
        nargs=2,
        type=float,
        action="append",
        metavar=("LOW", "HIGH"),
        help="intensities that become black and white; once for all channels, or again for each",
    )
    limits.add_argument(
        "--percentiles",
        nargs=2,
        type=float,
        metavar=("LOW", "HIGH"),
        help="percentiles of each channel that become black and white (1 99.8, and more where "
        "a few objects lie on an empty slide)",
    )
    group.add_argument(
        "--contrast-of",
        choices=("stack", "plane"),
        default=scope,
        help="take the percentiles of all planes of a stack or series together, or of each plane "
        "for itself, as the widget does (%(default)s)",
    )


def rendering_of(arguments: argparse.Namespace) -> RenderingChoice:
    """Return what was chosen.

    Raises
    ------
    ImageError
        If a value makes no sense.
    """
    from napari_inter2former.images import RenderingChoice

    text, limits, percentiles = arguments.channels, arguments.contrast, arguments.percentiles
    chosen = RenderingChoice(
        channels=() if text is None else RenderingChoice.parse_channels(text),
        limits=tuple((low, high) for low, high in limits or ()),
        scope=arguments.contrast_of,
    )
    return chosen if percentiles is None else replace(chosen, percentiles=tuple(percentiles))
