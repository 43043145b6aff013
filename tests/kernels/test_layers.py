"""Compiled linear layers and convolutions against PyTorch's."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from napari_inter2former import kernels
from napari_inter2former.kernels._extension import native

pytestmark = pytest.mark.skipif(
    not kernels.native_available(), reason="the extension is not available"
)


class Case(NamedTuple):
    """What every layer is tried with."""

    isa: str
    norm: bool
    threads: int
    seed: int


CASES = st.builds(
    Case,
    isa=st.sampled_from(kernels.instruction_sets() or ("none",)),
    norm=st.booleans(),
    threads=st.integers(1, 3),
    seed=st.integers(0, 2**32 - 1),
)


def arrays(*tensors: Tensor | None) -> list[Any]:
    return [None if t is None else t.numpy() for t in tensors]


def assert_close(found: Tensor, expected: Tensor) -> None:
    scale = float(expected.abs().max())
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * scale)


def normalised(x: Tensor, norm: bool) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Return x after a LayerNorm with its weight and bias, or x itself."""
    if not norm:
        return x, None, None
    weight, bias = torch.rand(x.shape[-1]) + 0.5, torch.randn(x.shape[-1])
    return F.layer_norm(x, x.shape[-1:], weight, bias), weight, bias


@settings(max_examples=40, deadline=None)
@given(
    case=CASES,
    count=st.integers(1, 130),
    inputs=st.integers(3, 70),
    hidden=st.integers(1, 50),
    outputs=st.integers(1, 40),
)
def test_linear_layers(case: Case, count: int, inputs: int, hidden: int, outputs: int) -> None:
    isa, norm, threads, seed = case
    torch.manual_seed(seed)
    x = 3 * torch.randn(count, inputs)
    normal, norm_weight, norm_bias = normalised(x, norm)
    first, bias = torch.randn(hidden, inputs) * inputs**-0.5, torch.randn(hidden)
    last, last_bias = torch.randn(outputs, hidden) * hidden**-0.5, torch.randn(outputs)
    module: Any = native()
    linear = module.PackedLinear(*arrays(first, bias, norm_weight, norm_bias), isa=isa)
    residual = torch.randn(count, hidden)
    found = residual.clone()
    linear.run(x.numpy(), found.numpy(), True, threads)
    expected = F.linear(normal, first, bias)
    assert_close(found, residual + expected)
    both = module.PackedPerceptron(
        *arrays(first, bias, last, last_bias, norm_weight, norm_bias), isa=isa
    )
    found = torch.empty(count, outputs)
    both.run(x.numpy(), found.numpy(), threads)
    assert_close(found, F.linear(F.gelu(expected), last, last_bias))


@settings(max_examples=60, deadline=None)
@given(
    case=CASES,
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    channels=st.integers(3, 20),
    outputs=st.sampled_from((1, 1, 3, 8, 16, 21)),
    stride=st.sampled_from((1, 2)),
    activate=st.booleans(),
)
def test_convolutions(
    case: Case, height: int, width: int, channels: int, outputs: int, stride: int, activate: bool
) -> None:
    isa, norm, threads, seed = case
    torch.manual_seed(seed)
    x = torch.randn(height, width, channels)
    normal, norm_weight, norm_bias = normalised(x, norm)
    weight, bias = torch.randn(outputs, channels, 3, 3), torch.randn(outputs)
    y = F.silu(normal) if activate else normal
    expected = F.conv2d(y.permute(2, 0, 1)[None], weight, bias, stride, 1)[0].permute(1, 2, 0)
    add = torch.randn(expected.shape)
    module: Any = native()
    packed = module.Convolution(
        *arrays(weight, bias, norm_weight, norm_bias), stride, activate, isa=isa
    )
    found = torch.empty(expected.shape)
    packed.run(x.numpy(), 0, height, None, False, found.numpy(), 0, threads)
    assert_close(found, expected)
    # Only some rows, of which something is made.
    top, bottom = len(expected) // 3, len(expected) - len(expected) // 4
    start, end = max(top * stride - 1, 0), min((bottom - 1) * stride + 2, height)
    part = torch.empty(expected[top:bottom].shape)
    packed.run(
        x[start:end].numpy(),
        start,
        height,
        add[top:bottom].numpy(),
        True,
        part.numpy(),
        top,
        threads,
    )
    assert_close(part, F.silu(expected + add)[top:bottom])


def test_bad_input_is_refused() -> None:
    module: Any = native()
    isa = kernels.instruction_set()
    weight = torch.zeros(2, 3, 3, 3).numpy()
    with pytest.raises(ValueError, match="stride"):
        module.Convolution(weight, None, None, None, 3, False, isa=isa)
    packed = module.Convolution(weight, None, None, None, 1, False, isa=isa)
    image, out = torch.zeros(4, 5, 3).numpy(), torch.zeros(4, 5, 2).numpy()
    with pytest.raises(ValueError, match="rows that out needs"):
        packed.run(image[1:], 1, 4, None, False, out, 0, 1)
    with pytest.raises(ValueError, match="out must have shape"):
        packed.run(image, 0, 4, None, False, out[:, :, :1], 0, 1)
    with pytest.raises(ValueError, match="not available"):
        module.Convolution(weight, None, None, None, 1, False, isa="abacus")
