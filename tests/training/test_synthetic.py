"""Synthetic scenes, superpixels and targets beyond whole objects."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from napari_inter2former.training.sampling import SamplingOptions, draw_synthetic
from napari_inter2former.training.synthetic import draw_scene, draw_superpixels
from napari_inter2former.training.synthetic.appearance import phase_contrast
from napari_inter2former.training.synthetic.scene import ground
from napari_inter2former.training.synthetic.shapes import SHAPES, depth, packed
from napari_inter2former.training.targets import (
    MIN_VISIBLE,
    draw_targets,
    gap,
    group,
    piece,
    redrawn,
    with_other_borders,
)

PLAIN = SamplingOptions(side=96, objects=2, union=0, parts=0, background=0, superpixels=0)


def test_scenes_have_the_promised_form_and_come_again_from_their_seed() -> None:
    for seed in range(30):
        pixels, labels = draw_scene(96, np.random.default_rng(seed))
        assert pixels.shape == (96, 96, 3)
        assert pixels.dtype == np.uint8
        assert labels.shape == (96, 96)
        assert labels.dtype == np.int32
        assert labels.min() >= 0
        assert labels.max() > 0
        assert pixels.std() > 1
    again = draw_scene(96, np.random.default_rng(29))
    assert np.array_equal(again[0], pixels)
    assert np.array_equal(again[1], labels)


def test_borders_of_objects_are_mostly_to_be_seen() -> None:
    better = 0
    for seed in range(60):
        pixels, labels = draw_scene(128, np.random.default_rng(seed))
        grey = cv2.GaussianBlur(pixels.mean(2).astype(np.float32), (0, 0), 1)
        slope = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
        border = depth(labels) <= 2
        better += border.any() and slope[border].mean() > 1.1 * slope.mean()
    assert better >= 40


def test_phase_contrast_has_halos_and_cells_of_either_brightness() -> None:
    labels = np.zeros((160, 160), np.int32)
    labels[60:100, 40:48] = 1
    labels[60:100, [*range(50, 58), *range(60, 68), *range(70, 78)]] = 2
    labels[60:100, 60:68], labels[60:100, 70:78] = 3, 4
    kinds = set()
    for seed in range(20):
        rng = np.random.default_rng(seed)
        image = phase_contrast(labels, np.array([0, 1, 1, 1, 1]), depth(labels), rng)
        far, halo = image[10, 140], image[65:95, 37:39].mean()
        first, inner = (image[65:95, c : c + 2].mean() for c in (43, 63))
        dark = np.sign(first)
        kinds.add(dark)
        assert abs(far) < 0.05
        assert halo * dark < far * dark < inner * dark
    assert kinds == {-1, 1}


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_every_shape_yields_objects_of_about_the_size_asked_for(shape: object) -> None:
    assert callable(shape)
    rng = np.random.default_rng(0)
    areas = []
    for _ in range(10):
        labels = shape(128, 30.0, rng)
        assert labels.dtype == np.int32
        assert labels.min() >= 0
        areas += [n for n in np.bincount(labels.ravel())[1:] if n]
    assert 10 < np.sqrt(np.mean(areas)) < 90


def test_packed_rods_are_long_and_have_neighbours_on_most_sides() -> None:
    crowded, long = [], []
    for seed in range(20):
        labels = packed(160, 20.0, np.random.default_rng(seed))
        for number in range(1, labels.max() + 1):
            rod = labels == number
            around = cv2.dilate(rod.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
            crowded.append(len(np.unique(labels[around])) - 1 > 2)
            (_, _), sides, _ = cv2.minAreaRect(np.argwhere(rod).astype(np.float32))
            long.append((max(sides) + 1) / (min(sides) + 1))
    assert len(crowded) > 200
    assert np.mean(crowded) > 0.8
    assert np.median(long) > 1.5


@pytest.mark.parametrize("side", [16, 33, 100])
def test_packed_rods_of_any_size_fit_in_maps_of_any_size(side: int) -> None:
    rng = np.random.default_rng(0)
    for size in (4.0, 17.0, 60.0, 150.0):
        for _ in range(10):
            assert packed(side, size, rng).shape == (side, side)


def test_the_ground_of_a_crowd_is_what_lies_between() -> None:
    labels = np.zeros((60, 60), np.int32)
    labels[10:30, 10:20], labels[10:30, 24:34], labels[50:55, 50:55] = 1, 2, 3
    under = ground(labels, 3.0)
    assert under[labels > 0].all()
    assert under[12:28, 20:24].all()
    assert not under[40:48].any()


def test_superpixels_follow_the_image() -> None:
    labels = np.zeros((120, 150), np.int32)
    cv2.circle(labels, (40, 60), 25, 1, -1)
    cv2.rectangle(labels, (90, 30), (140, 90), 2, -1)
    image = np.array([[20, 20, 20], [200, 120, 90], [60, 200, 80]], np.uint8)[labels]
    for seed in range(5):
        regions = draw_superpixels(image, np.random.default_rng(seed))
        assert regions.shape == labels.shape
        assert regions.min() >= 1
        for label in (1, 2):
            region = regions == np.bincount(regions[labels == label]).argmax()
            both = np.count_nonzero(region & (labels == label))
            assert both / np.count_nonzero(region | (labels == label)) > 0.85
    assert (draw_superpixels(np.zeros((40, 50, 3), np.uint8), np.random.default_rng(0)) == 1).all()


def test_every_pixel_of_a_noisy_image_has_a_superpixel() -> None:
    """Where watershed lines meet at a corner no neighbour has a region."""
    for seed, side in ((29, 16), (444, 16), (13, 24), (167, 24), (27, 48)):
        rng = np.random.default_rng(seed)
        image = rng.integers(0, 256, (side, side, 3), np.uint8)
        assert draw_superpixels(image, rng).min() >= 1


def drawn() -> tuple[np.ndarray, np.ndarray]:
    """Return an image and labels: two squares that touch, and one by itself."""
    labels = np.zeros((96, 96), np.int32)
    labels[10:40, 10:40], labels[10:40, 40:70], labels[60:90, 60:90] = 4, 7, 9
    pixels = np.random.default_rng(0).integers(0, 50, (96, 96, 3), dtype=np.uint8)
    pixels[10:40, 10:25] += 150  # the left half of the first
    return pixels, labels


def test_targets_are_whole_objects_unless_asked_for_otherwise() -> None:
    pixels, labels = drawn()
    for seed in range(10):
        targets = draw_targets(pixels, labels, PLAIN, np.random.default_rng(seed))
        assert targets is not None
        assert targets.shape == (2, 96, 96)
        for target in targets:
            assert any(np.array_equal(target, labels == label) for label in (4, 7, 9))
    assert draw_targets(pixels, labels * 0, PLAIN, np.random.default_rng(0)) is None


def test_groups_are_what_touches() -> None:
    _, labels = drawn()
    assert np.array_equal(group(labels, labels == 4), np.isin(labels, (4, 7)))
    assert np.array_equal(group(labels, labels == 9), labels == 9)


def test_pieces_are_smaller_connected_and_inside() -> None:
    pixels, labels = drawn()
    target = labels == 4
    left = target & (pixels[..., 0] > 100)
    smaller = cut_by_appearance = 0
    for seed in range(40):
        part = piece(pixels, target, np.random.default_rng(seed))
        assert not (part & ~target).any()
        assert part.sum() >= MIN_VISIBLE
        assert cv2.connectedComponents(part.astype(np.uint8))[0] == 2
        smaller += part.sum() < target.sum()
        cut_by_appearance += min((part ^ left).sum(), (part ^ (target & ~left)).sum()) < 60
    assert smaller >= 30
    assert cut_by_appearance >= 8
    speck = np.zeros_like(target)
    speck[5:12, 5:12] = True  # too small to be cut
    assert np.array_equal(piece(pixels, speck, np.random.default_rng(0)), speck)


def test_gaps_are_connected_background() -> None:
    labels = np.zeros((60, 60), np.int32)
    labels[:, 28:32] = 1
    seen = {gap(labels, np.random.default_rng(seed)).tobytes() for seed in range(12)}  # type: ignore[union-attr]
    assert len(seen) == 2
    assert gap(np.ones((60, 60), np.int32), np.random.default_rng(0)) is None


def test_borders_are_drawn_further_in_or_out_but_never_into_other_objects() -> None:
    labels = np.zeros((80, 80), np.int32)
    cv2.circle(labels, (30, 40), 22, 1, -1)
    labels[:, 55:] = 2
    target = labels == 1
    inside, outside = (
        cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5) for mask in (target, ~target)
    )
    seen = [redrawn(labels, target, np.random.default_rng(seed)) for seed in range(40)]
    for mask in seen:
        assert not (mask & (labels == 2)).any()
        assert not (mask & ~target).any() or not (target & ~mask).any()
        # A tenth of the size, 39 pixels, is less than four.
        assert not (mask & (outside > 4)).any()
        assert mask[inside > 4].all()
    areas = [int(mask.sum()) for mask in seen]
    assert min(areas) < 0.85 * target.sum()
    assert max(areas) > 1.15 * target.sum()
    # Where the crop cuts an object there is no border, and thin ones are not eaten up.
    half = labels == 2
    assert all(redrawn(labels, half, np.random.default_rng(seed))[:, -1].all() for seed in range(9))
    thin = np.zeros((80, 80), bool)
    thin[40:43, 5:75] = True
    assert all(
        (redrawn(thin.astype(np.int32), thin, np.random.default_rng(seed)) & thin).sum() >= 105
        for seed in range(20)
    )


def test_targets_are_redrawn_as_often_as_asked_among_their_crops_objects() -> None:
    left, right = np.zeros((2, 80, 80), np.int32)
    cv2.circle(left, (30, 40), 20, 1, -1)
    cv2.circle(right, (50, 40), 20, 1, -1)
    left[:, 52:] = 2
    right[:, :28] = 2
    labels = np.stack([left, right])
    targets = np.repeat(labels == 1, 30, axis=0)
    for share in (0.0, 0.5, 1.0):
        found = with_other_borders(targets, labels, share, np.random.default_rng(0))
        assert abs(np.mean((found != targets).any((1, 2))) - share) < 0.2
        assert not (found & np.repeat(labels == 2, 30, axis=0)).any()
    assert np.array_equal(targets, np.repeat(labels == 1, 30, axis=0))


def test_synthetic_crops_are_like_real_ones() -> None:
    options = SamplingOptions(side=96, objects=3)
    drawn = [draw_synthetic(options, np.random.default_rng(seed)) for seed in range(100)]
    found = [crop for crop in drawn if crop]
    assert len(found) >= 90
    for image, targets, labels in found:
        assert image.dtype == np.float32
        assert 0 <= image.min() <= image.max() <= 1
        assert targets.shape == (3, 96, 96)
        assert (targets.sum((1, 2)) >= MIN_VISIBLE).all()
        assert labels.dtype == np.int32
