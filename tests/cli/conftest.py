from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from napari_inter2former.data import SAMPLES, load_sample, sample_folder

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def model():
    from ..networks import smallest_model

    return smallest_model(name="test")


@pytest.fixture
def weights(model, _own_home: Path) -> str:
    """Put the model into the user's folder, and return its name."""
    from napari_inter2former.weights import save_weights, user_models_folder

    figures = {"dsb2018": {"iou_at": {"10": 0.5, "5": 0.25}}}
    save_weights(user_models_folder() / "test.safetensors", model, {"figures": figures})
    return "test"


@pytest.fixture(params=list(SAMPLES))
def sample(request):
    return load_sample(request.param)


@pytest.fixture
def tissue_image() -> Path:
    return sample_folder() / "nuclei_tissue_image.png"
