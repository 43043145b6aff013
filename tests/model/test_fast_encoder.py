"""The compiled encoder against its plain twin."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_inter2former import kernels
from napari_inter2former.model import Inter2Former

from .conftest import SMALLEST, randomized

pytestmark = pytest.mark.skipif(
    not kernels.native_available(), reason="needs the compiled extension"
)


@pytest.fixture(scope="module")
def network() -> Inter2Former:
    return randomized(SMALLEST)


@torch.inference_mode()
def check(model: Inter2Former, height: int, width: int) -> None:
    image = torch.rand(1, 3, height, width)
    assert model._encoder_packing.of(model) is not None
    found = model.encode(image)
    padded = F.pad(image, (0, -width % 16, 0, -height % 16), mode="replicate")
    expected = model.encode_batch(padded.permute(0, 2, 3, 1))
    for one, other in zip(
        (found.tokens, *found.edges), (expected.tokens, *expected.edges), strict=True
    ):
        scale = float(other.abs().max())
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4 * scale)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(height=st.integers(1, 200), width=st.integers(1, 200))
def test_equals_the_plain_twin(network: Inter2Former, height: int, width: int) -> None:
    check(network, height, width)


@pytest.mark.parametrize("isa", kernels.instruction_sets())
def test_each_instruction_set(isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTER2FORMER_ISA", isa)
    check(randomized(SMALLEST), 150, 100)


@pytest.mark.parametrize(
    "changes",
    [
        {"stem": "linear", "edges": "canny"},
        {"encoder_dim": 24, "encoder_heads": 2, "window_tokens": 3},
        {"stem_channels": (3, 5, 9, 17), "stem_depth": (0, 1, 2)},
    ],
)
def test_other_shapes(changes: dict[str, object]) -> None:
    check(randomized(replace(SMALLEST, **changes)), 130, 90)


@torch.inference_mode()
def test_the_same_from_run_to_run(network: Inter2Former) -> None:
    image = torch.rand(1, 3, 100, 120)
    threads = torch.get_num_threads()
    first = network.encode(image)
    torch.set_num_threads(3)
    try:
        again = network.encode(image)
    finally:
        torch.set_num_threads(threads)
    torch.testing.assert_close(first.tokens, again.tokens, rtol=1e-6, atol=1e-6)
    assert all(torch.equal(a, b) for a, b in zip(first.edges, again.edges, strict=True))


def test_a_change_of_the_weights_is_seen() -> None:
    model = randomized(SMALLEST)
    image = torch.rand(1, 3, 64, 64)
    before = model.encode(image)
    with torch.no_grad():
        for parameter in model.encoder.parameters():
            parameter.mul_(1.1)
    assert not torch.allclose(model.encode(image).tokens, before.tokens)
    check(model, 64, 64)


def test_not_for_wide_encoders_nor_with_gradients(network: Inter2Former) -> None:
    assert network._encoder_packing.of(network) is None  # gradients are wanted
    wide = randomized(replace(SMALLEST, encoder_dim=528, encoder_depth=4, encoder_heads=4))
    with torch.inference_mode():
        assert wide._encoder_packing.of(wide) is None
