"""Which images a batch job works on: files, folders, globs and zarr groups."""

from __future__ import annotations

import glob
import os
from pathlib import Path
from typing import TYPE_CHECKING

from napari_inter2former.batch._outputs import FORMATS, read_provenance
from napari_inter2former.errors import Inter2FormerError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ENDINGS", "BatchError", "find_images", "output_stem"]

ENDINGS = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".webp", ".bmp", ".zarr")
"""What is taken from a folder; files that are named are tried whatever they end in."""
_OURS = tuple(f"_labels{ending}" for ending in FORMATS.values())


class BatchError(Inter2FormerError):
    """A batch job that can't start; the message says why."""


def find_images(patterns: Iterable[str | Path]) -> list[Path]:
    """List the images that are meant, sorted, each once.

    Parameters
    ----------
    patterns : iterable of str or path
        Files, folders (their images, not those of folders inside), zarr folders, or patterns with
        ``*``, ``?`` and ``**``.

    Returns
    -------
    list of pathlib.Path

    Raises
    ------
    BatchError
        If one of them names nothing, or two images would get the same output.
    """
    found: dict[Path, Path] = {}
    for pattern in patterns:
        path = Path(pattern)
        if path.is_file() or is_zarr(path):
            # The shell may have listed what an earlier run has written beside the images.
            if path.name.endswith(_OURS) and read_provenance(path) is not None:
                continue
            some = [path]
        elif path.is_dir():
            some = [child for child in sorted(path.iterdir()) if _is_image(child)]
        else:
            # Patterns may be absolute, which Path.glob refuses.
            names = sorted(glob.glob(str(pattern), recursive=True))  # noqa: PTH207
            some = [Path(name) for name in names]
            some = [each for each in some if each.is_file() or is_zarr(each)]
            # Neither labels that an earlier run has written, nor the arrays inside zarr images.
            some = [each for each in some if not each.name.endswith(_OURS)]
            some = [each for each in some if not any(is_zarr(folder) for folder in each.parents)]
        if not some:
            raise BatchError(
                f"{pattern}: no image found. Give files, folders with images "
                f"({', '.join(ENDINGS)}), zarr groups, or patterns in quotes such as 'data/*.tif'."
            )
        for image in some:
            found.setdefault(image.absolute(), image)
    if not found:
        raise BatchError("No image found: what was given are labels that this program has written.")
    stems: dict[str, Path] = {}
    for path in found.values():
        # On Windows A.tif and a.png would share their outputs, too.
        other = stems.setdefault(os.path.normcase(output_stem(path)), path)
        if other != path:
            raise BatchError(
                f"{other} and {path} would both be written as {output_stem(path)}: "
                "give them in two runs, with an output folder each."
            )
    return list(found.values())


def output_stem(path: Path) -> str:
    """Return what the names of an image's outputs begin with."""
    stem = path.name
    for ending in (".ome", *ENDINGS) * 2:
        if stem.lower().endswith(ending) and len(stem) > len(ending):
            stem = stem[: -len(ending)]
    return stem


def is_zarr(path: Path) -> bool:
    """Whether a folder is a zarr group or array."""
    return path.is_dir() and any(
        (path / name).is_file() for name in ("zarr.json", ".zgroup", ".zarray")
    )


def _is_image(path: Path) -> bool:
    if path.name.startswith(".") or path.name.endswith(_OURS):
        return False
    if path.is_dir():
        return is_zarr(path)
    return path.suffix.lower() in ENDINGS
