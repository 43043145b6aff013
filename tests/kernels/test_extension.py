"""Choosing, disabling and missing the compiled extension."""

from __future__ import annotations

import subprocess
import sys
import warnings
from typing import TYPE_CHECKING

import pytest
import torch

from napari_inter2former import kernels
from napari_inter2former.kernels import _extension

if TYPE_CHECKING:
    from collections.abc import Iterator

ARGUMENTS = (
    torch.zeros(2, 3),
    torch.zeros(2, dtype=torch.int64),
    torch.zeros(1, 4, 3),
    torch.ones(1, 2),
    torch.ones(1, 2),
    torch.ones(1, 3, 2),
)


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(_extension, "_load", lambda: (None, "No module named '_native'"))
    monkeypatch.delenv("INTER2FORMER_NO_NATIVE", raising=False)
    _extension.warn_if_absent.cache_clear()
    yield
    _extension.warn_if_absent.cache_clear()


def test_warns_once_when_absent(absent: None) -> None:
    assert not kernels.native_available()
    assert kernels.instruction_sets() == ()
    assert kernels.instruction_set() == "none"
    with pytest.warns(RuntimeWarning, match="without its C\\+\\+ extension"):
        y = kernels.grouped_experts(*ARGUMENTS)
    assert torch.equal(y, torch.full((2, 3), 2.0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kernels.grouped_experts(*ARGUMENTS)
    with pytest.raises(RuntimeError, match="grouped_experts_plain"):
        kernels.PackedExperts(*ARGUMENTS[2:])


def test_disabled_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTER2FORMER_NO_NATIVE", "1")
    assert not kernels.native_available()
    assert kernels.instruction_set() == "none"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y = kernels.grouped_experts(*ARGUMENTS)
    assert torch.equal(y, torch.full((2, 3), 2.0))


@pytest.mark.skipif(not kernels.native_available(), reason="the extension is not built")
def test_chosen_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INTER2FORMER_ISA", raising=False)
    assert kernels.instruction_sets()[-1] == "portable"
    assert kernels.instruction_set() == kernels.instruction_sets()[0]
    monkeypatch.setenv("INTER2FORMER_ISA", "portable")
    assert kernels.instruction_set() == "portable"
    assert kernels.PackedExperts(*ARGUMENTS[2:]).isa == "portable"
    monkeypatch.setenv("INTER2FORMER_ISA", "sse9")
    with pytest.raises(ValueError, match="INTER2FORMER_ISA=sse9 is not available"):
        kernels.instruction_set()


@pytest.mark.parametrize("statement", ["napari_inter2former", "napari_inter2former.kernels"])
def test_import_leaves_torch_alone(statement: str) -> None:
    code = f"import sys, {statement}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="nothing_such"):
        _ = kernels.nothing_such
