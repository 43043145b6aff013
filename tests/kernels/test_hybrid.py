"""The compiled HMoE layer against the layer in plain PyTorch."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from napari_inter2former import kernels
from napari_inter2former.model.config import TINY
from napari_inter2former.model.experts import HybridExperts

from .conftest import assert_nan_stays_in_its_row, assert_same_bits

pytestmark = pytest.mark.skipif(
    not kernels.native_available(), reason="the extension is not available"
)


def layer(dim: int, experts: int, hidden: int, seed: int = 0) -> HybridExperts:
    torch.manual_seed(seed)
    made = HybridExperts(replace(TINY, dim=dim, experts=experts, expert_hidden=experts * hidden))
    with torch.no_grad():
        for weight in (made.norm.weight, made.norm_weight):
            weight.uniform_(0.5, 1.5)
        for bias in (made.norm.bias, made.norm_bias):
            bias.normal_()
        made.bias.normal_(0, 0.1)
    return made.eval().requires_grad_(False)


def assert_close(found: Tensor, experts: HybridExperts, tokens: Tensor, edge: Tensor) -> None:
    """Agreement to 1e-4 of the result's size with the plain layer in double precision."""
    exact = copy.deepcopy(experts).double()
    expected = exact.plain(tokens.double(), edge)
    assert found.shape == expected.shape
    assert found.dtype == torch.float32
    if not len(tokens):
        return
    # Where two experts' scores are all but equal, either may be chosen.
    scores = torch.sigmoid(exact.norm(tokens.double()) @ exact.centroids[:-1].T) + exact.bias
    best = scores.topk(min(2, scores.shape[1])).values
    clear = ~edge | (best[:, 0] - best[:, -1] > 1e-5) | (scores.shape[1] == 1)
    scale = float(expected.abs().max())
    torch.testing.assert_close(found[clear], expected[clear].float(), rtol=1e-4, atol=1e-4 * scale)


@settings(max_examples=60, deadline=None)
@given(
    isa=st.sampled_from(kernels.instruction_sets() or ("none",)),
    tokens=st.integers(0, 300),
    dim=st.integers(3, 131),
    experts=st.integers(1, 40),
    hidden=st.integers(3, 67),
    edges=st.sampled_from((0.0, 0.02, 0.5, 1.0)),
    residual=st.booleans(),
    threads=st.integers(1, 5),
    seed=st.integers(0, 2**32 - 1),
)
def test_equals_plain_layer_on_random_shapes(
    isa: str,
    tokens: int,
    dim: int,
    experts: int,
    hidden: int,
    edges: float,
    residual: bool,
    threads: int,
    seed: int,
) -> None:
    plain = layer(dim, experts, hidden, seed)
    x, edge = torch.randn(tokens, dim), torch.rand(tokens) < edges
    packed = kernels.PackedHybridExperts(*plain.weights, isa=isa)
    found = packed(x, edge, residual=residual, threads=threads)
    assert_close(found - x if residual else found, plain, x, edge)


@pytest.mark.parametrize("experts", [8, 64])
def test_the_layer_uses_it(isa: str, experts: int) -> None:
    made = layer(64, experts, 16)
    x, edge = torch.randn(700, 64), torch.rand(700) < 0.3
    found = made(x, edge)
    assert torch.equal(found, kernels.PackedHybridExperts(*made.weights)(x, edge))
    assert_close(found, made, x, edge)
    assert_close(made(x, edge, residual=True) - x, made, x, edge)
    with torch.inference_mode():
        assert torch.equal(made(x.clone(), edge), found)


def test_same_bits_for_any_threads_run_and_neighbours(isa: str) -> None:
    packed = kernels.PackedHybridExperts(*layer(70, 6, 35).weights)
    assert_same_bits(packed, (torch.randn(700, 70), torch.rand(700) < 0.5))


def test_not_a_number_stays_in_its_row(isa: str) -> None:
    edge = torch.rand(40) < 0.5
    edge[7] = True
    assert_nan_stays_in_its_row(layer(19, 3, 11), torch.randn(40, 19), edge)


def test_non_contiguous_inputs(isa: str) -> None:
    made = layer(24, 4, 12)
    x, edge = torch.randn(24, 60).T, (torch.rand(60, 2) < 0.5)[:, 0]
    assert torch.equal(made(x, edge), made(x.contiguous(), edge.contiguous()))


