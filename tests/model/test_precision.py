"""The encoder in bf16 against fp32; here, mostly, emulated by PyTorch."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import pytest
import torch

from napari_inter2former.errors import SettingsError
from napari_inter2former.model import Inter2Former, encoder_precision, reference_mask
from napari_inter2former.model.inter2former import ImageFeatures
from napari_inter2former.model.precision import attention, products_in

from .conftest import SMALLEST, randomized

SIZE = (150, 100)


def test_the_processor_chooses_unless_the_environment_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    for amx in (False, True):
        facts = MappingProxyType({"amx_bf16": amx})
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda facts=facts: facts, raising=False)
        for wanted in ("", "auto"):
            monkeypatch.setenv("INTER2FORMER_PRECISION", wanted)
            assert encoder_precision() == ("bf16" if amx else "fp32")
        for wanted in ("bf16", "fp32"):
            monkeypatch.setenv("INTER2FORMER_PRECISION", wanted)
            assert encoder_precision() == wanted
            assert encoder_precision(torch.device("meta")) == "fp32"
    monkeypatch.setenv("INTER2FORMER_PRECISION", "auto")
    monkeypatch.delattr(torch.cpu, "get_capabilities")  # PyTorch before it could tell
    assert encoder_precision() == "fp32"
    monkeypatch.setenv("INTER2FORMER_PRECISION", "fp8")
    with pytest.raises(SettingsError, match=r"INTER2FORMER_PRECISION=fp8 .* auto, bf16 or fp32"):
        encoder_precision()


def both(model: Inter2Former, monkeypatch: pytest.MonkeyPatch) -> tuple[ImageFeatures, ...]:
    """Encode the same image in fp32 and in bf16."""
    torch.manual_seed(1)
    image = torch.rand(1, 3, *SIZE)
    found = []
    for precision in ("fp32", "bf16"):
        monkeypatch.setenv("INTER2FORMER_PRECISION", precision)
        found.append(model.encode(image))
    return tuple(found)


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("changes", [{}, {"stem": "linear", "edges": "canny"}])
def test_features_in_bf16_are_close_and_are_fp32(
    compiled: bool, changes: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTER2FORMER_NO_NATIVE", "" if compiled else "1")
    exact, found = both(randomized(replace(SMALLEST, **changes)), monkeypatch)
    assert found.tokens.dtype == torch.float32
    assert not torch.equal(found.tokens, exact.tokens)
    size = float(exact.tokens.abs().max())
    torch.testing.assert_close(found.tokens, exact.tokens, rtol=2e-2, atol=2e-2 * size)
    assert float((found.tokens - exact.tokens).norm() / exact.tokens.norm()) < 2e-2
    # Only the blocks' products are in bf16.
    assert all(torch.equal(a, b) for a, b in zip(found.edges, exact.edges, strict=True))


def test_clicks_are_the_same_work_after_it(
    model: Inter2Former, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = reference_mask.new(*SIZE)
    reference_mask.add_click(reference, 70, 40, True)
    exact, found = (model.decode(features, reference) for features in both(model, monkeypatch))
    assert found.logits.dtype == torch.float32
    assert found.box == exact.box
    size = float(exact.logits.abs().max())
    torch.testing.assert_close(found.logits, exact.logits, rtol=0.1, atol=0.1 * size)


def test_a_batch_for_training_is_fp32(model: Inter2Former, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTER2FORMER_PRECISION", "bf16")
    images = torch.rand(1, 64, 64, 3)
    monkeypatch.setattr(torch, "autocast", None)
    assert model.encode_batch(images).tokens.dtype == torch.float32


def test_attention_to_be_learned_from_is_fp32() -> None:
    query, key, value = torch.randn(3, 1, 2, 5, 8).requires_grad_()
    exact = attention(query, key, value)
    with products_in("bf16"):
        assert torch.equal(attention(query, key, value), exact)
        with torch.no_grad():
            assert attention(query, key, value).dtype == torch.bfloat16
    assert attention(query.double(), key.double(), value.double()).dtype == torch.float64
