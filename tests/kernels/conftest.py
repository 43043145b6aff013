"""What the tests of all kernels share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from napari_inter2former import kernels


@pytest.fixture(params=("portable", "avx2", "avx512"))
def isa(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Force each instruction set in turn, by the environment variable.

    AVX-512 runs only where the processor has it. Its code is the template that the others share,
    with another vector type (csrc/simd_avx512.hpp).
    """
    name: str = request.param
    if name not in kernels.instruction_sets():
        pytest.skip(f"{name} is not available on this machine or in this build")
    monkeypatch.setenv("INTER2FORMER_ISA", name)
    return name


def assert_same_bits(run: Callable[..., Tensor], inputs: Sequence[Tensor]) -> None:
    """Check that rows come out the same for any number of threads and any neighbours.

    Parameters
    ----------
    run : callable
        Of `inputs`, and a number of `threads`.
    inputs : sequence of Tensor
        Of equal length, a row per token.
    """
    rows = len(inputs[0])
    expected = run(*inputs, threads=1)
    for threads in (1, 2, 3, 8, 40):
        assert torch.equal(run(*inputs, threads=threads), expected)
    some = torch.randperm(rows, generator=torch.Generator().manual_seed(1))[: rows // 6]
    for chosen in (some, *(torch.tensor([t]) for t in (0, rows // 2, rows - 1))):
        assert torch.equal(run(*(part[chosen] for part in inputs)), expected[chosen])


def assert_nan_stays_in_its_row(
    run: Callable[..., Tensor], x: Tensor, *others: Tensor, row: int = 7
) -> None:
    """Check that what is no number in one token reaches no other."""
    clean = run(x, *others)
    x = x.clone()
    x[row, 3] = float("nan")
    found = run(x, *others)
    assert found[row].isnan().all()
    rest = torch.arange(len(x)) != row
    assert torch.equal(found[rest], clean[rest])
