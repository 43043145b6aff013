"""The computing thread: order, replacement, errors, cancelling, end."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_inter2former.annotation import messages as say
from napari_inter2former.annotation.pictures import MOST_PIXELS, mask_picture, picture_step
from napari_inter2former.annotation.worker import Worker
from napari_inter2former.errors import ImageError, WeightsError
from napari_inter2former.prompts import Click, box

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Mask:
    data = np.ones((2, 2), bool)
    box = (0, 0, 2, 2)


class Predictor:
    """Counts calls; `gate` holds its encoding."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.gate = threading.Event()
        self.gate.set()
        self.started = threading.Event()
        self.encoded = False
        self.error: Exception | None = None

    def set_image(self, image: Any, channel_axis: Any = None, rgb: Any = None) -> None:
        if isinstance(image, Exception):
            raise image
        self.calls.append(("image", image, channel_axis, rgb))

    def is_ready(self, row: float, column: float) -> bool:
        return self.encoded

    def prefetch(self, row: float, column: float) -> None:
        self.started.set()
        assert self.gate.wait(10)
        self.calls.append(("prefetch", row, column))

    def predict(self, prompts: Any) -> Mask:
        if self.error is not None:
            raise self.error
        self.calls.append(("predict", tuple(prompts)))
        return Mask()

    def kinds(self) -> list[str]:
        return [call[0] for call in self.calls]


class Office:
    """A worker and its messages."""

    def __init__(self, make: Callable[[str], Any] | None = None) -> None:
        self.predictor = Predictor()
        self.messages: list[say.Message] = []
        self.worker = Worker(
            self.messages.append, make or (lambda _: self.predictor), lambda: ["tiny"], threads=1
        )
        self.worker.start()

    def ready(self) -> None:
        self.worker.load("tiny")
        self.worker.set_image(1, "image")
        self.rest()

    def rest(self) -> None:
        end = time.monotonic() + 60
        while self.worker.busy:
            assert time.monotonic() < end
            time.sleep(0.002)

    def of(self, kind: type) -> list[Any]:
        return [message for message in self.messages if isinstance(message, kind)]


@pytest.fixture
def office() -> Iterator[Office]:
    office = Office()
    yield office
    office.predictor.gate.set()
    assert office.worker.close(60)


def test_models_image_mask(office: Office) -> None:
    office.worker.list_models()
    office.ready()
    office.worker.predict(7, 1, (Click(3, 4),))
    office.rest()
    assert office.of(say.ModelsFound) == [say.ModelsFound(("tiny",))]
    assert office.of(say.ModelReady) == [say.ModelReady("tiny")]
    (answer,) = office.of(say.Predicted)
    assert answer.request == 7
    np.testing.assert_array_equal(answer.picture, 2 * np.ones((2, 2)))
    assert office.predictor.kinds() == ["image", "prefetch", "predict"]
    assert [m.image for m in office.of(say.Encoded)] == [1]


def test_what_is_ready_is_not_encoded_again(office: Office) -> None:
    office.ready()
    office.predictor.encoded = True
    office.worker.predict(1, 1, (Click(3, 4),))
    office.rest()
    assert office.predictor.kinds() == ["image", "predict"]


def test_a_box_is_not_looked_at_as_a_click(office: Office) -> None:
    office.ready()
    clicks = (*box(3, 4, 30, 40), Click(10, 10))
    office.worker.predict(1, 1, clicks)
    office.rest()
    assert office.predictor.calls[1:] == [("predict", clicks)]


def test_the_image_may_come_before_the_model(office: Office) -> None:
    office.worker.set_image(1, "image", 2, True)
    office.rest()
    office.worker.load("tiny")
    office.rest()
    assert office.predictor.calls == [("image", "image", 2, True)]


def test_newer_requests_replace_waiting_ones(office: Office) -> None:
    office.ready()
    office.predictor.gate.clear()
    office.worker.predict(1, 1, (Click(0, 0),))
    assert office.predictor.started.wait(10)
    for request in (2, 3, 4):
        office.worker.predict(request, 1, (Click(request, 0),))
    office.predictor.gate.set()
    office.rest()
    assert [m.request for m in office.of(say.Predicted)] == [1, 4]


def test_another_image_ends_the_work_on_the_former(office: Office) -> None:
    office.ready()
    office.predictor.gate.clear()
    office.worker.prefetch(1, 5, 5)
    assert office.predictor.started.wait(10)
    assert office.of(say.Encoding) == [say.Encoding(1)]
    office.worker.predict(1, 1, (Click(0, 0),))
    office.worker.set_image(2, "other")
    office.predictor.gate.set()
    office.rest()
    assert office.of(say.Predicted) == []
    assert office.predictor.calls[-1][1] == "other"


def test_forgetting_lets_go_of_the_array(office: Office) -> None:
    office.ready()
    office.worker.forget_image()
    office.rest()
    assert office.predictor.calls[-1][1].shape == (1, 1)
    office.worker.prefetch(1, 0, 0)
    office.rest()
    assert "prefetch" not in office.predictor.kinds()


def test_errors_come_back_as_messages(office: Office) -> None:
    office.ready()
    office.predictor.error = ImageError("no good")
    office.worker.predict(5, 1, (Click(0, 0),))
    office.rest()
    office.predictor.error = ZeroDivisionError("oops")
    office.worker.predict(6, 1, (Click(0, 0),))
    office.rest()
    assert office.of(say.Failed) == [
        say.Failed("predict", "no good", 5),
        say.Failed("predict", "ZeroDivisionError: oops", 6),
    ]
    office.predictor.error = None
    office.worker.predict(7, 1, (Click(0, 0),))
    office.rest()
    assert office.of(say.Predicted)[-1].request == 7


