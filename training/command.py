"""What the training commands have in common."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable

from napari_inter2former.errors import Inter2FormerError


def tells_errors(main: Callable[[list[str] | None], int]) -> Callable[..., int]:
    """Let a command's function print an error of the user's input as one line, and return 1.

    Ctrl-C ends it as shortly, with 130.

    Parameters
    ----------
    main : callable
        Takes the command line's arguments, None for the process's own; returns the exit status.
    """

    @functools.wraps(main)
    def told(arguments: list[str] | None = None) -> int:
        try:
            return main(arguments)
        except (Inter2FormerError, OSError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr)
            return 130

    return told
