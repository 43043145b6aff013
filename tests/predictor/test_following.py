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


def cells() -> tuple[np.ndarray, np.ndarray]:
    """Draw a colony of square cells; also return one of them, round (486, 514)."""
    image = np.zeros((1000, 1000))
    for row in range(200, 800, 14):
        for column in range(200, 800, 14):
            image[row : row + 12, column : column + 12] = 1
    truth = np.zeros(image.shape, bool)
    truth[480:492, 508:520] = True
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


def test_negative_clicks_far_away_do_not_keep_the_window_wide(colony, iou):
    image, truth = cells()
    whole = colony.decode

    def nearest(features, reference):
        """Give what is nearer to a negative click than to a positive one to another object."""
        decoded, labels = whole(features, reference), reference.numpy()
        if (labels == 0).any():
            to_it, to_other = (
                cv2.distanceTransform((labels != label).astype(np.uint8), cv2.DIST_L2, 5)
                for label in (4, 0)
            )
            r0, c0, r1, c1 = decoded.box
            decoded.logits[torch.from_numpy((to_it > to_other)[r0:r1, c0:c1])] = -10
        return decoded

    colony.decode = nearest
    predictor = Predictor(colony)
    predictor.set_image(image)
    clicks = [Click(486, 514)]
    assert iou(predictor.predict(clicks).to_full(image.shape), truth) < 0.01
    for row, column in ((-250, 0), (0, 250), (20, 0), (0, -20), (-20, 0), (0, 20)):
        clicks.append(Click(486 + row, 514 + column, positive=False))
    mask = predictor.predict(clicks)
    # All clicks lie in a window of 128 pixels at a zoom of 1/4 only.
    assert mask.zoom > 1
    assert iou(mask.to_full(image.shape), truth) > 0.9


def test_a_box_stays_in_view_however_small_its_object(fake, disc):
    truth = disc((1000, 1000), 500, 500, 5)
    predictor = Predictor(fake)
    predictor.set_image(truth)
    # A window of 128 pixels holds the box at this zoom, and would show the disc at four times it.
    assert predictor.predict([box(475, 475, 525, 525), Click(500, 500)]).zoom <= 2
    assert predictor.predict([Click(500, 500)]).zoom > 2


def test_a_corrected_mask_is_taken_one_step_closer_as_it_is(fake, monkeypatch):
    """Squares that are smaller with each click, whatever the zoom."""
    looks = []
    step = Engine.step

    def noted(self, features, reference, prompts, window):
        known = int((reference == int(Label.POSSIBLE_FOREGROUND)).sum())
        looks.append((window.exponent, len(prompts), len(flatten(prompts)), known))
        return step(self, features, reference, prompts, window)

    def decode(features, reference):
        half = sides[looks[-1][2]] * 2 ** looks[-1][0] / 2
        row, column = np.argwhere(reference.numpy() == Label.DEFINITE_FOREGROUND).mean(0)
        box = (int(row - half), int(column - half), int(row + half), int(column + half))
        return FakeDecoded(torch.full((box[2] - box[0], box[3] - box[1]), 5.0), box)

    monkeypatch.setattr(Engine, "step", noted)
    fake.decode = decode
    predictor = Predictor(fake)
    predictor.set_image(np.zeros((2000, 2000)))
    clicks = [Click(1000, 1000), Click(1009, 1000, False), Click(1000, 1009, False)]
    # A window of 128 pixels suits objects of 22 pixels and more.
    sides = {1: 26, 2: 24, 3: 16}
    for count in (1, 2):
        predictor.predict(clicks[:count])
    assert looks == [(0, 1, 1, 0), (0, 2, 2, looks[1][3])]
    looks.clear()
    mask = predictor.predict(clicks)
    (_, *same), (closer, *carried) = looks
    assert same[:2] == [3, 3]
    assert closer == 1
    assert carried[:2] == [1, 3]
    assert carried[2] > 0.8 * 4 * 16**2
    assert mask.zoom == 2
    # Further away than one step it is drawn anew.
    sides[3] = 9
    predictor = Predictor(fake)
    predictor.set_image(np.zeros((2000, 2000)))
    predictor.predict(clicks[:2])
    looks.clear()
    predictor.predict(clicks)
    assert [look[:3] for look in looks] == [(0, 3, 3), (2, 1, 1), (2, 2, 2), (2, 3, 3)]


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
