from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from napari_inter2former.data import SAMPLES, load_sample, sample_folder

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def model():
    """Return a very small model with random weights; it draws nonsense, the same every time."""
    import torch

    from napari_inter2former.model import PRESETS, build_model

    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_model(
            replace(
                PRESETS["tiny"],
                name="test",
                window=96,
                stem_channels=(4, 4, 8, 8),
                encoder_dim=16,
                encoder_depth=4,
                encoder_heads=2,
                dim=16,
                decoder_depth=1,
                head_dim=8,
                expert_hidden=16,
                prompt_channels=(4, 8, 8),
                upsampling_channels=(8, 4, 4),
            )
        )


@pytest.fixture
def weights(model, _own_home: Path) -> str:
    """Put the model into the user's folder, and return its name."""
    from napari_inter2former.weights import save_weights, user_models_folder

    figures = {"dsb2018": {"iou_at": {"5": 0.25}}}
    save_weights(user_models_folder() / "test.safetensors", model, {"figures": figures})
    return "test"


@pytest.fixture(params=list(SAMPLES))
def sample(request):
    return load_sample(request.param)


@pytest.fixture
def tissue_image() -> Path:
    return sample_folder() / "nuclei_tissue_image.png"
