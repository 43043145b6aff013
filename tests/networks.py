"""The smallest network with every mechanism, for all tests that need a real one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from napari_inter2former.model import PRESETS, Inter2Former, build_model

SMALLEST = replace(
    PRESETS["tiny"],
    name="smallest",
    window=128,
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


def smallest_model(**changes: Any) -> Inter2Former:
    """Build it with random weights, the same every time; it draws nonsense.

    Parameters
    ----------
    **changes
        Of the configuration.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_model(replace(SMALLEST, **changes))