class TestPlainInstead:
    """Where the compiled layer is not used."""

    def test_training_and_gradients(self) -> None:
        made = layer(16, 4, 8).requires_grad_()
        x, edge = torch.randn(30, 16), torch.rand(30) < 0.5
        y = made(x, edge)
        assert y.requires_grad
        assert torch.equal(y, made.plain(x, edge))
        assert torch.equal(made(x, edge, residual=True), x + made.plain(x, edge))
        with torch.no_grad():
            made.train()(x, edge)
        assert made.counts.sum() == edge.sum()

    def test_autocast_and_other_dtypes(self) -> None:
        made = layer(16, 4, 8)
        x, edge = torch.randn(30, 16), torch.rand(30) < 0.5
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(made(x, edge), made.plain(x, edge))
        assert made.double()(x.double(), edge).dtype == torch.float64

    def test_without_the_extension(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("INTER2FORMER_NO_NATIVE", "1")
        made = layer(16, 4, 8)
        x, edge = torch.randn(30, 16), torch.rand(30) < 0.5
        assert torch.equal(made(x, edge), made.plain(x, edge))
        with pytest.raises(RuntimeError, match="not available"):
            kernels.PackedHybridExperts(*made.weights)


class TestPacking:
    """Packed copies follow the weights."""

    def test_unchanged_weights_are_packed_once(self) -> None:
        made = layer(16, 4, 8)
        packed = made._packing.of(made.weights)
        made(torch.randn(5, 16), torch.ones(5, dtype=torch.bool))
        assert made._packing.of(made.weights) is packed

    def test_changes_are_noticed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        made = layer(24, 4, 16)
        x, edge = torch.randn(50, 24), torch.rand(50) < 0.5
        other = layer(24, 4, 16, seed=1)
        changes = {
            "one element": lambda: made.gate_up[2, 7, 7].add_(1),
            "one expert": lambda: made.down[1].zero_(),
            "bypassing the version count": lambda: made.norm_weight.data.mul_(2),
            "through NumPy": lambda: made.gate_up.numpy().__imul__(1.5),
            "all at once": lambda: torch._foreach_mul_(list(made.parameters()), 0.5),
            "the bias": lambda: made.bias.add_(torch.arange(4.0)),
            "loaded": lambda: made.load_state_dict(other.state_dict()),
            "instruction set": lambda: monkeypatch.setenv("INTER2FORMER_ISA", "portable"),
        }
        for change in changes.values():
            made(x, edge)
            change()
            expected = kernels.PackedHybridExperts(*made.weights)(x, edge)
            assert torch.equal(made(x, edge), expected)

    @pytest.mark.parametrize("fused", [False, True])
    def test_optimizer_steps_are_noticed(self, fused: bool) -> None:
        made = layer(16, 4, 8).requires_grad_()
        x, edge = torch.randn(30, 16), torch.ones(30, dtype=torch.bool)
        optimizer = torch.optim.AdamW(made.parameters(), lr=0.1, fused=fused)
        with torch.no_grad():
            made(x, edge)
        made(x, edge).square().sum().backward()
        optimizer.step()
        with torch.no_grad():
            assert_close(made(x, edge), made, x, edge)

    def test_changes_of_weights_without_a_count(self) -> None:
        with torch.inference_mode():
            made = layer(16, 4, 8)
            x, edge = torch.randn(30, 16), torch.ones(30, dtype=torch.bool)
            made(x, edge)
            made.gate_up[0, 1, 2] += 1
            expected = kernels.PackedHybridExperts(*made.weights)(x, edge)
            assert torch.equal(made(x, edge), expected)

    def test_copies_and_files_do_without_it(self) -> None:
        made = layer(16, 4, 8)
        x, edge = torch.randn(30, 16), torch.rand(30) < 0.5
        expected = made(x, edge)
        for other in (copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
            assert torch.equal(other(x, edge), expected)
        assert not any("packing" in key for key in made.state_dict())


def test_bad_input_is_refused() -> None:
    made = layer(8, 3, 5)
    packed = kernels.PackedHybridExperts(*made.weights)
    x, edge = torch.zeros(4, 8), torch.ones(4, dtype=torch.bool)
    for message, arguments in {
        r"x must have shape \(4, 8\), not \(4, 7\)": (x[:, 1:], edge),
        "x must be float32": (x.double(), edge),
        "edge must be bool": (x, edge.int()),
        "edge must have one axis": (x, edge[None]),
    }.items():
        with pytest.raises(ValueError, match=message):
            packed(*arguments)
    with pytest.raises(ValueError, match="threads"):
        packed(x, edge, threads=0)
    with pytest.raises(ValueError, match="centroids must have shape"):
        kernels.PackedHybridExperts(*made.weights[:2], made.centroids[1:], *made.weights[3:])
    with pytest.raises(ValueError, match="at least one other"):
        kernels.PackedHybridExperts(*made.weights[:4], *(w[:1] for w in made.weights[4:]))
