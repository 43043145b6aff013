"""The window finds the object's size when the first look was at the wrong zoom."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from napari_inter2former.benchmark._large_images import iou_of, textures
from napari_inter2former.benchmark._objects import click_object
from napari_inter2former.model.reference_mask import Label
from napari_inter2former.predictor import Mask, Predictor
from napari_inter2former.predictor import _windows as geometry
from napari_inter2former.predictor._engine import Engine
from napari_inter2former.predictor._following import search_exponents
from napari_inter2former.predictor._hints import refuted
from napari_inter2former.prompts import Click, box, flatten

from .conftest import FakeDecoded, FakeFeatures


@pytest.fixture
def choosy(fake):
    """Make a stand-in that sees objects of a suitable size, and texture at any other zoom."""
    whole = fake.decode

    def decode(features, reference):
        decoded = whole(features, reference)
        size = float((decoded.logits > 0).sum()) ** 0.5
        if 12 <= size <= 100:
            return decoded
        row, column = (int(v) for v in np.argwhere(reference.numpy() == 4)[-1])
        box = (max(row - 6, 0), max(column - 6, 0), row + 1, column + 1)
        decoded.box = box
        decoded.logits = torch.full((box[2] - box[0], box[3] - box[1]), 0.5)
        return decoded

    fake.decode = decode
    return fake


@pytest.mark.parametrize("radius", [3, 8, 30, 120, 400, 1500])
def test_objects_of_any_size_are_found_in_three_clicks(choosy, disc, iou, radius):
    shape = (8192, 8192)
    row, column = 4000, 4100
    truth = disc(shape, row, column, radius)
    predictor = Predictor(choosy)
    predictor.set_image(truth)
    clicks = [(row, column), (row + radius // 2, column), (row - radius // 2, column)]
    best = 0.0
    for n in (1, 2, 3):
        mask = predictor.predict([Click(*click) for click in clicks[:n]])
        best = max(best, iou(mask.to_full(shape), truth))
    assert best > (0.8 if radius < 5 else 0.95)


def test_a_convincing_mask_needs_no_search(fake, disc):
    image = disc((4000, 4000), 2000, 2000, 25)
    predictor = Predictor(fake)
    predictor.set_image(image)
    predictor.predict([Click(2000, 2000)])
    assert len(fake.encoded) == 1


def test_corrections_never_start_a_search(choosy):
    """Only a click far from the mask says that it was something else."""
    choosy.decode = lambda features, reference: unsure(reference)

    def unsure(reference):
        positive = np.argwhere(reference.numpy() == 4)
        if not len(positive):  # in a wide window the other click's disc covers it
            return FakeDecoded(torch.zeros(0, 0), (0, 0, 0, 0))
        row, column = (int(v) for v in positive[0])
        box = (row - 12, column - 12, row + 12, column + 12)
        return FakeDecoded(torch.full((24, 24), 0.5), box)

    predictor = Predictor(choosy)
    predictor.set_image(np.random.default_rng(0).random((4000, 4000)))
    clicks = [Click(2000, 2000)]
    first = predictor.predict(clicks)
    assert first.score < 0.1
    tried = len(choosy.encoded)
    assert tried > 1
    clicks += [Click(2003, 2000), Click(2000, 1996, positive=False)]
    predictor.predict(clicks)
    assert len(choosy.encoded) == tried
    predictor.predict([*clicks, Click(2100, 2000)])
    assert len(choosy.encoded) > tried


@pytest.fixture
def colony(fake):
    """Make a stand-in to which cells with narrow gaps between them are one."""
    apart = fake.decode

    def decode(features, reference):
        seen = cv2.morphologyEx(features.image, cv2.MORPH_CLOSE, np.ones((3, 3)))
        return apart(FakeFeatures(seen, features.nbytes), reference)

    fake.decode = decode
    return fake


@pytest.fixture
def sharing_colony(colony):
    """Give it a sense of negative clicks: what is nearer to one than to a positive one is cut."""
    whole = colony.decode

    def decode(features, reference):
        decoded, labels = whole(features, reference), reference.numpy()
        if (labels == 0).any():
            to_it, to_other = (
                cv2.distanceTransform((labels != label).astype(np.uint8), cv2.DIST_L2, 5)
                for label in (4, 0)
            )
            r0, c0, r1, c1 = decoded.box
            decoded.logits[torch.from_numpy((to_it > to_other)[r0:r1, c0:c1])] = -10
        return decoded

    colony.decode = decode
    return colony


def cells(
    side: int = 12, gap: int = 2, first: int = 200, last: int = 800
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a colony of square cells; also return the one that holds (486, 514)."""
    image = np.zeros((1000, 1000))
    truth = np.zeros(image.shape, bool)
    starts = range(first, last, side + gap)
    for row in starts:
        for column in starts:
            image[row : row + side, column : column + side] = 1
            if row <= 486 < row + side and column <= 514 < column + side:
                truth[row : row + side, column : column + side] = True
    return image, truth


