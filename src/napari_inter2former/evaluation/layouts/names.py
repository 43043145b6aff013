"""Files by their names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_inter2former.evaluation.pairs import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = [
    "IMAGE_ENDINGS",
    "IMAGE_FOLDERS",
    "LABEL_ENDINGS",
    "LABEL_FOLDERS",
    "by_name",
    "common_name",
    "ending_of",
    "pictures",
    "stem_of",
]

SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".webp", ".bmp", ".jp2", ".pgm", ".ppm")
"""Of the files that count as images or labels."""

IMAGE_FOLDERS = ("images", "image", "imgs", "img", "raw", "rawimages")
LABEL_FOLDERS = ("labels", "label", "masks", "mask", "groundtruth", "gt")
"""Usual names of folders, in lower case."""

IMAGE_ENDINGS = ("_image", "_img", "")
LABEL_ENDINGS = ("_labels", "_label", "_cp_masks", "_masks", "_mask", "_seg", "")
"""What may follow the common name; ``_cp_masks`` and ``_masks`` are Cellpose's."""


def stem_of(path: Path) -> str:
    """Return a file's name without its suffix; ``.ome.tif`` is one."""
    return path.stem.removesuffix(".ome").removesuffix(".OME")


def pictures(folder: Path) -> list[Path]:
    """Return a folder's picture files, sorted; hidden ones are left out."""
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def ending_of(path: Path, endings: Iterable[str]) -> str | None:
    """Return the first of some endings that a file's name has."""
    return next((ending for ending in endings if stem_of(path).endswith(ending)), None)


def common_name(path: Path, endings: Iterable[str]) -> str | None:
    """Return what stands before the first of some endings, None if a file's name has none."""
    ending = ending_of(path, endings)
    return None if ending is None else stem_of(path).removesuffix(ending)


def by_name(paths: Iterable[Path], endings: Iterable[str]) -> dict[str, Path]:
    """Sort files by what stands before an ending; files without such an ending are left out.

    Raises
    ------
    DatasetError
        When two files claim the same name.
    """
    endings = tuple(endings)
    found: dict[str, Path] = {}
    for path in paths:
        name = common_name(path, endings)
        if name is None:
            continue
        if name in found:
            raise DatasetError(f"{path}: {found[name].name} is there too; keep one of them.")
        found[name] = path
    return found
