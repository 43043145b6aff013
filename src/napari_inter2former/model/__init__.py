"""The network: PyTorch only; no napari, no Qt, no files."""

from __future__ import annotations

from . import reference_mask
from .config import PRESETS, ModelConfig
from .inter2former import (
    Decoded,
    ImageFeatures,
    Inter2Former,
    TrainingOutput,
    build_model,
)
from .precision import encoder_precision

__all__ = [
    "PRESETS",
    "Decoded",
    "ImageFeatures",
    "Inter2Former",
    "ModelConfig",
    "TrainingOutput",
    "build_model",
    "encoder_precision",
    "reference_mask",
]