def test_a_box_shows_how_near_to_look(colony, iou):
    image, truth = cells()
    shape = image.shape
    predictor = Predictor(colony)
    predictor.set_image(image)
    cell, frame = Click(486, 514), box(478, 506, 493, 521)
    whole = predictor.predict([cell])
    assert iou(whole.to_full(shape), image > 0) > 0.7
    for prompts in ([cell, frame], [frame, cell], [Click(470, 514, False), frame, cell]):
        mask = predictor.predict(prompts)
        assert iou(mask.to_full(shape), truth) > 0.9
        assert mask.zoom > whole.zoom


def test_negative_clicks_far_away_do_not_keep_the_window_wide(sharing_colony, iou):
    image, truth = cells()
    predictor = Predictor(sharing_colony)
    predictor.set_image(image)
    clicks = [Click(486, 514)]
    assert iou(predictor.predict(clicks).to_full(image.shape), truth) < 0.01
    for row, column in ((-250, 0), (0, 250), (20, 0), (0, -20), (-20, 0), (0, 20)):
        clicks.append(Click(486 + row, 514 + column, positive=False))
    mask = predictor.predict(clicks)
    # All clicks lie in a window of 128 pixels at a zoom of 1/4 only.
    assert mask.zoom > 1
    assert iou(mask.to_full(image.shape), truth) > 0.9


def test_a_negative_click_deep_in_a_colony_shows_the_cell(sharing_colony, iou):
    image, truth = cells(26, 2, 388, 612)
    predictor = Predictor(sharing_colony)
    predictor.set_image(image)
    cell = Click(486, 514)
    whole = predictor.predict([cell])
    assert iou(whole.to_full(image.shape), image > 0) > 0.7
    mask = predictor.predict([cell, Click(530, 514, positive=False)])
    assert mask.zoom > whole.zoom
    assert iou(mask.to_full(image.shape), truth) > 0.9
    # One at the colony's border corrects that border.
    assert predictor.predict([cell, Click(600, 514, positive=False)]).zoom == whole.zoom


@pytest.mark.parametrize(
    ("row", "positive", "left", "expected"),
    [
        (30, False, 20, True),
        (30, True, 20, False),
        (6, False, 20, False),  # at the border
        (30, False, 48, False),  # hardly anything was cut off
        (130, False, 20, False),  # beyond the window
    ],
)
def test_masks_that_a_click_refutes(row, positive, left, expected):
    full = np.zeros((200, 200), bool)
    full[5:55, 5:55] = True
    after = full.copy()
    after[5 + left :] = False
    window = geometry.Window(1, 0, 0, 128, 128)
    click = Click(row, 30, positive)
    masks = Mask.from_full(full), Mask.from_full(after)
    assert refuted(*masks, window, (click,)) == expected
    assert refuted(*masks, window, ((Click(1, 1), click),)) == expected


