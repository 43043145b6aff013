"""Numbers on the command line."""

from __future__ import annotations

import argparse

__all__ = ["natural"]


def natural(text: str) -> int:
    """Return a whole number of at least 1, for argparse's ``type``.

    Parameters
    ----------
    text : str
        What was typed.

    Raises
    ------
    argparse.ArgumentTypeError
        When it is anything else.
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)
