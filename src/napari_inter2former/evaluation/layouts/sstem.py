"""ssTEM: sections of a fly's nerve cord, mitochondria as pieces of a binary mask.

The dataset of Gerhard et al. (2013) as SegNext (Liu et al., CVPR 2024, section 4) evaluates on it:
``stack1/raw/NN.tif`` with ``stack1/mitochondria/NN.png``, 20 sections.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_inter2former.evaluation.layouts.folders import match_files
from napari_inter2former.evaluation.layouts.masks import read_components

if TYPE_CHECKING:
    from pathlib import Path

    from napari_inter2former.evaluation.pairs import Pair

__all__ = ["find"]


def find(folder: Path, split: str) -> list[Pair]:
    """List the sections that have mitochondria drawn in; there are no splits."""
    for at in (folder, folder / "stack1"):
        if (at / "raw").is_dir() and (at / "mitochondria").is_dir():
            return match_files(at / "raw", at / "mitochondria", read_components)
    return []
