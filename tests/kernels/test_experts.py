"""The compiled grouped experts against their plain twin."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from napari_inter2former import kernels
from napari_inter2former.kernels import grouped_experts, grouped_experts_plain
from napari_inter2former.kernels.experts import _PACKINGS_KEPT, _packings

from .conftest import assert_nan_stays_in_its_row, assert_same_bits


@pytest.fixture
def native() -> None:
    """Skip what can't be tested without the compiled extension."""
    if not kernels.native_available():
        pytest.skip("the extension is not available")


def problem(
    tokens: int, experts: int, width: int, hidden: int, seed: int = 0, used: int | None = None
) -> list[Tensor]:
    """Arguments of grouped_experts; only the first `used` experts get tokens."""
    g = torch.Generator().manual_seed(seed)
    return [
        torch.randn(tokens, width, generator=g),
        torch.randint(0, used or experts, (tokens,), generator=g),
        torch.randn(experts, 2 * hidden, width, generator=g) * width**-0.5,
        torch.rand(experts, hidden, generator=g) + 0.5,
        torch.randn(experts, hidden, generator=g),
        torch.randn(experts, width, hidden, generator=g) * hidden**-0.5,
    ]


def assert_close(found: Tensor, arguments: list[Tensor]) -> None:
    """Agreement to 1e-4 of the result's size with the twin in double precision."""
    x, index, *weights = arguments
    expected = grouped_experts_plain(x.double(), index, *(w.double() for w in weights)).float()
    assert found.shape == expected.shape
    assert found.dtype == torch.float32
    scale = float(expected.abs().max()) if expected.numel() else 1.0
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * scale)


@pytest.mark.parametrize("experts", [1, 2, 8, 13, 64])
@pytest.mark.parametrize("tokens", [0, 1, 7, 1024])
def test_equals_plain_twin(isa: str, experts: int, tokens: int) -> None:
    arguments = problem(tokens, experts, 256, 512 // experts)
    assert_close(grouped_experts(*arguments), arguments)


def test_equals_plain_twin_for_many_tokens(isa: str) -> None:
    arguments = problem(20_000, 64, 48, 24)
    assert_close(grouped_experts(*arguments), arguments)


@pytest.mark.skipif(not kernels.native_available(), reason="the extension is not available")
@settings(max_examples=60, deadline=None)
@given(
    isa=st.sampled_from(kernels.instruction_sets() or ("none",)),
    tokens=st.integers(0, 300),
    experts=st.integers(1, 64),
    used=st.integers(1, 64),
    width=st.integers(1, 131),
    hidden=st.integers(3, 67),
    threads=st.integers(1, 5),
    seed=st.integers(0, 2**32 - 1),
)
def test_equals_plain_twin_on_random_shapes(
    isa: str,
    tokens: int,
    experts: int,
    used: int,
    width: int,
    hidden: int,
    threads: int,
    seed: int,
) -> None:
    x, index, *weights = problem(tokens, experts, width, hidden, seed, min(used, experts))
    found = kernels.PackedExperts(*weights, isa=isa)(x, index, threads=threads)
    assert_close(found, [x, index, *weights])


@pytest.mark.skipif(not kernels.native_available(), reason="the extension is not available")
@settings(max_examples=40, deadline=None)
@given(
    isa=st.sampled_from(kernels.instruction_sets() or ("none",)),
    rows=st.integers(0, 300),
    part=st.sampled_from((0.0, 0.1, 0.7, 1.0)),
    experts=st.integers(1, 20),
    width=st.integers(1, 131),
    hidden=st.integers(3, 67),
    threads=st.integers(1, 5),
    seed=st.integers(0, 2**32 - 1),
)
def test_adds_weighted_results_of_some_tokens(
    isa: str, rows: int, part: float, experts: int, width: int, hidden: int, threads: int, seed: int
) -> None:
    x, index, *weights = problem(rows, experts, width, hidden, seed)
    torch.manual_seed(seed)
    tokens = (torch.rand(rows) < part).nonzero()[:, 0]
    index, scale, before = index[tokens], torch.rand(len(tokens)), torch.randn(rows, width)
    found = before.clone()
    packed = kernels.PackedExperts(*weights, isa=isa)
    packed.add(x, tokens, index, scale, found, threads=threads)
    update = grouped_experts_plain(x[tokens].double(), index, *(w.double() for w in weights))
    expected = before.double().index_add_(0, tokens, scale[:, None] * update).float()
    size = float(expected.abs().max()) if rows else 1.0
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * size)
    untouched = torch.ones(rows, dtype=torch.bool)
    untouched[tokens] = False
    assert torch.equal(found[untouched], before[untouched])


