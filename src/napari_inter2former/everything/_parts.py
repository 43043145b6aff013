"""What blocks found, kept in a folder until the labels are written, so that a run can go on."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from napari_inter2former._files import OutputError, replacing, write_json
from napari_inter2former.predictor import Mask

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["FolderParts", "MemoryParts", "Parts"]

PLAN = "plan.json"


class Parts(Protocol):
    """Where the masks of blocks are kept."""

    def has(self, part: int) -> bool:
        """Whether a block is done."""

    def put(self, part: int, masks: Sequence[Mask]) -> None:
        """Keep what a block holds."""

    def get(self, part: int) -> Sequence[Mask]:
        """Return it again."""


class MemoryParts:
    """Parts in memory."""

    def __init__(self) -> None:
        self._parts: dict[int, Sequence[Mask]] = {}

    def has(self, part: int) -> bool:
        """Whether a block is done."""
        return part in self._parts

    def put(self, part: int, masks: Sequence[Mask]) -> None:
        """Keep what a block holds."""
        self._parts[part] = masks

    def get(self, part: int) -> Sequence[Mask]:
        """Return it again."""
        return self._parts[part]


class FolderParts:
    """Parts in a folder, one file each, written whole or not at all.

    Parameters
    ----------
    folder : pathlib.Path
        Made if it is missing.
    plan : dict
        What the parts depend on: image, weights, settings. A folder that was made for another
        plan is emptied first.

    Raises
    ------
    OutputError
        When it cannot be written.
    """

    def __init__(self, folder: Path, plan: dict[str, Any]) -> None:
        self.folder = folder
        try:
            before = json.loads((folder / PLAN).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            before = None
        if before != json.loads(json.dumps(plan)):
            shutil.rmtree(folder, ignore_errors=True)
            write_json(folder / PLAN, plan)

    def _path(self, part: int) -> Path:
        return self.folder / f"{part:07d}.npz"

    def has(self, part: int) -> bool:
        """Whether a block is done."""
        return self._path(part).is_file()

    def put(self, part: int, masks: Sequence[Mask]) -> None:
        """Keep what a block holds."""
        bits = [np.packbits(mask.data) for mask in masks]
        arrays: dict[str, NDArray[Any]] = {
            "boxes": np.array([mask.box for mask in masks], np.int64).reshape(-1, 4),
            "scores": np.array([mask.score for mask in masks], np.float64),
            "zooms": np.array([mask.zoom for mask in masks], np.float64),
            "bits": np.concatenate(bits) if bits else np.zeros(0, np.uint8),
        }
        path = self._path(part)
        try:
            with replacing(path) as beside, beside.open("wb") as file:
                np.savez(file, allow_pickle=False, **arrays)
        except OSError as error:
            reason = error.strerror or error
            raise OutputError(f"{path}: the file could not be written ({reason}).") from error

    def get(self, part: int) -> Sequence[Mask]:
        """Return it again."""
        with np.load(self._path(part)) as arrays:
            boxes, scores, zooms = arrays["boxes"], arrays["scores"], arrays["zooms"]
            bits = arrays["bits"]
        masks, start = [], 0
        for box, score, zoom in zip(boxes.tolist(), scores, zooms, strict=True):
            h, w = box[2] - box[0], box[3] - box[1]
            stop = start + -(-h * w // 8)
            data = np.unpackbits(bits[start:stop], count=h * w).reshape(h, w).astype(np.bool_)
            masks.append(Mask(data, tuple(box), float(score), float(zoom)))
            start = stop
        return masks

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
