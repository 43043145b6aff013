"""Clicks are decoded on pieces of a window."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from napari_inter2former.everything import segment_everything
from napari_inter2former.everything._decode import (
    PIECE,
    _near,
    decode_first_clicks,
    encode,
    propose_clicks,
)
from napari_inter2former.model import reference_mask as rm
from napari_inter2former.training.auxiliary import dense_targets

from ..networks import smallest_model


@pytest.fixture(scope="module", params=["hybrid", "full", "quantized"])
def model(request):
    return smallest_model(attention=request.param)


@pytest.mark.parametrize("shape", [(300, 260), (100, 330), (40, 30)])
def test_pieces_lie_round_their_clicks(model, shape):
    pixels = np.random.default_rng(0).random((*shape, 3), dtype=np.float32)
    features = encode(model, pixels)
    rows, columns = np.random.default_rng(1).integers(0, shape, (8, 2)).T
    drawn = zip(rows.tolist(), columns.tolist(), strict=True)
    clicks = [(0, 0), (shape[0] - 1, shape[1] - 1), *drawn]
    pieces = decode_first_clicks(model, features, clicks)
    assert any(piece.logits.size for piece in pieces)
    for (row, column), (logits, box, frame, _) in zip(clicks, pieces, strict=True):
        assert frame[0] <= row < frame[2] <= shape[0]
        assert frame[1] <= column < frame[3] <= shape[1]
        assert logits.shape == (box[2] - box[0], box[3] - box[1])
        if logits.size:
            assert frame[0] <= box[0] < box[2] <= frame[2]
            assert frame[1] <= box[1] < box[3] <= frame[3]
        axes = ((*frame[::2], shape[0], row), (*frame[1::2], shape[1], column))
        for start, stop, length, at in axes:
            # As much as possible on both sides.
            assert start == 0 or at - start >= 16 * (PIECE // 2 - 1) or stop == length
            assert stop == length or stop - at >= 16 * (PIECE // 2 - 1) or start == 0


def test_a_click_draws_what_the_models_own_decoder_draws_there(model):
    """Of a small window, which is one piece."""
    pixels = np.random.default_rng(0).random((150, 180, 3), dtype=np.float32)
    features = encode(model, pixels)
    rows, columns = np.random.default_rng(1).integers(0, (150, 180), (20, 2)).T
    clicks = list(zip(rows.tolist(), columns.tolist(), strict=True))
    drawn = 0
    for click, piece in zip(clicks, decode_first_clicks(model, features, clicks), strict=True):
        assert piece.frame == (0, 0, 150, 180)
        reference = rm.new(150, 180)
        rm.add_click(reference, *click, positive=True)
        logits, box, _ = model.decode(features, reference)
        whole = np.full((150, 180), -100.0, np.float32)
        whole[box[0] : box[2], box[1] : box[3]] = logits.numpy()
        r0, c0, r1, c1 = piece.box
        np.testing.assert_allclose(piece.logits, whole[r0:r1, c0:c1], atol=1e-4)
        drawn += piece.logits.size > 0
    assert drawn


def test_only_what_is_connected_with_the_click_is_upsampled():
    low = torch.full((9, 12), -3.0)
    low[2:4, 3:5] = low[7, 10] = 2.0
    assert _near(low, (3, 4)) == (1, 2, 5, 6)
    assert _near(low, (7, 10)) == (6, 9, 9, 12)
    assert _near(low, (5, 5)).empty


def test_the_plain_decoder_draws_the_same(model):
    pixels = np.random.default_rng(0).random((200, 330, 3), dtype=np.float32)
    features = encode(model, pixels)
    rows, columns = np.random.default_rng(1).integers(0, (200, 330), (12, 2)).T
    clicks = list(zip(rows.tolist(), columns.tolist(), strict=True))
    plain = decode_first_clicks(model, replace(features, decoder=None), clicks)
    for piece, twin in zip(decode_first_clicks(model, features, clicks), plain, strict=True):
        assert piece.frame == twin.frame
        assert piece.box == twin.box
        np.testing.assert_allclose(piece.logits, twin.logits, atol=1e-3)
        assert piece.iou == (None if twin.iou is None else pytest.approx(twin.iou, abs=1e-3))


def test_threads_change_nothing(model):
    pixels = np.random.default_rng(0).random((200, 330, 3), dtype=np.float32)
    features = encode(model, pixels)
    rows, columns = np.random.default_rng(1).integers(0, (200, 330), (12, 2)).T
    clicks = list(zip(rows.tolist(), columns.tolist(), strict=True))
    threads = torch.get_num_threads()
    drawn = []
    try:
        for n in (1, 3):
            torch.set_num_threads(n)
            drawn.append(decode_first_clicks(model, features, clicks))
            assert torch.get_num_threads() == n
    finally:
        torch.set_num_threads(threads)
    for piece, other in zip(*drawn, strict=True):
        assert piece[1:] == other[1:]
        np.testing.assert_array_equal(piece.logits, other.logits)


def test_what_the_network_draws_between_two_clicks_changes_nothing(model):
    """The widget's search lets the user's clicks go first wherever it is."""
    pixels, other = np.random.default_rng(0).random((2, 150, 180, 3), dtype=np.float32)
    clicks = [(70, 40), (20, 100), (120, 150), (75, 90)]
    features = encode(model, pixels)
    expected = decode_first_clicks(model, features, clicks)
    drawn = decode_first_clicks(model, features, clicks[:2])
    decode_first_clicks(model, encode(model, other), [(30, 30), (100, 60)])
    drawn += decode_first_clicks(model, features, clicks[2:])
    for piece, again in zip(expected, drawn, strict=True):
        assert piece.box == again.box
        np.testing.assert_array_equal(piece.logits, again.logits)


def test_the_network_gives_the_same_labels_every_time(model):
    image = np.random.default_rng(0).integers(0, 255, (150, 170), dtype=np.uint8)
    first, second = (segment_everything(image, model) for _ in range(2))
    assert (first.labels == second.labels).all()


class Oracle:
    """In place of an `ObjectHead`: the maps of known labels."""

    def __init__(self, labels):
        self.labels = torch.from_numpy(labels)[None]

    def __call__(self, features):
        targets = dense_targets(self.labels)
        logits = [torch.where(x, 4.0, -4.0) for x in (targets.foreground, targets.border)]
        return torch.cat((torch.stack(logits, -1), targets.offsets), -1)


def test_clicks_are_proposed_in_the_middle_of_each_object():
    labels = np.zeros((160, 208), np.int32)
    rows, columns = np.mgrid[:160, :208]
    centres = [(30, 40), (30, 90), (120, 150)]
    for number, (row, column) in enumerate(centres, start=1):
        labels[(rows - row) ** 2 + (columns - column) ** 2 <= 24**2] = number
    grid = [(r, c) for r in range(8, 160, 32) for c in range(8, 208, 32)]
    model = smallest_model()
    features = encode(model, np.zeros((160, 200, 3), np.float32))
    model.objects = None
    assert propose_clicks(model, features, grid) == ([], grid)
    network = SimpleNamespace(objects=Oracle(labels))
    seen, rest = propose_clicks(network, features, [(r, c) for r, c in grid if c < 200])
    assert len(seen) == 3
    assert np.abs(np.array(seen) - centres).max() <= 6
    # The grid is clicked where there may be something more than what is seen.
    assert 0 < len(rest) < len(grid) / 2
    assert all(labels[r - r % 4 + 2, c - c % 4 + 2] for r, c in rest)
    blind = SimpleNamespace(objects=Oracle(np.zeros_like(labels)))
    assert propose_clicks(blind, features, grid) == ([], grid)


@pytest.mark.parametrize("shape", [(1, 1), (33, 50), (160, 300)])
def test_the_networks_own_proposals_lie_in_the_window(shape):
    model = smallest_model()
    with torch.no_grad():
        model.objects.out.bias[0] = 5  # everything is foreground
        model.objects.out.weight[2:] *= 0.1
    features = encode(model, np.random.default_rng(0).random((*shape, 3), dtype=np.float32))
    clicks, _ = propose_clicks(model, features, [])
    assert clicks
    assert all(0 <= r < shape[0] and 0 <= c < shape[1] for r, c in clicks)


def test_nothing_is_seen_in_the_padding():
    labels = np.zeros((64, 64), np.int32)
    labels[40:60, 4:24] = 1
    features = SimpleNamespace(shape=(30, 64))
    assert propose_clicks(SimpleNamespace(objects=Oracle(labels)), features, [(8, 8)]) == (
        [],
        [(8, 8)],
    )