@pytest.mark.parametrize("hidden", [1, 2])
def test_narrowest_hidden_layers(isa: str, hidden: int) -> None:
    # LayerNorm of one value is its bias; of two it can blow rounding up, so eps must dominate.
    arguments = problem(50, 3, 5, hidden)
    arguments[0] *= 1e-3
    assert_close(grouped_experts(*arguments), arguments)


def test_one_expert_takes_all(isa: str) -> None:
    arguments = problem(333, 8, 33, 17)
    arguments[1].fill_(5)
    assert_close(grouped_experts(*arguments), arguments)


@pytest.mark.parametrize("scale", [1e-6, 30.0, 1e4])
def test_small_and_large_inputs(isa: str, scale: float) -> None:
    arguments = problem(100, 4, 32, 16)
    arguments[0] *= scale
    assert_close(grouped_experts(*arguments), arguments)


def test_not_a_number_stays_in_its_row(isa: str) -> None:
    x, index, *weights = problem(40, 3, 19, 11)
    assert_nan_stays_in_its_row(kernels.PackedExperts(*weights), x, index)


def test_same_bits_for_any_threads_run_and_neighbours(isa: str) -> None:
    x, index, *weights = problem(700, 6, 70, 35)
    assert_same_bits(kernels.PackedExperts(*weights), (x, index))


def test_non_contiguous_inputs(isa: str) -> None:
    x, index, gate_up, *others = problem(60, 4, 24, 12)
    arguments = [
        torch.stack([x, x], -1)[..., 0],
        torch.stack([index, index], -1)[:, 0],
        gate_up.mT.contiguous().mT,
        *others,
    ]
    assert_close(grouped_experts(*arguments), [x, index, gate_up, *others])


@pytest.mark.usefixtures("native")
def test_several_callers_at_a_time() -> None:
    arguments = problem(2000, 8, 64, 32)
    expected = grouped_experts(*arguments)
    with ThreadPoolExecutor(4) as callers:
        calls = [callers.submit(grouped_experts, *arguments, threads=2) for _ in range(80)]
        assert all(torch.equal(call.result(), expected) for call in calls)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
@pytest.mark.usefixtures("native")
def test_works_after_fork() -> None:
    # In a process of its own: forking the test process, full of threads, would be unsafe.
    code = """
import os, torch
from napari_inter2former import kernels
w = [torch.ones(2, 8, 4), torch.ones(2, 4), torch.ones(2, 4), torch.ones(2, 4, 4)]
p = kernels.PackedExperts(*w)
x, index = torch.rand(500, 4), torch.arange(500) % 2
expected = p(x, index, threads=3)
child = os.fork()
if child == 0:
    os._exit(0 if torch.equal(p(x, index, threads=3), expected) else 1)
assert os.waitpid(child, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=120)


@pytest.mark.usefixtures("native")
def test_threads_of_its_own_where_there_is_no_pytorch() -> None:
    # Without PyTorch there is no OpenMP team to borrow.
    code = """
import sys, numpy as np
from concurrent.futures import ThreadPoolExecutor
from napari_inter2former.kernels import _native
rng = np.random.default_rng(0)
shapes = [(3, 16, 9), (3, 8), (3, 8), (3, 9, 8)]
weights = [rng.random(shape, np.float32) for shape in shapes]
packed = _native.PackedExperts(*weights, isa=_native.instruction_sets()[0])
x, index = rng.random((3000, 9), np.float32), rng.integers(0, 3, 3000)
def run(threads):
    out = np.empty_like(x)
    packed.run(x, index, out, threads)
    return out
