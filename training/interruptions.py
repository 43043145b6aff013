"""What may interrupt a training run, a signal or a full disk, and how little is lost then."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self

from napari_inter2former.errors import Inter2FormerError
from napari_inter2former.training.parallel import by_torchrun

ASKED = b"\nstopping after this step; Ctrl-C again quits at once, without saving\n"


class StopRequest:
    """While it is entered, Ctrl-C (SIGINT) or SIGTERM asks to stop after the current step.

    Another Ctrl-C raises KeyboardInterrupt at once. Another SIGTERM does not: ``timeout`` and
    others send it to a process and then to its whole group. Nor does another Ctrl-C under
    ``torchrun``, which passes on what the terminal has sent to all processes already.

    Elsewhere than in the main thread, which alone gets signals, nothing is changed.

    Attributes
    ----------
    asked : bool
        Whether to stop.
    """

    def __init__(self) -> None:
        self.asked = False
        self._alone = not by_torchrun()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        with suppress(ValueError):  # not the main thread
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._signalled)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _signalled(self, number: int, _: object) -> None:
        if self.asked and self._alone and number == signal.SIGINT:
            raise KeyboardInterrupt
        if not self.asked and self._alone:
            with suppress(OSError):
                os.write(2, ASKED)  # not print: the signal may have come in the middle of one
        self.asked = True


@contextmanager
def only_warns() -> Iterator[None]:
    """Print what can't be written as a warning, and go on: there may be space again later."""
    try:
        yield
    except (Inter2FormerError, OSError) as error:
        print(f"warning: {error}", file=sys.stderr)


class RegularSaves:
    """Saves every few minutes; one that fails is tried again the next time.

    Parameters
    ----------
    save : callable
        Writes a file whole or not at all.
    minutes : float
        From one time to the next.
    """

    def __init__(self, save: Callable[[], object], minutes: float) -> None:
        self._save, self._seconds = save, minutes * 60
        self._last = time.monotonic()

    def when_due(self) -> None:
        """Save if it is time to."""
        if time.monotonic() - self._last > self._seconds:
            with only_warns():
                self._save()
            self._last = time.monotonic()
