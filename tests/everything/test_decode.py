"""Clicks decoded together equal clicks decoded one by one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_inter2former.everything import segment_everything
from napari_inter2former.everything._decode import PIECE, decode_first_clicks, encode
from napari_inter2former.model import PRESETS, build_model
from napari_inter2former.model import reference_mask as rm
from napari_inter2former.model.inter2former import ImageFeatures


@pytest.fixture(scope="module", params=["hybrid", "full", "quantized"])
def model(request):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_model(
            replace(
                PRESETS["tiny"],
                window=96,
                stem_channels=(4, 4, 8, 8),
                encoder_dim=16,
                encoder_depth=4,
                encoder_heads=2,
                dim=16,
                decoder_depth=2,
                head_dim=8,
                expert_hidden=16,
                prompt_channels=(4, 8, 8),
                upsampling_channels=(8, 4, 4),
                attention=request.param,
            )
        )


@pytest.mark.parametrize("shape", [(300, 260), (100, 330), (40, 30)])
def test_batches_equal_single_clicks(model, shape):
    pixels = np.random.default_rng(0).random((*shape, 3), dtype=np.float32)
    features = encode(model, pixels)
    rows, columns = np.random.default_rng(1).integers(0, shape, (20, 2)).T
    clicks = list(zip(rows.tolist(), columns.tolist(), strict=True))
    assert any(piece.logits.size for piece in decode_first_clicks(model, features, clicks))
    for click, piece in zip(clicks, decode_first_clicks(model, features, clicks), strict=True):
        r0, c0, r1, c1 = (n // 16 for n in (*piece.frame[:2], 0, 0))
        r1, c1 = r0 + PIECE, c0 + PIECE
        part = ImageFeatures(
            features.tokens[:, r0:r1, c0:c1],
            [
                edge[:, r0 * s : r1 * s, c0 * s : c1 * s]
                for edge, s in zip(features.edges, (2, 4, 8, 16), strict=True)
            ],
            tuple(min(a, b) - z * 16 for a, b, z in zip(
                (r1 * 16, c1 * 16), (-(-n // 16) * 16 for n in shape), (r0, c0), strict=True)),
            features.background,
        )  # fmt: skip
        reference = rm.new(*part.shape)
        rm.add_click(reference, click[0] - r0 * 16, click[1] - c0 * 16, positive=True)
        single = model.decode(part, reference)
        whole = np.full(part.shape, -100.0, np.float32)
        whole[single.box[0] : single.box[2], single.box[1] : single.box[3]] = single.logits
        expected = whole[: shape[0] - r0 * 16, : shape[1] - c0 * 16]
        drawn = np.full(expected.shape, -100.0, np.float32)
        top, left = piece.box[0] - r0 * 16, piece.box[1] - c0 * 16
        h, w = piece.logits.shape
        drawn[top : top + h, left : left + w] = piece.logits
        np.testing.assert_allclose(drawn, expected, atol=2e-4)


def test_the_network_gives_the_same_labels_every_time(model):
    image = np.random.default_rng(0).integers(0, 255, (150, 170), dtype=np.uint8)
    first, second = (segment_everything(image, model) for _ in range(2))
    assert (first.labels == second.labels).all()
