"""The one thread that computes: model, encoding, masks, counting.

It lives as long as the widget, takes jobs from a queue, and answers with messages; the caller's
thread never waits for it, and never imports PyTorch. A newer job of a kind replaces a waiting
older one, so a fast user costs one mask, not ten. Requests carry numbers; the receiver drops
answers that are no longer wanted.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Protocol

import numpy as np

from napari_inter2former.annotation import messages as say
from napari_inter2former.annotation.counting import Count
from napari_inter2former.annotation.pictures import mask_picture
from napari_inter2former.annotation.searching import search
from napari_inter2former.annotation.warm_up import warm_up
from napari_inter2former.errors import Inter2FormerError
from napari_inter2former.prompts import Click

__all__ = ["PredictorLike", "Worker"]


class PredictorLike(Protocol):
    """What the worker needs of a predictor."""

    def set_image(
        self, image: Any, channel_axis: int | None = None, rgb: bool | None = None
    ) -> Any:
        """Choose the image; nothing is encoded yet."""

    def prefetch(self, row: float, column: float) -> Any:
        """Encode what a click at this place needs."""

    def predict(self, prompts: Sequence[Click]) -> Any:
        """Compute the mask of these clicks."""

    def is_ready(self, row: float, column: float) -> bool:
        """Whether `prefetch` there has nothing to do."""


class _CancelledError(Exception):
    """Raised inside a job to leave it."""


class _ModelChangedError(Inter2FormerError):
    """Raised inside a search when another model is to be loaded: two may not fit."""


class _Rank(IntEnum):
    """The order in which waiting jobs are taken."""

    SETUP = 0
    PREDICT = 1
    PREFETCH = 2
    SCAN = 3
    EVERYTHING = 4


@dataclass(order=True)
class _Job:
    rank: _Rank
    serial: int
    kind: str = field(compare=False)
    run: Callable[[], None] = field(compare=False)
    number: int = field(compare=False, default=0)
    again: bool = field(compare=False, default=False)
    unwanted: bool = field(compare=False, default=False)


class Worker:
    """One long-lived computing thread.

    Parameters
    ----------
    notify : callable
        Gets every message, in the worker's thread: pass it on without waiting.
    make_predictor : callable
        Makes a predictor from a model's name, in the worker's thread.
    find_models : callable
        Lists the names of the models, in the worker's thread.
    threads : int, optional
        Threads for PyTorch; by default ``OMP_NUM_THREADS``, else all processors this process may
        use.
    """

    def __init__(
        self,
        notify: Callable[[say.Message], None],
        make_predictor: Callable[[str], PredictorLike],
        find_models: Callable[[], Sequence[str]],
        threads: int | None = None,
    ) -> None:
        self._notify = notify
        self._make_predictor = make_predictor
        self._find_models = find_models
        self._threads = threads
        self._wake = threading.Condition()
        self._jobs: list[_Job] = []
        self._serial = 0
        self._stop = False
        self._predictor: PredictorLike | None = None
        self._image: tuple[int, Any, int | None, bool] | None = None
        # The last one runs; a search below it goes on afterwards.
        self._running: list[_Job] = []
        self._thread = threading.Thread(target=self._loop, name="inter2former", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self, timeout: float = 30.0) -> bool:
        """Stop the thread and wait for it; waiting jobs are dropped, no message follows.

        Returns
        -------
        bool
            False if it was still computing after `timeout` seconds; it then ends by itself.
        """
        with self._wake:
            self._stop = True
            self._jobs.clear()
            self._wake.notify()
        if self._thread.is_alive():
            self._thread.join(timeout)
        return not self._thread.is_alive()

    @property
    def busy(self) -> bool:
        """Whether a job runs or waits."""
        with self._wake:
            return bool(self._jobs or self._running)

    def list_models(self) -> None:
        """Ask for `ModelsFound`."""
        self._put(_Rank.SETUP, "models", self._list_models)

    def load(self, name: str) -> None:
        """Load a model; answers `ModelReady` or `Failed`. The image stays."""
        self._put(_Rank.SETUP, "model", lambda: self._load(name))

    def set_image(
        self, number: int, array: Any, channel_axis: int | None = None, rgb: bool = False
    ) -> None:
        """Choose the image, under the caller's `number`; jobs for the former one are dropped.

        Parameters
        ----------
        number : int
            Comes back in the messages about this image.
        array : array-like or list of array-like
            One plane, or the resolution levels of one.
        channel_axis : int, optional
            Axis of the channels.
        rgb : bool
            Whether the last axis holds colours.
        """
        self.drop("predict", "prefetch")
        image = (number, array, channel_axis, rgb)
        self._put(_Rank.SETUP, "image", lambda: self._set_image(image), number)

    def forget_image(self) -> None:
        """Let go of the image, so that its memory is free."""
        self.drop("predict", "prefetch")
        self._put(_Rank.SETUP, "image", self._forget)

    def prefetch(self, number: int, row: float, column: float) -> None:
        """Encode what a click at a place needs, when nothing else waits; answers `Encoded`."""
        self._put(_Rank.PREFETCH, "prefetch", lambda: self._prefetch(number, row, column), number)

    def predict(self, request: int, image: int, clicks: tuple[Click, ...]) -> None:
        """Compute a mask; answers `Predicted` or `Failed` with the request's number."""
        self._put(_Rank.PREDICT, "predict", lambda: self._predict(request, image, clicks), request)

    def scan(self, target: int, array: Any) -> None:
        """Find the largest number in a labels image, in blocks, between more urgent jobs.

        Answers `Scanned` or `Failed`, with the caller's number for the labels, `target`.
        """
        count = Count(array)
        self._put(_Rank.SCAN, "scan", lambda: self._scan(target, count), target)

    def everything(
        self,
        number: int,
        image: tuple[Any, int | None, bool],
        region: tuple[int, int, int, int],
    ) -> None:
        """Find all objects in a part of a plane, between all other jobs; answers `Found`.

        Parameters
        ----------
        number : int
            Of the search: comes back in the messages about it.
        image : tuple
            Array, channel axis, and whether it is RGB, as of `set_image`, which may choose another
            one meanwhile.
        region : tuple of int
            (r0, c0, r1, c1) in pixels of the plane.
        """
        self._put(
            _Rank.EVERYTHING,
            "everything",
            lambda: self._everything(number, image, region),
            number,
        )

    def stop_everything(self) -> None:
        """End the search, running or waiting, without an answer."""
        with self._wake:
            for job in self._running:
                job.unwanted = job.kind == "everything"
        self.drop("everything")

    def drop(self, *kinds: str) -> None:
        """Drop the waiting jobs of these kinds."""
        with self._wake:
            self._jobs = [job for job in self._jobs if job.kind not in kinds]

    def _put(self, rank: _Rank, kind: str, run: Callable[[], None], number: int = 0) -> None:
        with self._wake:
            if self._stop:
                return
            self._jobs = [job for job in self._jobs if job.kind != kind]
            self._serial += 1
            self._jobs.append(_Job(rank, self._serial, kind, run, number))
            self._wake.notify()

    def _loop(self) -> None:
        while True:
            with self._wake:
                while not self._jobs and not self._stop:
                    self._wake.wait()
                if self._stop:
                    break
                job = self._take()
            self._do(job)
            del job
        self._predictor = None
        self._image = None

    def _take(self) -> _Job:
        """Take the most urgent job; call it with the lock held."""
        job = min(self._jobs)
        self._jobs.remove(job)
        self._running.append(job)
        return job

    def _do(self, job: _Job) -> None:
        try:
            job.run()
        except _CancelledError:
            if job.again:
                self._return(job)
        except Exception as error:  # noqa: BLE001  # the thread must outlive any failure
            self._tell(say.Failed(job.kind, _reason(error), job.number))
        with self._wake:
            self._running.pop()

    def _return(self, job: _Job) -> None:
        """Put a job back that gave way to a more urgent one, unless a newer one waits."""
        with self._wake:
            if not self._stop and all(other.kind != job.kind for other in self._jobs):
                job.again = False
                self._jobs.append(job)

    def _tell(self, message: say.Message) -> None:
        if not self._stop:
            self._notify(message)

    def _list_models(self) -> None:
        warm_up(self._threads)
        self._tell(say.ModelsFound(tuple(self._find_models())))

    def _load(self, name: str) -> None:
        warm_up(self._threads)
        # The old model goes first: two at once may not fit.
        self._predictor = None
        self._predictor = self._make_predictor(name)
        self._tell(say.ModelReady(name))
        if self._image is None:
            return
        number = self._image[0]
        try:
            self._show()
        except _CancelledError:
            raise
        except Exception as error:  # noqa: BLE001  # of the image, not of the model
            self._tell(say.Failed("image", _reason(error), number))

    def _set_image(self, image: tuple[int, Any, int | None, bool]) -> None:
        self._image = image
        if self._predictor is not None:
            self._show()

    def _show(self) -> None:
        assert self._predictor is not None
        assert self._image is not None
        _, array, channel_axis, rgb = self._image
        try:
            self._predictor.set_image(array, channel_axis=channel_axis, rgb=rgb)
        except BaseException:
            # No later job may compute on the image before this one.
            self._forget()
            raise

    def _forget(self) -> None:
        self._image = None
        if self._predictor is not None:
            # Any other image lets go of the former one's array.
            self._predictor.set_image(np.zeros((1, 1), np.uint8), channel_axis=None, rgb=False)

    def _ready(self, number: int) -> PredictorLike | None:
        """Return the predictor if it has the image of this number."""
        if self._predictor is None or self._image is None or self._image[0] != number:
            return None
        return self._predictor

    def _prefetch(self, number: int, row: float, column: float) -> None:
        predictor = self._ready(number)
        if predictor is not None:
            self._encode(predictor, number, row, column)

    def _predict(self, request: int, image: int, clicks: tuple[Click, ...]) -> None:
        predictor = self._ready(image)
        if predictor is None:
            self._tell(say.Failed("predict", "The model or the image isn't ready.", request))
            return
        if clicks[0].positive:  # by itself, so that it is seen as such; a box has its own zoom
            self._encode(predictor, image, clicks[0].row, clicks[0].column)
        start = time.perf_counter()
        mask = predictor.predict(list(clicks))
        seconds = time.perf_counter() - start
        self._tell(say.Predicted(request, mask, mask_picture(mask.data), seconds))

    def _encode(self, predictor: PredictorLike, number: int, row: float, column: float) -> None:
        if predictor.is_ready(row, column):
            self._tell(say.Encoded(number, 0.0))
            return
        self._tell(say.Encoding(number))
        start = time.perf_counter()
        predictor.prefetch(row, column)
        self._tell(say.Encoded(number, time.perf_counter() - start))

    def _everything(
        self,
        number: int,
        image: tuple[Any, int | None, bool],
        region: tuple[int, int, int, int],
    ) -> None:
        predictor, job = self._predictor, self._running[-1]
        if predictor is None:
            self._tell(say.Failed("everything", "The model isn't ready.", number))
            return

        def progress(done: int, total: int) -> None:
            while (urgent := self._before(job)) is not None:
                # Here and now: what the search has done so far stays as it is.
                self._do(urgent)
            if total:
                self._tell(say.Searching(number, done, total))

        # Only the network is used: the predictor's image is still the one that is shown.
        masks = search(predictor, image, region, progress)
        self._tell(say.Found(number, masks))

    def _before(self, job: _Job) -> _Job | None:
        """Take a job that goes before a search; leave the search if it is to end."""
        with self._wake:
            kinds = [other.kind for other in self._jobs]
            if self._stop or job.unwanted or "everything" in kinds:
                raise _CancelledError
            if "model" in kinds:
                raise _ModelChangedError(
                    "The search ended, for another model was chosen. Search again when it is there."
                )
            return self._take() if self._jobs else None

    def _scan(self, target: int, count: Count) -> None:
        job = self._running[-1]
        while count.go_on():
            with self._wake:
                urgent = any(other.rank < _Rank.SCAN for other in self._jobs)
                stop = self._stop
            if urgent or stop:
                job.again = not stop
                raise _CancelledError
        self._tell(say.Scanned(target, count.largest))


def _reason(error: Exception) -> str:
    name = "" if isinstance(error, Inter2FormerError) else f"{type(error).__name__}: "
    return f"{name}{error}"
