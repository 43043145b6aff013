from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def weights(_own_home: Path) -> str:
    """Put a very small model into the user's folder, and return its path."""
    from napari_inter2former.weights import save_weights, user_models_folder

    from ..networks import smallest_model

    path = user_models_folder() / "small.safetensors"
    save_weights(path, smallest_model())
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
