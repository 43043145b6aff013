"""The whole network: fast path against plain twin, any size, every switch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from napari_inter2former.model import PRESETS, Inter2Former, ModelConfig, build_model
from napari_inter2former.model import reference_mask as rm
from napari_inter2former.training.loop import intersection_over_union
from napari_inter2former.training.losses import mask_loss

from .conftest import randomized

SWITCHES: dict[str, dict[str, Any]] = {
    "default": {},
    "non-DPE": {"dpe": False},
    "all-FA": {"attention": "full"},
    "all-BSQA": {"attention": "quantized"},
    "non-DLU": {"dlu": False},
    "VQA": {"quantizer": "vq"},
    "linear stem, CannyNet": {"stem": "linear", "edges": "canny"},
    "group norm": {"norm": "group"},
    "no prompt skips": {"prompt_skips": False},
    "SegNext": {"dpe": False, "attention": "full", "dlu": False},
}


@pytest.fixture(params=SWITCHES)
def switched(request: pytest.FixtureRequest, config: ModelConfig) -> Inter2Former:
    """Return a network for each switch."""
    return randomized(replace(config, **SWITCHES[request.param]))


def disc(height: int, width: int, row: int, column: int, radius: int) -> torch.Tensor:
    """Return a round mask."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2


def reference_after_clicks(height: int, width: int) -> torch.Tensor:
    """Return a reference mask with both clicks, a previous mask, and unknown pixels."""
    reference = rm.new(height, width)
    rm.update(reference, disc(height, width, height // 2, width // 2, min(height, width) // 6))
    rm.add_click(reference, height // 2, width // 2, True)
    rm.add_click(reference, height // 4, width // 3, False)
    reference[: height // 10, : width // 10] = rm.Label.UNKNOWN
    return reference


def plain(model: Inter2Former, image: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Decode by the plain twin: everything in full."""
    height, width = reference.shape
    bottom, right = -height % 16, -width % 16
    padded = F.pad(image, (0, right, 0, bottom), mode="replicate").permute(0, 2, 3, 1)
    reference = F.pad(reference, (0, right, 0, bottom), value=int(rm.Label.POSSIBLE_BACKGROUND))
    with torch.no_grad():
        logits = model(model.encode_batch(padded.contiguous()), reference[None]).logits
    return logits[0, :height, :width]


def test_fast_path_equals_plain_twin(switched: Inter2Former) -> None:
    torch.manual_seed(1)
    image = torch.rand(1, 3, 150, 200)
    reference = reference_after_clicks(150, 200)
    logits, (top, left, bottom, right), _ = switched.decode(switched.encode(image), reference)
    assert logits.numel() > 0
    if switched.config.norm == "group" and (bottom - top, right - left) != (150, 200):
        pytest.fail("statistics of a part differ; the box must be the whole image for this test")
    expected = plain(switched, image, reference)[top:bottom, left:right]
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)


def test_local_upsampling_equals_full_upsampling_inside_its_box(model: Inter2Former) -> None:
    torch.manual_seed(1)
    image = torch.rand(1, 3, 256, 256)
    reference = reference_after_clicks(256, 256)
    with torch.no_grad():  # move the threshold so that the box is a real part of the image
        tokens = model.encode(image)
        low = model.upsampling.locate[-1]
        area, least, most = 0, -8.0, 8.0
        while not 0 < area < 200 * 200:
            assert most - least > 1e-6, "no threshold gives a partial box"
            bias = (least + most) / 2
            low.bias.fill_(bias)
            tokens = model.prepared(tokens)  # which keeps the decoder with its weights
            _, box, _ = model.decode(tokens, reference)
            area = (box[2] - box[0]) * (box[3] - box[1])
            least, most = (least, bias) if area else (bias, most)
    logits, (top, left, bottom, right), _ = model.decode(tokens, reference)
    expected = plain(model, image, reference)[top:bottom, left:right]
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 40), (16, 16), (17, 33), (5, 700), (130, 64), (333, 257)]
)
def test_any_size_goes_through(model: Inter2Former, shape: tuple[int, int]) -> None:
    features = model.encode(torch.rand(1, 3, *shape))
    assert features.shape == shape
    reference = rm.new(*shape)
    rm.add_click(reference, shape[0] // 2, shape[1] // 2, True)
    logits, (top, left, bottom, right), _ = model.decode(features, reference)
    assert logits.shape == (bottom - top, right - left)
    assert 0 <= top <= bottom <= shape[0]
    assert 0 <= left <= right <= shape[1]
    assert logits.isfinite().all()


def test_a_very_large_image_goes_through(model: Inter2Former) -> None:
    features = model.encode(torch.rand(1, 3, 3000, 5000))
    reference = rm.from_mask(torch.zeros(3000, 5000, dtype=torch.bool))
    rm.add_click(reference, 1500, 2500, True)
    logits, *_ = model.decode(features, reference)
    assert logits.isfinite().all()


def test_reference_of_another_size_is_refused(model: Inter2Former) -> None:
    features = model.encode(torch.rand(1, 3, 32, 32))
    with pytest.raises(ValueError, match="must agree"):
        model.decode(features, rm.new(32, 33))


def test_results_do_not_depend_on_batch_neighbours(model: Inter2Former) -> None:
    torch.manual_seed(2)
    images = torch.rand(3, 64, 96, 3)
    references = torch.stack([reference_after_clicks(64, 96)] * 6)
    references[1::2] = references[1::2].flip(1)
    with torch.no_grad():
        together = model(model.encode_batch(images), references).logits
        alone = [
            model(model.encode_batch(images[i : i + 1]), references[2 * i : 2 * i + 2]).logits
            for i in range(3)
        ]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-4)


def test_gradients_reach_every_parameter(switched: Inter2Former) -> None:
    switched.train()
    torch.manual_seed(1)
    images = torch.rand(1, 96, 96, 3)
    features = switched.encode_batch(images)
    reference = reference_after_clicks(96, 96)[None]
    output = switched(features, reference)
    assert output.iou is not None
    assert switched.objects is not None
    seen = switched.objects(features)
    parts = (output.logits, output.low_resolution, output.commitment, output.iou, seen)
    torch.stack([part.mean() for part in parts]).sum().backward()
    unused = {name for name, p in switched.named_parameters() if p.grad is None}
    allowed = ("quantizer",) if switched.config.attention == "full" else ()
    # Padding tokens are used by images that don't fill whole windows only.
    assert not {n for n in unused if not n.endswith("padding") and not any(a in n for a in allowed)}


@pytest.mark.parametrize("name", ["default", "all-BSQA", "VQA", "linear stem, CannyNet"])
def test_one_object_can_be_learned(config: ModelConfig, name: str) -> None:
    torch.manual_seed(0)
    model = build_model(replace(config, **SWITCHES[name])).train()
    target = disc(64, 64, 34, 28, 15)
    target[20:50, 40:44] = True
    image = 0.2 * torch.rand(1, 64, 64, 3) + 0.5 * target[None, ..., None]
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    reference = rm.new(64, 64)
    rm.add_click(reference, 34, 28, True)
    iou = 0.0
    for _ in range(300):
        output = model(model.encode_batch(image), reference[None])
        iou = float(intersection_over_union(output.logits > 0, target[None])[0])
        if iou > 0.95:
            break
        optimizer.zero_grad()
        (mask_loss(output.logits, target[None]).mean() + 0.25 * output.commitment).backward()
        optimizer.step()
    assert iou > 0.95


def test_presets_build_and_sizes_are_as_documented() -> None:
    assert set(PRESETS) == {"tiny", "small", "base"}
    tiny = build_model("tiny")
    # Half-precision weights of the default model must stay under 16 MiB.
    assert 2 * sum(p.numel() for p in tiny.parameters()) < 16 * 2**20


def test_unknown_preset_is_named() -> None:
    with pytest.raises(ValueError, match="No preset is called 'huge'"):
        build_model("huge")


@pytest.mark.parametrize(
    "change",
    [{"encoder_depth": 5}, {"edges": "stem", "stem": "linear"}, {"attention": "sparse"}],
)
def test_impossible_configurations_are_refused(config: ModelConfig, change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Invalid model configuration"):
        replace(config, **change)


def test_configuration_survives_a_dictionary(config: ModelConfig) -> None:
    assert ModelConfig.from_dict(config.to_dict()) == config
    with pytest.raises(ValueError, match="Unknown model settings: wings"):
        ModelConfig.from_dict({"wings": 2})
