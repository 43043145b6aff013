"""The worker looks for all objects, and gives way to clicks meanwhile."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_inter2former import everything
from napari_inter2former.annotation import messages as say
from napari_inter2former.annotation.worker import Worker
from napari_inter2former.predictor import Mask
from napari_inter2former.prompts import Click

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCKS = 5


class Predictor:
    def set_image(self, image: Any, channel_axis: Any = None, rgb: Any = None) -> None:
        pass

    def is_ready(self, row: float, column: float) -> bool:
        return True

    def predict(self, prompts: Any) -> Mask:
        return Mask(np.ones((2, 2), np.bool_), (0, 0, 2, 2))


class Search:
    """Stands in for `find_everything`: a block at a time, as long as the gate is open."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.searched: list[int] = []
        self.region: Any = None

    def __call__(
        self, source: Any, model: Any, *, region: Any, progress: Any, parts: Any
    ) -> list[list[Mask]]:
        self.region = region
        for block in range(BLOCKS):
            progress(block, BLOCKS)
            if not parts.has(block):
                if block == 2:
                    assert self.gate.wait(20)
                    progress(0, 0)
                self.searched.append(block)
                at = (20 + 4 * block, 10, 23 + 4 * block, 12)
                parts.put(block, [Mask(np.ones((3, 2), np.bool_), at, 0.9)])
        return [list(parts.get(block)) for block in range(BLOCKS)]


@pytest.fixture
def search(monkeypatch: pytest.MonkeyPatch) -> Search:
    search = Search()
    monkeypatch.setattr(everything, "find_everything", search)
    return search


class Office:
    def __init__(self) -> None:
        self.messages: list[say.Message] = []
        self.worker = Worker(self.messages.append, lambda _: Predictor(), lambda: ["x"], threads=1)
        self.worker.start()
        self.worker.load("x")
        self.worker.set_image(1, np.zeros((60, 40), np.uint8))

    def of(self, kind: type) -> list[Any]:
        return [message for message in self.messages if isinstance(message, kind)]

    def until(self, condition: Any) -> None:
        end = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < end
            time.sleep(0.002)


@pytest.fixture
def office(search: Search) -> Iterator[Office]:
    office = Office()
    yield office
    search.gate.set()
    assert office.worker.close(60)


def test_what_was_found_is_told(office: Office, search: Search) -> None:
    search.gate.set()
    office.worker.everything(1, (5, 6, 50, 30))
    office.until(lambda: office.of(say.Found))
    (found,) = office.of(say.Found)
    assert search.region == (5, 6, 50, 30)
    painted = np.zeros((60, 40), int)
    painted[found.rows, found.columns] = found.numbers
    for block in range(BLOCKS):
        assert (painted[20 + 4 * block : 23 + 4 * block, 10:12] == block + 1).all()
    assert np.count_nonzero(painted) == 6 * BLOCKS
    assert office.of(say.Searching)[-1] == say.Searching(1, BLOCKS - 1, BLOCKS)


def test_clicks_go_first_and_nothing_is_searched_twice(office: Office, search: Search) -> None:
    office.worker.everything(1, (0, 0, 60, 40))
    office.until(lambda: search.searched == [0, 1])
    office.worker.predict(7, 1, (Click(3, 4),))
    search.gate.set()
    office.until(lambda: office.of(say.Found))
    kinds = [type(message) for message in office.messages]
    assert kinds.index(say.Predicted) < kinds.index(say.Found)
    assert search.searched == list(range(BLOCKS))


def test_a_search_can_be_stopped(office: Office, search: Search) -> None:
    office.worker.everything(1, (0, 0, 60, 40))
    office.until(lambda: search.searched == [0, 1])
    office.worker.stop("everything")
    search.gate.set()
    office.until(lambda: not office.worker.busy)
    assert not office.of(say.Found)
    assert not office.of(say.Failed)


def test_a_search_in_an_image_that_is_gone(office: Office) -> None:
    office.worker.everything(9, (0, 0, 60, 40))
    office.until(lambda: office.of(say.Failed))
    assert office.of(say.Failed)[0].number == 9
