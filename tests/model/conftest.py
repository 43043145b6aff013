"""Small networks for the tests of the model."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from napari_inter2former.model import PRESETS, Inter2Former, ModelConfig, build_model

SMALLEST = replace(
    PRESETS["tiny"],
    name="smallest",
    stem_channels=(4, 6, 8, 12),
    encoder_dim=16,
    encoder_depth=4,
    encoder_heads=2,
    window_tokens=4,
    anchor=64,
    dim=16,
    attention_heads=2,
    head_dim=8,
    code_bits=4,
    experts=4,
    expert_hidden=32,
    prompt_channels=(4, 8, 12),
    upsampling_channels=(12, 8, 4),
)


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
