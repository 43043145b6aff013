from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def weights(_own_home: Path) -> str:
    """Put a very small model into the user's folder, and return its path."""
    import torch

    from napari_inter2former.model import PRESETS, build_model
    from napari_inter2former.weights import save_weights, user_models_folder

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_model(
            replace(
                PRESETS["tiny"],
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
    path = user_models_folder() / "small.safetensors"
    save_weights(path, model)
    return str(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with three small images."""
    images = tmp_path / "images"
    images.mkdir()
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        data = rng.integers(0, 60, (90, 110)).astype(np.uint8)
        data[20:50, 30:70] += 150
        tifffile.imwrite(images / f"{name}.tif", data)
    return images
