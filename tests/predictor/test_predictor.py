"""Clicks in, masks out: windows, zooms, replay, with a stand-in that draws real objects."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from napari_inter2former.errors import ImageError, PromptError
from napari_inter2former.images import Normalization, as_image_source
from napari_inter2former.predictor import Mask, Predictor
from napari_inter2former.predictor._drawing import Drawing, to_mask
from napari_inter2former.predictor._following import MOST_CHANGES
from napari_inter2former.predictor._inputs import in_window
from napari_inter2former.predictor._windows import Window
from napari_inter2former.prompts import Click, box, scribble


@pytest.fixture
def predictor(fake):
    return Predictor(fake)


def same(a: Mask, b: Mask) -> bool:
    return a.box == b.box and a.score == b.score and np.array_equal(a.data, b.data)


@pytest.mark.parametrize("radius", [2.5, 6, 20, 45, 150, 700, 1500])
def test_objects_of_any_size_in_a_large_image(predictor, disc, iou, radius):
    shape = (4096, 4096)
    truth = disc(shape, 1900, 2050, radius)
    predictor.set_image((truth * 200).astype(np.uint8))
    mask = predictor.predict([Click(1900 + 0.6 * radius, 2050 - 0.6 * radius)])
    assert iou(mask.to_full(shape), truth) > (0.95 if radius > 5 else 0.85)
    # 128 input pixels: small above 8, large below 0.6 of 128.
    assert 8 <= 2 * radius * mask.zoom <= 128
    assert 0 < mask.score <= 1


@pytest.mark.parametrize("corner", [(0, 0), (0, 1), (1, 0), (1, 1)])
@pytest.mark.parametrize("radius", [3, 30, 300])
def test_objects_at_the_corners_of_the_image(predictor, disc, iou, corner, radius):
    shape = (1003, 1501)
    row, column = corner[0] * (shape[0] - 1), corner[1] * (shape[1] - 1)
    truth = disc(shape, row, column, radius)
    predictor.set_image(truth)
    mask = predictor.predict([Click(row, column)])
    assert iou(mask.to_full(shape), truth) > 0.9


def test_an_object_does_not_care_where_the_windows_lie(predictor, disc, iou):
    shape = (600, 600)
    scores = []
    for shift in range(0, 64, 7):
        truth = disc(shape, 250 + shift, 300 - shift, 25)
        predictor.set_image(truth)
        scores.append(
            iou(predictor.predict([Click(250 + shift, 300 - shift)]).to_full(shape), truth)
        )
    assert min(scores) > 0.97
    assert max(scores) - min(scores) < 0.01


def test_prompts_far_apart_are_honoured_together(predictor, disc, iou):
    shape = (3000, 3000)
    truth = disc(shape, 200, 200, 60) | disc(shape, 2700, 2600, 70)
    predictor.set_image(truth)
    mask = predictor.predict([Click(200, 200), Click(2700, 2600)])
    assert iou(mask.to_full(shape), truth) > 0.8
    once = predictor.predict([(Click(200, 200), Click(2700, 2600))])
    assert iou(once.to_full(shape), truth) > 0.8


def test_replay_equals_incremental_use(make_fake):
    rng = np.random.default_rng(0)
    image = rng.random((700, 900)) ** 3
    image[100:400, 200:600] += 1
    clicks = [
        Click(float(r), float(c), bool(p))
        for r, c, p in zip(
            rng.integers(0, 700, 12), rng.integers(0, 900, 12), rng.random(12) < 0.6, strict=True
        )
    ]
    one, other = Predictor(make_fake()), Predictor(make_fake())
    one.set_image(image)
    steps = [one.predict(clicks[: n + 1]) for n in range(len(clicks))]
    for n in (12, 3, 7, 1):
        other.set_image(image)  # forgets all steps
        assert same(other.predict(clicks[:n]), steps[n - 1])


def test_one_more_click_costs_one_decoding_and_undo_none(predictor, fake, disc):
    predictor.set_image(disc((120, 120), 60, 60, 25))
    clicks = [Click(60, 60), Click(70, 60), Click(20, 20, False)]
    masks = []
    for n in range(1, 4):
        before = fake.decoded
        masks.append(predictor.predict(clicks[:n]))
        assert fake.decoded == before + 1
    assert same(predictor.predict(clicks[:2]), masks[1])
    assert same(predictor.predict(clicks), masks[2])
    assert fake.decoded == before + 1
    assert len(fake.encoded) == 1


def test_objects_share_windows_and_images_are_recognised_by_content(predictor, fake, disc):
    first = disc((120, 120), 60, 60, 20) | disc((120, 120), 20, 20, 14)
    predictor.set_image(first)
    predictor.predict([Click(60, 60)])
    predictor.predict([Click(20, 20)])
    assert len(fake.encoded) == 1
    predictor.set_image(disc((120, 120), 80, 80, 20))
    predictor.predict([Click(80, 80)])
    predictor.set_image(first.copy())
    predictor.predict([Click(60, 60)])
    assert len(fake.encoded) == 2
    first[:] = False
    predictor.set_image(first)
    assert predictor.predict([Click(60, 60)]).area == 0


def test_changed_pixels_are_seen_when_the_image_is_set_again(predictor, disc):
    class Chunked:
        chunks = (64, 64)

        def __init__(self, pixels):
            self.pixels, self.shape, self.dtype = pixels, pixels.shape, pixels.dtype

        def __getitem__(self, key):
            return self.pixels[key].copy()

    shape = (200, 200)
    array = Chunked((disc(shape, 100, 100, 20) * 200).astype(np.uint8))
    source = as_image_source(array)
    for image in (array, source):
        predictor.set_image(image)
        before = predictor.predict([Click(100, 100)]).area
        array.pixels[:] = disc(shape, 100, 100, 30) * 200
        predictor.set_image(image)
        assert predictor.predict([Click(100, 100)]).area > 1.5 * before
        array.pixels[:] = disc(shape, 100, 100, 20) * 200


def test_prefetch_makes_the_click_ready(predictor, fake):
    image = np.zeros((1000, 1000), np.uint8)
    image[300:340, 300:340] = 9
    predictor.set_image(image)
    assert not predictor.is_ready(320, 320)
    predictor.prefetch(320, 320)
    assert predictor.is_ready(320, 320)
    assert predictor.encode_seconds >= 0
    predictor.predict([Click(320, 320)])
    assert len(fake.encoded) == 1
    with pytest.raises(PromptError):
        predictor.prefetch(-5, 0)


def test_the_cache_keeps_its_bound(make_fake):
    fake = make_fake()
    bound = 3 * 128 * 128 * 12
    predictor = Predictor(fake, cache_bytes=bound)
    image = np.zeros((2000, 2000), np.uint8)
    image[::97, ::89] = 1
    predictor.set_image(image)
    for i in range(8):
        predictor.predict([Click(200 * i + 50, 1900 - 200 * i, positive=False)])
        assert predictor._engine.features.nbytes <= bound
    nothing = Predictor(fake, cache_bytes=0)
    nothing.set_image(image)
    nothing.predict([Click(0, 0), Click(5, 5)])


def test_zooms_do_not_oscillate(make_fake):
    """A model that answers with the wrong size at every zoom still comes to an end."""
    fake = make_fake()
    answers = {1: 3, 0: 120, 2: 1, -1: 2}

    def decode(features, reference):
        fake.decoded += 1
        side = answers.get(fake.decoded % 4, 3)
        reference = reference.clone()
        h, w = reference.shape
        reference.fill_(0)
        reference[(h - side) // 2 : (h + side) // 2, (w - side) // 2 : (w + side) // 2] = 4
        features.image = (reference.numpy() == 4).astype(np.float32)
        return type(fake).decode(fake, features, reference)

    predictor = Predictor(fake)
    predictor.set_image(np.random.default_rng(0).random((5000, 5000)))
    fake.decode = decode
    for n in range(1, 6):
        before = fake.decoded
        predictor.predict([Click(2500 + i, 2500) for i in range(n)])
        # All prompts are drawn once, once for each change of the zoom before and after a search,
        # and once for each zoom that the search tries: two with each prompt. Both stand-ins count.
        assert fake.decoded - before <= 2 * n * (1 + 2 * MOST_CHANGES + 2 * n)


def test_previous_masks(predictor, disc, iou):
    shape = (500, 800)
    truth = disc(shape, 250, 300, 80) | disc(shape, 250, 600, 30)
    image = truth.astype(np.float32)
    predictor.set_image(image)
    part = disc(shape, 250, 300, 60)
    # No positive click: the stand-in goes on from the previous mask.
    mask = predictor.predict([Click(10, 10, positive=False)], previous=part)
    assert iou(mask.to_full(shape), disc(shape, 250, 300, 80)) > 0.9
    again = predictor.predict([Click(10, 10, positive=False)], previous=Mask.from_full(part))
    assert same(mask, again)
    other = predictor.predict([Click(10, 10, positive=False)], previous=disc(shape, 250, 600, 9))
    assert iou(other.to_full(shape), disc(shape, 250, 600, 30)) > 0.9
    labels = part.astype(np.uint16) * 7
    assert same(predictor.predict([Click(10, 10, positive=False)], previous=labels), mask)
    for nothing in (np.zeros(shape, bool), Mask(np.zeros((5, 5), bool), (3, 3, 8, 8))):
        empty = predictor.predict([Click(250, 300)], previous=nothing)
        assert same(empty, predictor.predict([Click(250, 300)]))


def test_a_mask_of_any_size_is_the_start_of_the_next_click(fake, disc, monkeypatch):
    monkeypatch.setattr("napari_inter2former.predictor._predictor.MEMO_BYTES", 100)
    predictor = Predictor(fake)
    predictor.set_image(disc((200, 200), 90, 90, 30))
    clicks = [Click(90, 90), Click(80, 90), Click(95, 90)]
    predictor.predict(clicks[:2])
    before = fake.decoded
    predictor.predict(clicks)
    assert fake.decoded - before <= 2
    before = fake.decoded
    predictor.predict(clicks)
    assert fake.decoded == before


@pytest.mark.parametrize(
    "previous",
    [
        np.zeros((5, 5), bool),
        np.zeros((1, 50, 50), bool),
        Mask(np.ones((4, 4), bool), (48, 48, 52, 52)),
        Mask(np.ones((4, 4), bool), (1, 1, 3, 3)),
    ],
)
def test_a_previous_mask_of_another_image_is_refused(predictor, previous):
    predictor.set_image(np.zeros((50, 50)))
    with pytest.raises(PromptError, match="previous mask"):
        predictor.predict([Click(3, 3)], previous=previous)


def test_strokes_and_boxes(predictor, disc, iou):
    shape = (400, 400)
    truth = disc(shape, 200, 200, 50)
    predictor.set_image(truth)
    stroke = scribble([(180, 180), (220, 220)])
    mask = predictor.predict([stroke, box(140, 140, 260, 260)])
    assert iou(mask.to_full(shape), truth) > 0.95
    # A box that reaches beyond the image keeps the corners inside.
    assert same(
        predictor.predict([Click(200, 200), box(-30, 100, 300, 300)]),
        predictor.predict(
            [Click(200, 200), tuple(c for c in box(-30, 100, 300, 300) if c.row > 0)]
        ),
    )
    with pytest.raises(PromptError, match="outside"):
        predictor.predict([scribble([(-10, 0), (-5, 0)])])


@pytest.mark.parametrize("click", [(-0.6, 3), (3, -1), (49.5, 3), (3, 60), (1e12, 0)])
def test_clicks_outside_the_image_are_refused(predictor, click):
    predictor.set_image(np.zeros((50, 60)))
    with pytest.raises(PromptError, match="outside the image, which has 50 rows and 60 columns"):
        predictor.predict([Click(5, 5), Click(*click)])


def test_other_bad_calls(predictor, fake):
    with pytest.raises(ImageError, match="set_image"):
        predictor.predict([Click(0, 0)])
    assert not predictor.is_ready(0, 0)
    assert predictor.image_shape is None
    assert predictor.normalization is None
    predictor.set_image(np.zeros((50, 60)))
    with pytest.raises(PromptError, match="no clicks"):
        predictor.predict([])
    for zoom in (3, 0, -1, 16, float("nan"), float("inf")):
        with pytest.raises(PromptError, match="zoom"):
            predictor.predict([Click(0, 0)], zoom=zoom)
    with pytest.raises(ImageError):
        predictor.set_image(np.zeros((50, 60), complex))
    assert predictor.image_shape == (50, 60)
    with pytest.raises(ValueError, match="32"):
        Predictor(fake, window=20)


def test_a_given_zoom_is_where_it_starts(predictor, fake, disc, iou):
    shape = (2000, 2000)
    truth = disc(shape, 1000, 1000, 4)
    predictor.set_image(truth)
    near = predictor.predict([Click(1000, 1000)])
    assert near.zoom > 1
    encoded = len(fake.encoded)
    known = predictor.predict([Click(1000, 1000)], zoom=near.zoom)
    assert known.zoom == near.zoom
    assert iou(known.to_full(shape), truth) > 0.9
    assert len(fake.encoded) == encoded


@pytest.mark.parametrize("value", [0, 5, np.nan])
def test_constant_images_give_an_empty_mask_at_the_click(predictor, value):
    predictor.set_image(np.full((50, 60), value, np.float32))
    mask = predictor.predict([Click(20, 30)])
    assert (mask.box, mask.area, mask.score, mask.empty) == ((20, 30, 20, 30), 0, 0.0, True)
    assert mask.to_full((50, 60)).sum() == 0


def test_specks_do_not_move_the_window(predictor, disc):
    """Other parts of the mask stay in it, but the window follows the clicked part."""
    shape = (128, 4000)
    image = disc(shape, 64, 2000, 20).astype(np.float32)
    predictor.set_image(image)
    assert predictor.predict([Click(64, 2000)]).zoom == 1
    image[60:64, :1985] = image[60:64, 2015:] = 1  # now connected: the object is long
    predictor.set_image(image)
    assert predictor.predict([Click(64, 2000)]).zoom < 1


def test_threads_take_turns(predictor, disc):
    shape = (400, 400)
    predictor.set_image(disc(shape, 100, 100, 20) | disc(shape, 300, 300, 30))
    expected = [predictor.predict([Click(100, 100)]), predictor.predict([Click(300, 300)])]
    predictor.set_image(disc(shape, 100, 100, 20) | disc(shape, 300, 300, 30))
    wrong = []

    def work(i):
        for _ in range(10):
            mask = predictor.predict([Click(100 + 200 * i, 100 + 200 * i)])
            wrong.extend([i] * (not same(mask, expected[i])))

    threads = [threading.Thread(target=work, args=(i % 2,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_predicting_never_touches_the_whole_image(make_fake):
    class Lazy:
        shape, dtype = (200_000, 100_000), np.dtype(np.uint8)
        largest = 0

        def __getitem__(self, index):
            rows, columns = (
                np.arange(*s.indices(n)) for s, n in zip(index, self.shape, strict=True)
            )
            self.largest = max(self.largest, rows.size * columns.size)
            return np.uint8(((rows[:, None] // 40 + columns[None] // 40) % 2) * 255)

    image = Lazy()
    predictor = Predictor(make_fake())
    predictor.set_image(image)
    mask = predictor.predict([Click(150_020, 60_020), Click(150_300, 60_020, positive=False)])
    assert mask.data.size < 10_000_000
    assert image.largest <= 1 << 24


def test_zooming_out_reads_no_more_than_about_a_second_takes_but_clicks_count(make_fake):
    class Bright:
        shape, dtype = (1_000_000, 1_000_000), np.dtype(np.uint8)
        pixels = 0

        def __getitem__(self, index):
            rows, columns = (
                len(range(*s.indices(n))) for s, n in zip(index, self.shape, strict=True)
            )
            self.pixels += rows * columns
            return np.full((rows, columns), 200, np.uint8)

    image = Bright()
    predictor = Predictor(make_fake())
    predictor.set_image(image, normalization=Normalization((0,), (255,)))
    mask = predictor.predict([Click(500_000, 500_000)])
    assert mask.zoom == 1 / 64  # 128 input pixels are 8192 image pixels
    assert image.pixels < 1.4 * (1 << 26)
    far = predictor.predict([Click(500_000, 500_000), Click(500_000, 506_000, positive=False)])
    assert far.zoom == 1 / 128


@pytest.mark.parametrize("exponent", [-3, -1, 0, 1, 3])
def test_a_resampled_mask_keeps_its_place(exponent):
    """A straight edge between two input pixels comes back at the same place in the image."""
    shape = (590, 700)  # ends inside the object at the smallest zoom
    window = Window(exponent, 16, 32, 64, 64)
    zoom = 2.0**exponent
    columns = np.broadcast_to(np.arange(64, dtype=np.float32), (64, 64))
    logits = np.minimum(columns - 15.5, 47.5 - columns)[8:56].copy()  # object: columns 16 to 47
    mask = to_mask(Drawing(logits, (8, 0, 56, 64)), window, shape, (0, 0))
    expected = (24 / zoom, 48 / zoom, 72 / zoom, 80 / zoom)
    assert mask.box == (*expected[:2], min(expected[2], 590), expected[3])
    assert mask.data.all()
    assert mask.zoom == zoom


@pytest.mark.parametrize("exponent", [-3, -1, 0, 1, 3])
def test_a_previous_mask_is_resampled_in_place(exponent):
    full = np.zeros((700, 700), bool)
    full[160:320, 240:400] = True
    window = Window(exponent, 16, 24, 32, 32)
    got = in_window(Mask.from_full(full), window)
    zoom = 2.0**exponent
    rows = (np.arange(16, 48) + 0.5) / zoom
    columns = (np.arange(24, 56) + 0.5) / zoom
    expected = full[np.minimum(rows, 699).astype(int)][:, np.minimum(columns, 699).astype(int)]
    np.testing.assert_array_equal(got, expected)


def test_large_masks_are_made_in_strips(monkeypatch):
    from napari_inter2former.predictor import _drawing

    logits = np.random.default_rng(0).normal(size=(40, 30)).astype(np.float32)
    window = Window(-3, 0, 0, 40, 30)
    whole = to_mask(Drawing(logits, (0, 0, 40, 30)), window, (320, 240), (0, 0))
    monkeypatch.setattr(_drawing, "STRIP_PIXELS", 5000)
    assert same(to_mask(Drawing(logits, (0, 0, 40, 30)), window, (320, 240), (0, 0)), whole)


def test_mask_helpers():
    full = np.zeros((9, 9), int)
    full[2:4, 5:8] = 3
    mask = Mask.from_full(full)
    assert (mask.box, mask.area, mask.slices) == ((2, 5, 4, 8), 6, (slice(2, 4), slice(5, 8)))
    np.testing.assert_array_equal(mask.to_full((9, 9)), full > 0)
    assert mask.to_full((3, 6)).sum() == 1
    assert mask.digest() != Mask(mask.data, (0, 0, 2, 3)).digest()
    with pytest.raises(PromptError):
        Mask.from_full(np.zeros(4))