def test_a_box_stays_in_view_however_small_its_object(fake, disc):
    truth = disc((1000, 1000), 500, 500, 5)
    predictor = Predictor(fake)
    predictor.set_image(truth)
    # A window of 128 pixels holds the box at this zoom, and would show the disc at four times it.
    assert predictor.predict([box(475, 475, 525, 525), Click(500, 500)]).zoom <= 2
    assert predictor.predict([Click(500, 500)]).zoom > 2


class Squares:
    """A stand-in that draws a square of another side, in image pixels, with each click.

    ``looks`` gets the zoom's exponent, the numbers of prompts and of clicks, and how many pixels
    were known of the mask, of each decoding.
    """

    def __init__(self, fake, monkeypatch):
        self.sides: dict[int, int] = {}
        self.looks: list[tuple[int, int, int, int]] = []
        step = Engine.step

        def noted(engine, features, reference, prompts, window):
            known = int((reference == int(Label.POSSIBLE_FOREGROUND)).sum())
            self.looks.append((window.exponent, len(prompts), len(flatten(prompts)), known))
            return step(engine, features, reference, prompts, window)

        monkeypatch.setattr(Engine, "step", noted)
        fake.decode = self.decode
        self.predictor = Predictor(fake)
        self.predictor.set_image(np.zeros((2000, 2000)))

    def decode(self, features, reference):
        exponent, _, clicks, _ = self.looks[-1]
        half = self.sides[clicks] * 2**exponent / 2
        row, column = np.argwhere(reference.numpy() == Label.DEFINITE_FOREGROUND).mean(0)
        height, width = reference.shape
        top, left = max(int(row - half), 0), max(int(column - half), 0)
        bottom, right = min(int(row + half), height), min(int(column + half), width)
        logits = torch.full((bottom - top, right - left), 5.0)
        return FakeDecoded(logits, (top, left, bottom, right))


@pytest.fixture
def squares(fake, monkeypatch):
    """Squares in windows of 128 pixels, which suit objects of 22 to 76 pixels."""
    return Squares(fake, monkeypatch)


@pytest.mark.parametrize("smaller", [16, 9])
def test_a_corrected_mask_is_taken_one_step_closer_as_it_is(squares, smaller):
    looks = squares.looks
    squares.sides = {1: 26, 2: 24, 3: smaller}
    clicks = [Click(1000, 1000), Click(1009, 1000, False), Click(1000, 1009, False)]
    for count in (1, 2):
        squares.predictor.predict(clicks[:count])
    assert looks == [(0, 1, 1, 0), (0, 2, 2, looks[1][3])]
    looks.clear()
    mask = squares.predictor.predict(clicks)
    if smaller == 16:
        (_, *same), (closer, *carried) = looks
        assert same[:2] == [3, 3]
        assert closer == 1
        assert carried[:2] == [1, 3]
        assert carried[2] > 0.8 * 4 * 16**2
        assert mask.zoom == 2
    else:  # further than one step it is drawn anew
        assert [look[:3] for look in looks] == [(0, 3, 3), (2, 1, 1), (2, 2, 2), (2, 3, 3)]


def test_what_only_a_near_look_has_shown_is_not_drawn_anew_from_afar(squares):
    squares.sides = {1: 60, 2: 18, 3: 20}
    clicks = [Click(1000, 1000), Click(1010, 1000, False), Click(1011, 1000)]
    assert squares.predictor.predict(clicks[:1]).zoom == 1
    assert squares.predictor.predict(clicks[:2]).zoom == 4
    squares.looks.clear()
    assert squares.predictor.predict(clicks).zoom == 2
    near, *wider = squares.looks
    assert near[:3] == (2, 3, 3)
    for exponent, prompts, _, known in wider:
        assert prompts == 1
        assert known > 0.8 * 4**exponent * 18**2
    # A click far away says that the near look was wrong: all begins anew.
    squares.sides[4] = 300
    squares.looks.clear()
    squares.predictor.predict([*clicks, Click(1150, 1000)])
    assert [look[1] for look in squares.looks[:4]] == [1, 2, 3, 4]


