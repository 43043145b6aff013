"""A small pool of drawn images, and the smallest network under a preset's name."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from napari_inter2former.model import PRESETS

from ..networks import SMALLEST


@pytest.fixture
def preset(monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of a preset that trains in no time."""
    monkeypatch.setitem(PRESETS, SMALLEST.name, SMALLEST)
    return SMALLEST.name


def draw_pair(folder: Path, name: str, seed: int, size: int = 120) -> None:
    """Write an image of bright discs on noise, and its labels."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 60, (size, size), dtype=np.uint8)
    labels = np.zeros((size, size), np.uint16)
    for label, (row, column) in enumerate(((30, 30), (80, 40), (60, 90)), start=5):
        radius = int(rng.integers(10, 18))
        cv2.circle(labels, (column, row), radius, label, -1)
    image[labels > 0] += 120
    folder.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / f"{name}_image.png"), image)
    cv2.imwrite(str(folder / f"{name}_label.png"), labels)


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    """Return a pool of two datasets."""
    for dataset in ("discs", "others"):
        for i in range(2):
            draw_pair(tmp_path / "pool" / dataset / "train", f"{i:04d}", i)
    return tmp_path / "pool"
