"""Small networks for the tests of the model."""

from __future__ import annotations

import pytest
import torch

from napari_inter2former.model import Inter2Former, ModelConfig, build_model

from ..networks import SMALLEST


def randomized(config: ModelConfig) -> Inter2Former:
    """Build a network in which nothing is left at zero or one, so that no part can hide."""
    torch.manual_seed(0)
    model = build_model(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return model


@pytest.fixture
def config() -> ModelConfig:
    """Return the configuration of the smallest network with every mechanism."""
    return SMALLEST


@pytest.fixture
def model(config: ModelConfig) -> Inter2Former:
    """Return the smallest network, with random weights."""
    return randomized(config)
