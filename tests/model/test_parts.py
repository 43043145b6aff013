"""Each part of the decoder against its equation, or its plain twin."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_inter2former.model import ModelConfig
from napari_inter2former.model import reference_mask as rm
from napari_inter2former.model.attention import (
    BinarySphericalQuantizer,
    HybridAttention,
    VectorQuantizer,
    codebook_attention,
    edge_tokens,
)
from napari_inter2former.model.experts import BALANCE_STEP, HybridExperts
from napari_inter2former.model.layers import Rope, rotate, upsampled_convolution
from napari_inter2former.model.prompt_embedding import PromptEmbedding, TokenBox, prompt_box
from napari_inter2former.model.quality import IoUHead
from napari_inter2former.model.upsampling import object_box


def clicked(height: int, width: int, clicks: list[tuple[int, int, bool]]) -> torch.Tensor:
    """Return a reference mask of possible background with a few clicks."""
    reference = rm.from_mask(torch.zeros(height, width, dtype=torch.bool))
    for click in clicks:
        rm.add_click(reference, *click)
    return reference


def test_reference_mask_follows_the_rules() -> None:
    labels = torch.arange(5, dtype=torch.uint8).repeat(2, 1)
    predicted = torch.tensor([[False] * 5, [True] * 5])
    rm.update(labels, predicted)
    # A contradicted possible label becomes unknown, unknown becomes possible, definite stays.
    assert labels.tolist() == [[0, 1, 1, 2, 4], [0, 2, 3, 3, 4]]


def test_click_is_a_disc_of_radius_five_cut_at_the_border() -> None:
    reference = rm.new(30, 20)
    rm.add_click(reference, 15, 1, True)
    rows, columns = np.mgrid[:30, :20]
    disc = (rows - 15) ** 2 + (columns - 1) ** 2 <= 25
    assert np.array_equal(reference.numpy(), np.where(disc, 4, 2))
    rm.add_click(reference, 15, 1, False)
    assert np.array_equal(reference.numpy(), np.where(disc, 0, 2))


@pytest.mark.parametrize("fine", [False, True])
def test_click_outside_writes_nothing(fine: bool) -> None:
    reference = rm.new(4, 4)
    rm.add_click(reference, -50, 2, True, fine)
    assert (reference == rm.Label.UNKNOWN).all()
    rm.add_click(reference, -4, 2, True, fine)  # a part of its disc is inside
    assert (reference == rm.Label.DEFINITE_FOREGROUND).sum() == 5


def band(first: int, last: int) -> torch.Tensor:
    """Return a reference mask (40, 40) with possible foreground in some rows."""
    mask = torch.zeros(40, 40, dtype=torch.bool)
    mask[first:last] = True
    return rm.from_mask(mask)


@pytest.mark.parametrize(
    ("row", "positive", "reach"),
    [
        (22, False, 3),  # false foreground three rows from the border: rows 20 to 24
        (24, False, 1),  # at the border: the click and its neighbours
        (25, True, 1),  # missed, next to the mask
        (28, True, 4),
        (37, True, 6),  # far from the mask: the whole disc, cut by the image's border
        (12, True, 3),  # right already: not beyond the mask either
        (2, False, 6),  # right already, far from the mask
    ],
)
def test_fine_disc_ends_before_the_border_of_the_mask(row: int, positive: bool, reach: int) -> None:
    before = band(10, 25)
    reference = before.clone()
    rm.add_click(reference, row, 20, positive, fine=True)
    rows, columns = np.mgrid[:40, :40]
    squared = (rows - row) ** 2 + (columns - 20) ** 2
    disc = squared < max(min(reach**2, 26), 3)
    value = rm.Label.DEFINITE_FOREGROUND if positive else rm.Label.DEFINITE_BACKGROUND
    assert np.array_equal(reference.numpy(), np.where(disc, value, before.numpy()))


def test_first_fine_disc_is_whole_and_discs_of_a_scribble_do_not_end_each_other() -> None:
    fine, plain = rm.new(40, 40), rm.new(40, 40)
    for column in (10, 14, 18):
        rm.add_click(fine, 20, column, True, fine=True)
        rm.add_click(plain, 20, column, True)
    assert torch.equal(fine, plain)
    before = band(0, 8)
    missed, plain = before.clone(), before.clone()
    for column in (10, 13, 16):
        rm.add_click(missed, 30, column, True, fine=True, before=before)
        rm.add_click(plain, 30, column, True)
    assert torch.equal(missed, plain)


@settings(deadline=None, max_examples=30)
@given(
    st.lists(
        st.tuples(st.integers(0, 95), st.integers(0, 127), st.booleans()), min_size=1, max_size=3
    )
)
def test_dynamic_prompt_embedding_equals_the_full_one(clicks: list[tuple[int, int, bool]]) -> None:
    torch.manual_seed(0)
    prompt = PromptEmbedding(ModelConfig(dim=16, prompt_channels=(4, 6, 8)))
    reference = clicked(96, 128, clicks)
    box = prompt_box(reference, 16)
    full = prompt(reference[None])
    part = prompt.dynamic(reference, box)
    for whole, local, vector, scale in zip(
        full, part, prompt.background(), (8, 4, 2, 1), strict=True
    ):
        expected = vector.expand_as(whole[0]).clone()
        expected[box.slices(scale)] = local
        torch.testing.assert_close(expected, whole[0], rtol=0, atol=1e-5)


def test_prompt_embedding_tells_all_labels_apart() -> None:
    torch.manual_seed(0)
    prompt = PromptEmbedding(ModelConfig())
    planes = torch.arange(5, dtype=torch.uint8)[:, None, None].expand(-1, 32, 32)
    tokens = prompt(planes)[-1][:, -1, -1]
    assert (torch.cdist(tokens, tokens) + torch.eye(5) > 1e-4).all()


def test_prompt_box_of_a_blank_mask_is_empty() -> None:
    assert prompt_box(clicked(32, 32, []), 16).empty


def test_edge_tokens_are_those_with_local_variance_or_unknown_pixels() -> None:
    generator = torch.Generator().manual_seed(1)
    reference = clicked(96, 80, [(40, 30, True)])
    reference[60:70, 10:60] = 3
    reference[int(torch.randint(96, (), generator=generator)), 77] = 2
    x = reference[None, None].double()
    # Eq. 4 as written, with the mask repeated beyond its border.
    padded = F.pad(x, (3, 3, 3, 3), mode="replicate")
    variance = F.avg_pool2d(padded**2, 7, 1) - F.avg_pool2d(padded, 7, 1) ** 2
    pixels = (variance > 1e-9) | (x == 2)
    expected = F.max_pool2d(pixels.float(), 16)[0, 0] > 0
    assert torch.equal(edge_tokens(reference[None], 16)[0], expected)


@pytest.mark.parametrize("kind", [BinarySphericalQuantizer, VectorQuantizer])
def test_linear_attention_equals_attention_to_quantised_keys(kind: type) -> None:
    torch.manual_seed(0)
    quantizer = kind(2, 32, 8)
    query, key, value = torch.randn(3, 2, 700, 32)
    quantised, _ = quantizer(key[None])
    expected = F.scaled_dot_product_attention(query[None], quantised, value[None])[0]
    result = codebook_attention(query, quantizer.codebook(), quantizer.codes(key), value)
    torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-5)


def test_codebook_entry_of_a_code_is_the_quantised_key() -> None:
    quantizer = BinarySphericalQuantizer(1, 16, 8)
    key = torch.randn(1, 50, 16)
    quantised, _ = quantizer(key[None])
    torch.testing.assert_close(quantizer.codebook()[0][quantizer.codes(key)[0]], quantised[0, 0])


def test_quantiser_passes_gradients_straight_through() -> None:
    quantizer = BinarySphericalQuantizer(1, 16, 8)
    key = torch.randn(1, 1, 50, 16, requires_grad=True)
    quantised, commitment = quantizer(key)
    quantised.sum().backward()
    assert key.grad is not None
    assert key.grad.abs().sum() > 0
    assert 0 < commitment < 2


def attention(mode: str, config: ModelConfig) -> HybridAttention:
    """Return an attention layer in one of the modes."""
    torch.manual_seed(0)
    return HybridAttention(replace(config, attention=mode)).eval()


def test_all_full_attention_is_rotary_attention(config: ModelConfig) -> None:
    layer = attention("full", config)
    tokens = torch.randn(1, 12 * 9, config.dim)
    query, key, value = layer.split(tokens)
    cos, sin = Rope(config.head_dim, 0.5, 1e4).table(12, 9, tokens.device)
    expected = F.scaled_dot_product_attention(
        rotate(query, (cos, sin)), rotate(key, (cos, sin)), value
    )
    expected = layer.project(expected.transpose(1, 2).flatten(2))[0]
    edge = torch.rand(12 * 9) > 0.5
    torch.testing.assert_close(layer.dynamic(tokens[0], edge, (12, 9)), expected)
    torch.testing.assert_close(layer(tokens, edge[None], (12, 9))[0][0], expected)


@pytest.mark.parametrize("mode", ["hybrid", "full", "quantized"])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_dynamic_attention_equals_its_plain_twin(
    config: ModelConfig, mode: str, share: float
) -> None:
    layer = attention(mode, config)
    tokens, edge = torch.randn(20 * 7, config.dim), torch.rand(20 * 7) < share
    plain, _ = layer(tokens[None], edge[None], (20, 7))
    torch.testing.assert_close(layer.dynamic(tokens, edge, (20, 7)), plain[0], rtol=1e-5, atol=1e-5)


def test_rotary_attention_depends_on_offsets_only() -> None:
    rope = Rope(32, 0.5, 1e4)
    cos, sin = rope.table(10, 10, torch.device("cpu"))
    query, key = torch.randn(2, 32)

    def score(a: tuple[int, int], b: tuple[int, int]) -> torch.Tensor:
        i, j = a[0] * 10 + a[1], b[0] * 10 + b[1]
        return rotate(query, (cos[i], sin[i])) @ rotate(key, (cos[j], sin[j]))

    torch.testing.assert_close(score((1, 2), (3, 7)), score((5, 3), (7, 8)))
    assert not torch.isclose(score((1, 2), (3, 7)), score((1, 2), (7, 3)))


def test_experts_follow_the_equations(config: ModelConfig) -> None:
    torch.manual_seed(0)
    layer = HybridExperts(config).eval()
    tokens, edge = torch.randn(40, config.dim), torch.arange(40) % 3 == 0
    result = layer(tokens, edge)

    def expert(i: int, x: torch.Tensor) -> torch.Tensor:
        gate, up = (layer.gate_up[i] @ x).chunk(2)
        hidden = F.layer_norm(
            F.silu(gate) * up, gate.shape, layer.norm_weight[i], layer.norm_bias[i]
        )
        return layer.down[i] @ hidden

    for x, is_edge, y in zip(layer.norm(tokens), edge, result, strict=True):
        shared = expert(-1, x)
        if is_edge:
            scores = torch.sigmoid(layer.centroids @ x)
            best = int(scores[:-1].argmax())
            a, b = scores[-1].exp(), scores[best].exp()
            shared = (a * shared + b * expert(best, x)) / (a + b)
        torch.testing.assert_close(y, shared, rtol=1e-4, atol=1e-5)


def test_balancing_moves_the_choice_towards_idle_experts(config: ModelConfig) -> None:
    torch.manual_seed(0)
    layer = HybridExperts(config).train()
    with torch.no_grad():
        layer.centroids[0] += 1  # makes expert 0 likely for tokens with a positive sum
    tokens = torch.randn(200, config.dim)
    edge = torch.ones(200, dtype=torch.bool)
    layer(tokens, edge)
    busy, idle = int(layer.counts.argmax()), int(layer.counts.argmin())
    layer.balance()
    assert layer.bias[busy] == pytest.approx(-BALANCE_STEP)
    assert layer.bias[idle] == pytest.approx(BALANCE_STEP)
    assert layer.counts.sum() == 0


def test_upsampled_convolution_equals_upsampling_then_convolution() -> None:
    x, weight = torch.randn(2, 7, 5, 6), torch.randn(4, 6, 3, 3)
    big = F.interpolate(x.permute(0, 3, 1, 2), scale_factor=2, mode="nearest")
    expected = F.conv2d(big, weight, padding=1).permute(0, 2, 3, 1)
    torch.testing.assert_close(upsampled_convolution(x, weight), expected, rtol=1e-4, atol=1e-5)


def test_object_box_is_grown_by_two_fifths() -> None:
    logits = torch.full((40, 40), -5.0)
    assert object_box(logits).empty
    logits[10:20, 30:40] = -1.9
    assert object_box(logits) == TokenBox(8, 28, 22, 40)


def test_predicted_iou_ignores_background_round_the_mask(config: ModelConfig) -> None:
    torch.manual_seed(0)
    head = IoUHead(config)
    tokens, low = torch.randn(2, 4, 4, config.dim), torch.randn(2, 4, 4)
    logits = torch.randn(2, 40, 30) * 3
    whole = F.pad(logits, (10, 24, 4, 20), value=-100.0)
    torch.testing.assert_close(head(tokens, low, whole), head(tokens, low, logits))
    assert not torch.allclose(*head(tokens, low, logits))
    empty = head(tokens, low, torch.full((2, 0, 0), 0.0))
    assert empty.isfinite().all()
