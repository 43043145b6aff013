"""DAVIS: frames of videos, objects as colours (Perazzi et al., 2016; Pont-Tuset et al., 2017).

``JPEGImages/RESOLUTION/SEQUENCE/NNNNN.jpg`` and ``Annotations/RESOLUTION/SEQUENCE/NNNNN.png``.
The 345 frames that the field evaluates on come as ``img`` and ``gt``, see `folders`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_inter2former.evaluation.layouts.masks import read_colours
from napari_inter2former.evaluation.layouts.names import pictures, stem_of
from napari_inter2former.evaluation.pairs import DatasetError, Pair

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["find"]

RESOLUTIONS = ("Full-Resolution", "1080p", "480p", ".")
"""The finest that is there is taken."""


def find(folder: Path, split: str) -> list[Pair]:
    """List the annotated frames of a split.

    The sequences of a split are those of ``ImageSets/*/SPLIT.txt``; without such files all.

    Raises
    ------
    DatasetError
        When there are lists, but none for the split, or no frame is annotated.
    """
    images, annotations = folder / "JPEGImages", folder / "Annotations"
    if not (images.is_dir() and annotations.is_dir()):
        return []
    wanted = _sequences(folder, split)
    for resolution in RESOLUTIONS:
        pairs = []
        at = images / resolution
        for sequence in sorted(at.iterdir()) if at.is_dir() else ():
            if wanted is not None and sequence.name not in wanted:
                continue
            drawn = {stem_of(p): p for p in pictures(annotations / resolution / sequence.name)}
            pairs += [
                Pair(f"{sequence.name}/{stem_of(p)}", p, drawn[stem_of(p)], read_colours)
                for p in pictures(sequence)
                if stem_of(p) in drawn
            ]
        if pairs:
            return pairs
    raise DatasetError(f"{folder}: DAVIS, but no frame of the split {split!r} is annotated.")


def _sequences(folder: Path, split: str) -> set[str] | None:
    lists = sorted((folder / "ImageSets").glob("**/*.txt"))
    if not lists:
        return None
    of_split = [path for path in lists if path.stem == split]
    if not of_split:
        names = ", ".join(sorted({path.stem for path in lists}))
        raise DatasetError(f"{folder}: DAVIS with the splits {names}, but not {split!r}.")
    found = set()
    for path in of_split:
        for line in path.read_text(encoding="utf-8").split("\n"):
            # 2017: the sequence; 2016: paths of a frame and its annotation
            parts = line.split()[0].split("/") if line.split() else []
            if parts:
                found.add(parts[-2] if len(parts) > 1 else parts[0])
    return found
