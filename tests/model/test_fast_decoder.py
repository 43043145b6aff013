"""The compiled decoder against its plain twin."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from napari_inter2former import kernels
from napari_inter2former.model import Inter2Former, ModelConfig, reference_mask
from napari_inter2former.model.reference_mask import Label

from .conftest import SMALLEST, randomized

pytestmark = pytest.mark.skipif(
    not kernels.native_available(), reason="needs the compiled extension"
)


def references(height: int, width: int, seed: int) -> Tensor:
    """Make a reference mask of blobs of all labels, or a plain one with a few clicks."""
    generator = torch.Generator().manual_seed(seed)
    if seed % 3 == 0:
        reference = reference_mask.new(height, width)
    else:
        coarse = torch.randint(0, 5, (1, 1, 3, 3), generator=generator).float()
        blobs = torch.nn.functional.interpolate(coarse, (height, width))[0, 0]
        reference = blobs.to(torch.uint8)
        if seed % 3 == 1:
            reference = reference.clamp(1, 3)
    for _ in range(seed % 4):
        row, column = torch.randint(0, min(height, width), (2,), generator=generator).tolist()
        reference_mask.add_click(reference, row, column, seed % 2 == 0)
    return reference


@torch.inference_mode()
def check(model: Inter2Former, height: int, width: int, reference: Tensor) -> None:
    features = model.encode(torch.rand(1, 3, height, width))
    assert features.decoder is not None
    padded = reference
    if height % 16 or width % 16:
        padding = (0, -width % 16, 0, -height % 16)
        padded = torch.nn.functional.pad(reference, padding, value=int(Label.POSSIBLE_BACKGROUND))
    fast = features.decoder.decode(model, features, padded)
    plain = model.decode_plain(features, padded)
    assert fast.box == plain.box
    torch.testing.assert_close(fast.tokens, plain.tokens, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(fast.logits, plain.logits, rtol=1e-4, atol=1e-3)
    decoded = model.decode(features, reference)
    bottom, right = decoded.box[2:]
    assert bottom <= height
    assert right <= width


@pytest.fixture(scope="module")
def network() -> Inter2Former:
    return randomized(SMALLEST)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(height=st.integers(1, 130), width=st.integers(1, 130), seed=st.integers(0, 1000))
def test_equals_the_plain_twin(network: Inter2Former, height: int, width: int, seed: int) -> None:
    check(network, height, width, references(height, width, seed))


@pytest.mark.parametrize(
    "changes",
    [
        {"head_dim": 12, "attention_heads": 1, "code_bits": 5},
        {"dim": 20, "prompt_channels": (3, 7, 9), "upsampling_channels": (9, 5, 3)},
        {"prompt_skips": False, "edges": "canny"},
        {"code_bits": 8, "head_dim": 32},
    ],
)
def test_odd_widths(changes: dict[str, object]) -> None:
    config: ModelConfig = replace(SMALLEST, **changes)
    check(randomized(config), 96, 80, references(96, 80, 4))
    check(randomized(config), 96, 80, references(96, 80, 3))


@pytest.mark.parametrize("isa", kernels.instruction_sets())
def test_each_instruction_set(isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTER2FORMER_ISA", isa)
    check(randomized(SMALLEST), 112, 100, references(112, 100, 5))


@torch.inference_mode()
def test_the_same_from_run_to_run(network: Inter2Former) -> None:
    features = network.encode(torch.rand(1, 3, 128, 128))
    reference = references(128, 128, 4)
    threads = torch.get_num_threads()
    first = network.decode(features, reference)
    torch.set_num_threads(3)
    try:
        again = network.decode(features, reference)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(first.logits, again.logits)


def test_first_clicks_use_what_was_computed_before(network: Inter2Former) -> None:
    features = network.encode(torch.rand(1, 3, 320, 320))
    reference = reference_mask.new(320, 320)
    reference_mask.add_click(reference, 100, 200, True)
    assert features.first_layer is not None
    field = features.decoder.native.PromptField(features.decoder.prompt)
    field.embed(reference.numpy(), 1)
    x = torch.empty_like(features.tokens[0])
    field.add_to(features.tokens[0].numpy(), x.numpy(), 1)
    changed = features.first_layer.changed(x.flatten(0, 1), torch.from_numpy(field.slots()))
    assert changed is not None
    assert 1 <= len(changed) <= 9
    check(network, 320, 320, reference)


def test_a_change_of_the_weights_is_seen() -> None:
    model = randomized(SMALLEST)
    image, reference = torch.rand(1, 3, 64, 64), reference_mask.new(64, 64)
    before = model.decode(model.encode(image), reference)
    with torch.no_grad():
        for conv in model.upsampling.convs:
            conv.weight.mul_(1.5)
    after = model.decode(model.encode(image), reference)
    assert not torch.allclose(before.logits, after.logits)
    check(model, 64, 64, reference)


def test_not_for_training_nor_for_ablations(network: Inter2Former) -> None:
    with torch.inference_mode():
        for changes in ({"attention": "full"}, {"norm": "group"}, {"dlu": False}, {"dpe": False}):
            model = randomized(replace(SMALLEST, **changes))
            assert model.encode(torch.rand(1, 3, 32, 32)).decoder is None
    assert network._packing.of(network) is None  # gradients are wanted


def test_features_are_saved_and_models_copied_without_the_packing(network: Inter2Former) -> None:
    features = network.encode(torch.rand(1, 3, 48, 48))
    loaded = pickle.loads(pickle.dumps(features))
    assert loaded.decoder is None
    reference = references(48, 48, 2)
    expected = network.decode(features, reference)
    assert torch.equal(network.decode(loaded, reference).logits, expected.logits)
    other = copy.deepcopy(network)
    assert torch.equal(other.decode(loaded, reference).logits, expected.logits)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), top=st.integers(0, 20), left=st.integers(0, 20))
def test_reference_update_inside_a_box(seed: int, top: int, left: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    reference = torch.randint(0, 5, (37, 45), generator=generator, dtype=torch.uint8)
    logits = torch.randn(30, 40, generator=generator)[3 : 37 - top, 5 : 45 - left]
    foreground = torch.zeros(37, 45, dtype=torch.bool)
    foreground[top : top + len(logits), left : left + logits.shape[1]] = logits > 0
    expected = reference.clone()
    reference_mask.update(expected, foreground)
    reference_mask.update_inside(reference, logits, top, left)
    assert torch.equal(reference, expected)


def test_errors_of_the_extension(network: Inter2Former) -> None:
    with torch.inference_mode():
        decoder = network._packing.of(network)
    assert decoder is not None
    native, upsampling = decoder.native, decoder.upsampling
    field = native.PromptField(decoder.prompt)
    with pytest.raises(ValueError, match="multiples of 16"):
        field.embed(torch.zeros(8, 16, dtype=torch.uint8).numpy(), 1)
    with pytest.raises(ValueError, match="labels"):
        field.embed(torch.full((16, 16), 9, dtype=torch.uint8).numpy(), 1)
    with pytest.raises(ValueError, match="threads"):
        field.embed(torch.zeros(16, 16, dtype=torch.uint8).numpy(), 0)
    with pytest.raises(ValueError, match="beyond"):
        native.update_reference(
            torch.zeros(16, 16, dtype=torch.uint8).numpy(), torch.zeros(9, 9).numpy(), 10, 0, 1
        )
    features = network.encode(torch.rand(1, 3, 64, 64))
    x, out = features.tokens[0].numpy(), torch.zeros(32, 32).numpy()
    edges = [edge[0].numpy() for edge in features.edges]
    for message, arguments in {
        "inside the tokens": (x, edges, None, 0, 0, 2, 5, out),
        "every step": (x, edges[1:], None, 0, 0, 2, 2, out),
        "edge must have shape": (x, edges[::-1], None, 0, 0, 2, 2, out),
        "out must have shape": (x, edges, None, 0, 0, 2, 3, out),
        "does not fit the tokens": (x, edges, field, 0, 0, 2, 2, out),
    }.items():
        with pytest.raises(ValueError, match=message):
            upsampling.run(*arguments, 1)