expected = run(1)
assert all((run(threads) == expected).all() for threads in (2, 3, 2, 7) * 20)
with ThreadPoolExecutor(4) as callers:
    assert all((out == expected).all() for out in callers.map(run, [2] * 100))
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


class TestGradients:
    def test_uses_the_twin_when_gradients_are_wanted(self) -> None:
        arguments = problem(30, 4, 16, 8)
        for t in arguments:
            if t.is_floating_point():
                t.requires_grad_()
        y = grouped_experts(*arguments)
        y.square().sum().backward()
        assert all(t.grad is not None for t in arguments if t.is_floating_point())
        assert torch.equal(y, grouped_experts_plain(*arguments))

    def test_gradients_are_right(self) -> None:
        x, index, *weights = problem(6, 3, 4, 3)
        doubles = [t.double().requires_grad_() for t in (x, *weights)]
        assert torch.autograd.gradcheck(
            lambda x, *w: grouped_experts_plain(x, index, *w), tuple(doubles)
        )

    @pytest.mark.usefixtures("native")
    def test_native_without_grad(self) -> None:
        arguments = problem(30, 4, 16, 8)
        arguments[2].requires_grad_()
        with torch.no_grad():
            assert_close(grouped_experts(*arguments), [t.detach() for t in arguments])
        with torch.inference_mode():
            assert_close(grouped_experts(*arguments), [t.detach() for t in arguments])

    @pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
    def test_other_dtypes_use_the_twin(self, dtype: torch.dtype) -> None:
        x, index, *weights = problem(9, 2, 8, 4)
        y = grouped_experts(x.to(dtype), index, *(w.to(dtype) for w in weights))
        assert y.dtype == dtype

    def test_autocast(self) -> None:
        arguments = problem(9, 2, 8, 4)
        with torch.autocast("cpu", torch.bfloat16):
            y = grouped_experts_plain(*arguments)
        torch.testing.assert_close(y.float(), grouped_experts_plain(*arguments), rtol=0.1, atol=0.1)


@pytest.mark.usefixtures("native")
class TestPackedWeights:
    """Packed copies follow the weights."""

    def test_unchanged_weights_are_packed_once(self) -> None:
        x, index, *weights = problem(5, 3, 8, 4)
        grouped_experts(x, index, *weights)
        before = dict(_packings)
        grouped_experts(x, index, *(w[:] for w in weights))
        with torch.inference_mode():
            grouped_experts(x, index, *(w.clone() for w in weights))
        assert dict(_packings) == before

    def test_every_change_is_noticed(self) -> None:
        x, index, *weights = problem(20, 3, 8, 4)
        changes = {
            "one element": lambda: weights[0][2, 7, 7].add_(1),
            "bypassing autograd": lambda: weights[1].data.mul_(2),
            "one expert": lambda: weights[2][1].zero_(),
            "all": lambda: torch._foreach_mul_(weights, 0.5),
            "through NumPy": lambda: weights[3].numpy().fill(1),
        }
        for change in changes.values():
            grouped_experts(x, index, *weights)
            change()
            assert_close(grouped_experts(x, index, *weights), [x, index, *weights])

    @pytest.mark.parametrize("fused", [False, True])
    def test_optimizer_steps_are_noticed(self, fused: bool) -> None:
        x, index, *weights = problem(20, 3, 8, 4)
        weights = [torch.nn.Parameter(w) for w in weights]
        optimizer = torch.optim.AdamW(weights, lr=0.1, fused=fused)
        with torch.no_grad():
            grouped_experts(x, index, *weights)
        grouped_experts(x, index, *weights).square().sum().backward()
        optimizer.step()
        with torch.no_grad():
            assert_close(grouped_experts(x, index, *weights), [x, index, *weights])

    def test_same_contents_in_another_shape(self) -> None:
        for experts, width, hidden in ((2, 3, 1), (1, 3, 2)):
            x = torch.rand(4, width)
            index = torch.zeros(4, dtype=torch.int64)
            weights = [
                torch.ones(experts, 2 * hidden, width),
                torch.ones(experts, hidden),
                torch.ones(experts, hidden),
                torch.ones(experts, width, hidden),
            ]
            assert_close(grouped_experts(x, index, *weights), [x, index, *weights])

    def test_a_bounded_number_is_kept(self) -> None:
        for seed in range(_PACKINGS_KEPT + 5):
            grouped_experts(*problem(1, 1, 1, 1, seed))
        assert len(_packings) == _PACKINGS_KEPT

    def test_packed_experts_are_a_copy(self) -> None:
        x, index, *weights = problem(20, 3, 8, 4)
        packed = kernels.PackedExperts(*weights)
        expected = packed(x, index)
        weights[0].zero_()
        assert torch.equal(packed(x, index), expected)
        assert packed.nbytes >= sum(w.nbytes for w in weights)


