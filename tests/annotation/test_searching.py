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
        self.calls = 0
        self.shape: Any = None

    def __call__(self, source: Any, model: Any, *, region: Any, progress: Any) -> list[list[Mask]]:
        self.region, self.shape = region, source.shape
        self.calls += 1
        found = []
        for block in range(BLOCKS):
            progress(block, BLOCKS)
            if block == 2:
                assert self.gate.wait(20)
                progress(0, 0)
            self.searched.append(block)
            at = (20 + 4 * block, 10, 23 + 4 * block, 12)
            found.append([Mask(np.ones((3, 2), np.bool_), at, 0.9)])
        return found


@pytest.fixture
def search(monkeypatch: pytest.MonkeyPatch) -> Search:
    search = Search()
    monkeypatch.setattr(everything, "find_everything", search)
    return search


IMAGE = (np.zeros((60, 40), np.uint8), None, False)


class Office:
    def __init__(self) -> None:
        self.messages: list[say.Message] = []
        self.worker = Worker(self.messages.append, lambda _: Predictor(), lambda: ["x"], threads=1)
        self.worker.start()
        self.worker.load("x")
        self.worker.set_image(1, *IMAGE)

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
    office.worker.everything(1, IMAGE, (5, 6, 50, 30))
    office.until(lambda: office.of(say.Found))
    (found,) = office.of(say.Found)
    assert search.region == (5, 6, 50, 30)
    for block, mask in enumerate(found.masks):
        ((box, data),) = mask.strips()
        assert box == (20 + 4 * block, 10, 23 + 4 * block, 12)
        assert data.shape == (3, 2)
        assert data.all()
    assert len(found.masks) == BLOCKS
    assert office.of(say.Searching)[-1] == say.Searching(1, BLOCKS - 1, BLOCKS)


def test_clicks_go_first_and_nothing_is_searched_twice(office: Office, search: Search) -> None:
    office.worker.everything(1, IMAGE, (0, 0, 60, 40))
    office.until(lambda: search.searched == [0, 1])
    office.worker.predict(7, 1, (Click(3, 4),))
    search.gate.set()
    office.until(lambda: office.of(say.Found))
    kinds = [type(message) for message in office.messages]
    assert kinds.index(say.Predicted) < kinds.index(say.Found)
    assert search.searched == list(range(BLOCKS))


def test_a_search_can_be_stopped(office: Office, search: Search) -> None:
    office.worker.everything(1, IMAGE, (0, 0, 60, 40))
    office.until(lambda: search.searched == [0, 1])
    office.worker.stop_everything()
    search.gate.set()
    office.until(lambda: not office.worker.busy)
    assert not office.of(say.Found)
    assert not office.of(say.Failed)


def test_a_search_keeps_its_image(office: Office, search: Search) -> None:
    office.worker.everything(3, IMAGE, (0, 0, 60, 40))
    office.until(lambda: search.searched == [0, 1])
    office.worker.set_image(2, np.zeros((50, 50), np.uint8))
    search.gate.set()
    office.until(lambda: office.of(say.Found))
    assert office.of(say.Found)[0].search == 3
    assert search.shape == (60, 40)
    assert search.searched == list(range(BLOCKS))
    office.worker.predict(7, 2, (Click(3, 4),))
    office.until(lambda: office.of(say.Predicted))


def test_a_search_that_gives_way_all_the_time_goes_on_where_it_is(
    office: Office, search: Search
) -> None:
    """A block is not begun anew, nor are the zooms chosen again, however often users click."""
    office.worker.everything(1, IMAGE, (0, 0, 60, 40))
    office.until(lambda: search.searched == [0, 1])
    for number in range(4):
        office.worker.predict(number, 1, (Click(3, 4),))
        office.worker.prefetch(1, 3, 4)
    search.gate.set()
    office.until(lambda: office.of(say.Found))
    assert search.calls == 1
    assert [answer.request for answer in office.of(say.Predicted)] == [3]


def test_a_newer_search_replaces_one(office: Office, search: Search) -> None:
    office.worker.everything(1, IMAGE, (0, 0, 60, 40))
    office.until(lambda: search.searched == [0, 1])
    office.worker.everything(2, IMAGE, (0, 0, 30, 30))
    search.gate.set()
    office.until(lambda: not office.worker.busy)
    assert [answer.search for answer in office.of(say.Found)] == [2]
    assert search.region == (0, 0, 30, 30)


def test_another_model_ends_a_search_in_words(office: Office, search: Search) -> None:
    """The old model has to go before the new one is loaded."""
    office.worker.everything(4, IMAGE, (0, 0, 60, 40))
    office.until(lambda: search.searched == [0, 1])
    office.worker.load("y")
    search.gate.set()
    office.until(lambda: not office.worker.busy)
    (failed,) = office.of(say.Failed)
    assert (failed.job, failed.number) == ("everything", 4)
    assert "another model" in failed.reason
    assert office.of(say.ModelReady)[-1].name == "y"


def test_a_search_before_there_is_a_model(search: Search) -> None:
    messages: list[say.Message] = []
    worker = Worker(messages.append, lambda _: Predictor(), lambda: ["x"], threads=1)
    worker.start()
    worker.everything(9, IMAGE, (0, 0, 60, 40))
    end = time.monotonic() + 60
    while worker.busy:
        assert time.monotonic() < end
        time.sleep(0.002)
    assert worker.close(60)
    (failed,) = messages
    assert isinstance(failed, say.Failed)
    assert failed.number == 9