def test_a_refused_image_is_not_computed_on(office: Office) -> None:
    office.ready()
    office.worker.set_image(2, ImageError("complex"))
    office.worker.predict(1, 2, (Click(0, 0),))
    office.rest()
    assert office.of(say.Failed)[0] == say.Failed("image", "complex", 2)
    assert "isn't ready" in office.of(say.Failed)[1].reason


def test_a_model_that_fails_can_be_replaced() -> None:
    predictor = Predictor()

    def make(name: str) -> Predictor:
        if name == "bad":
            raise WeightsError("truncated")
        return predictor

    office = Office(make)
    office.worker.set_image(1, "image")
    office.worker.load("bad")
    office.rest()
    office.worker.load("good")
    office.rest()
    office.worker.close(60)
    assert office.of(say.Failed) == [say.Failed("model", "truncated")]
    assert predictor.kinds() == ["image"]


def test_a_broken_image_is_not_blamed_on_the_model() -> None:
    office = Office()
    office.worker.set_image(1, ImageError("The pyramid levels do not match."))
    office.worker.load("tiny")
    office.rest()
    assert office.messages == [
        say.ModelReady("tiny"),
        say.Failed("image", "The pyramid levels do not match.", 1),
    ]
    office.worker.set_image(2, "image")
    office.worker.predict(1, 2, (Click(0, 0),))
    office.rest()
    assert office.of(say.Predicted)[0].request == 1
    office.worker.close(60)


class SlowLabels:
    """Labels in chunks of a row, of which the second isn't read before the gate is open."""

    shape, chunks = (4, 5), (1, 5)

    def __init__(self) -> None:
        self.read: list[int] = []
        self.started, self.gate = threading.Event(), threading.Event()

    def __getitem__(self, region: Any) -> Any:
        row = region[0].start
        self.read.append(row)
        if row == 1:
            self.started.set()
            assert self.gate.wait(10)
        return np.full((1, 5), 9 - row)


def test_counting_gives_way_and_goes_on(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_inter2former.annotation.counting.BLOCK", 5)
    office.ready()
    office.predictor.encoded = True
    labels = SlowLabels()
    office.worker.scan(3, labels)
    assert labels.started.wait(10)
    office.worker.predict(1, 1, (Click(0, 0),))
    labels.gate.set()
    office.rest()
    # The click didn't wait for the rest, and no block was read twice.
    kinds = [type(m) for m in office.messages if isinstance(m, say.Predicted | say.Scanned)]
    assert kinds == [say.Predicted, say.Scanned]
    assert labels.read == [0, 1, 2, 3]
    assert office.of(say.Scanned) == [say.Scanned(3, 9)]


def test_what_cant_be_counted_is_named(office: Office) -> None:
    class Broken(SlowLabels):
        def __getitem__(self, region: Any) -> Any:
            raise OSError("chunk 3.1 is damaged")

    office.worker.scan(4, Broken())
    office.rest()
    assert office.of(say.Failed) == [say.Failed("scan", "OSError: chunk 3.1 is damaged", 4)]


def test_closing_drops_what_waits_and_sends_nothing_more(office: Office) -> None:
    office.ready()
    office.predictor.gate.clear()
    office.worker.prefetch(1, 0, 0)
    assert office.predictor.started.wait(10)
    office.worker.predict(8, 1, (Click(0, 0),))
    count = len(office.messages)
    threading.Timer(0.05, office.predictor.gate.set).start()
    assert office.worker.close(60)
    assert len(office.messages) == count
    assert "predict" not in office.predictor.kinds()
    office.worker.predict(9, 1, (Click(0, 0),))  # ignored
    assert not office.worker.busy


def test_the_callers_thread_imports_no_torch() -> None:
    code = (
        "import sys, time\n"
        "from napari_inter2former.annotation import Worker\n"
        "assert 'torch' not in sys.modules and 'napari' not in sys.modules\n"
        "assert 'qtpy' not in sys.modules\n"
        "got = []\n"
        "worker = Worker(got.append, None, lambda: ['a'], threads=3)\n"
        "worker.start(); worker.list_models()\n"
        "while not got: time.sleep(0.01)\n"
        "import torch\n"
        "torch.set_num_threads(2)\n"
        "assert worker.close(30)\n"
        "print('fine')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "fine\n", done.stderr


def test_picture_has_a_rim() -> None:
    mask = np.ones((4, 5), bool)
    expected = np.full((4, 5), 2)
    expected[1:3, 1:4] = 1
    np.testing.assert_array_equal(mask_picture(mask), expected)
    assert mask_picture(np.zeros((0, 0), bool)).shape == (0, 0)


@pytest.mark.parametrize("shape", [(3000, 2000), (5_000_000, 1), (4, 1_000_000)])
def test_the_picture_of_a_large_mask_is_small(shape: tuple[int, int]) -> None:
    step = picture_step(shape)
    picture = mask_picture(np.ones(shape, bool))
    assert step > 1
    assert picture.shape == tuple(-(-n // step) for n in shape)
    assert MOST_PIXELS / 4 <= picture.size <= MOST_PIXELS
    assert picture.all()
    mask = np.zeros((3000, 2000), bool)
    mask[1200:1500, 300:900] = True
    rows, columns = np.nonzero(mask_picture(mask))
    step = picture_step(mask.shape)
    assert abs(rows.min() * step - 1200) <= step
    assert abs((columns.max() + 1) * step - 900) <= step