class TestBadInput:
    @pytest.mark.parametrize("function", [grouped_experts, grouped_experts_plain])
    @pytest.mark.parametrize(
        ("position", "value", "message"),
        [
            (0, torch.zeros(4, 9), "x must have shape"),
            (0, torch.zeros(8), "x must have shape"),
            (0, torch.zeros(()), "x must have shape"),
            (0, torch.zeros(4, 8, dtype=torch.float64), "one floating dtype"),
            (0, torch.zeros(4, 8, dtype=torch.int64), "one floating dtype"),
            (1, torch.zeros(3, dtype=torch.int64), "index must have shape"),
            (1, torch.zeros(4, dtype=torch.int32), "index must be int64"),
            (1, torch.tensor([0, 1, 2, 3]), r"\[0, 3\)"),
            (1, torch.tensor([0, -1, 2, 1]), r"\[0, 3\)"),
            (2, torch.zeros(3, 9, 8), "gate_up must have shape"),
            (2, torch.zeros(3, 10, 8, device="meta"), "gate_up is on meta"),
            (3, torch.zeros(3, 4), "norm_weight must have shape"),
            (4, torch.zeros(2, 5), "norm_bias must have shape"),
            (5, torch.zeros(8, 5), "down must have shape"),
            (5, torch.zeros(0, 8, 5), "down must have shape"),
        ],
    )
    def test_is_refused(self, function: object, position: int, value: Tensor, message: str) -> None:
        arguments = problem(4, 3, 8, 5)
        arguments[position] = value
        with pytest.raises(ValueError, match=message):
            function(*arguments)

    @pytest.mark.usefixtures("native")
    def test_extension_checks_too(self) -> None:
        x, index, *weights = problem(4, 3, 8, 5)
        packed = kernels.PackedExperts(*weights)
        out = torch.empty(4, 8)
        for message, arguments in {
            r"index -1 of token 2 .*\[0, 3\)": (x, torch.tensor([0, 1, -1, 2]), out, 1),
            "x must be float32, not float64": (x.double(), index, out, 1),
            r"x must have shape \(4, 8\), not \(4, 7\)": (x[:, 1:].contiguous(), index, out, 1),
            "x must be C-contiguous": (torch.zeros(8, 4).T, index, out, 1),
            "index must be int64": (x, index.int(), out, 1),
            "index must have one axis": (x, index[None], out, 1),
            "out must have shape": (x, index, out[1:], 1),
            "threads must be at least 1": (x, index, out, 0),
        }.items():
            arrays = [a.numpy() if isinstance(a, Tensor) else a for a in arguments]
            with pytest.raises(ValueError, match=message):
                packed._packed.run(*arrays)
        for tokens in ([0, 1, 1, 2], [0, 2, 1, 3], [-1, 0, 1, 2], [0, 1, 2, 4]):
            with pytest.raises(ValueError, match=r"tokens must ascend and lie in \[0, 4\)"):
                packed.add(x, torch.tensor(tokens), index, torch.ones(4), out)
        with pytest.raises(ValueError, match="scale must have shape"):
            packed.add(x, torch.arange(4), index, torch.ones(3), out)
        read_only = out.numpy()
        read_only.flags.writeable = False
        with pytest.raises(ValueError, match="writeable"):
            packed._packed.run(x.numpy(), index.numpy(), read_only, 1)
        with pytest.raises(ValueError, match="gate_up must have shape"):
            kernels.PackedExperts(weights[0][:, 1:], *weights[1:])
        with pytest.raises(ValueError, match="choose one of"):
            kernels.PackedExperts(*weights, isa="mmx")
