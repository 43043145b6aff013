"""From the worker's thread to the window's, through Qt's event queue."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal, Slot

__all__ = ["Bridge"]


class Bridge(QObject):
    """Deliver messages and calls on the thread that made the bridge.

    It has no parent: while a worker lives that may use it, it must not be deleted.
    """

    _sent = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._receive: Callable[[Any], None] | None = None
        self._calls: list[Callable[[], None]] = []
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self._run)
        # Emitted in another thread, a signal is queued for this one.
        self._sent.connect(self._deliver)

    def open(self, receive: Callable[[Any], None]) -> None:
        """Give every message that is sent from now on to `receive`."""
        self._receive = receive

    def send(self, message: Any) -> None:
        """Pass a message on, from any thread, without waiting."""
        self._sent.emit(message)

    def later(self, call: Callable[[], None]) -> None:
        """Run a function when the present event is over; on this thread only."""
        self._calls.append(call)
        self._soon.start(0)

    def close(self) -> None:
        """Deliver nothing any more."""
        self._receive = None
        self._calls.clear()
        # At the application's end Qt may have deleted it already.
        with suppress(RuntimeError):
            self._soon.stop()

    @Slot(object)
    def _deliver(self, message: Any) -> None:
        if self._receive is not None:
            self._receive(message)

    def _run(self) -> None:
        calls, self._calls = self._calls, []
        for call in calls:
            call()