def test_a_negative_click_beyond_the_window_changes_nothing(fake, disc):
    truth = disc((4000, 4000), 2000, 2000, 25)
    predictor = Predictor(fake)
    predictor.set_image(truth)
    clicks = [Click(2000, 2000), Click(2030, 2000, positive=False)]
    mask, decoded = predictor.predict(clicks), fake.decoded
    beyond = [*clicks, Click(3000, 3000, positive=False)]
    assert predictor.predict(beyond).digest() == mask.digest()
    assert fake.decoded == decoded
    # Nor does it speak at the window's border, where it would be nearest.
    further = Click(2003, 2001)
    again = predictor.predict([*beyond, further])
    assert again.digest() == predictor.predict([*clicks, further]).digest()


def test_negative_clicks_alone_draw_nothing_and_do_no_harm(fake, disc, iou):
    truth = disc((300, 300), 100, 150, 20)
    predictor = Predictor(fake)
    predictor.set_image(truth)
    aside = Click(70, 150, positive=False)
    assert predictor.predict([aside]).area == 0
    assert fake.decoded == 0
    mask = predictor.predict([aside, Click(100, 150)])
    assert iou(mask.to_full(truth.shape), truth) > 0.95
    assert predictor.predict([aside], previous=truth.astype(bool)).area > 0


def test_the_search_widens_with_each_prompt():
    assert list(search_exponents(0, 1, -6, 3)) == [2, -2]
    assert list(search_exponents(0, 3, -5, 3)) == [2, -2, 3, -4, -5]
    assert list(search_exponents(3, 1, 3, 3)) == []


def test_the_search_gives_the_same_mask_again(choosy, disc):
    truth = disc((8192, 8192), 4000, 4100, 400)
    clicks = [Click(4000, 4100), Click(4200, 4100)]
    predictor = Predictor(choosy)
    masks = []
    for _ in range(2):
        predictor.set_image(truth)
        masks.append([predictor.predict(clicks[:n]) for n in (1, 2)][-1])
        predictor.set_image(truth)
        masks.append(predictor.predict(clicks))
    assert len({mask.digest() for mask in masks}) == 1


@pytest.mark.parametrize("exponent", [-2, 0, 2])
@pytest.mark.parametrize("shape", [(5000, 3001), (300, 90), (700, 260)])
def test_first_windows_are_all_that_clicks_can_get(shape, exponent):
    side = 256
    region = (30, 20, min(shape[0], 800), 80)
    windows = geometry.first_windows(region, shape, exponent, side)
    assert len(set(windows)) == len(windows)
    got = {
        geometry.place((r, c, r + 1, c + 1), shape, exponent, side)
        for r in range(region[0], region[2])
        for c in range(region[1], region[3], 3)
    }
    assert got <= set(windows)
    assert len(windows) <= len(got) + 2


def test_shipped_weights_draw_a_large_and_a_small_object_of_one_image():
    """A lighter version of ``inter2former benchmark --suite scale``."""
    scene = textures((2048, 2048), ((1000.0, (900.0, 950.0)), (12.0, (1800.0, 1750.0))))
    predictor = Predictor("tiny")
    predictor.set_image(scene["nuclei_fluorescence"])
    for number in (0, 1):
        assert max(click_object(predictor, scene["nuclei_fluorescence"], number)) >= 0.9


def test_iou_of_masks_by_their_boxes():
    a, b = np.zeros((9, 9), bool), np.zeros((9, 9), bool)
    a[1:5, 2:6] = b[3:8, 4:9] = True
    expected = np.count_nonzero(a & b) / np.count_nonzero(a | b)
    assert iou_of(Mask.from_full(a), Mask.from_full(b)) == pytest.approx(expected)
