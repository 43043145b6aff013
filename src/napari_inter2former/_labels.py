"""Label images as files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_inter2former._files import write_file

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

__all__ = ["write_labels"]


def write_labels(path: str | Path, labels: NDArray[np.integer[Any]]) -> None:
    """Write a label image as compressed TIFF, whole or not at all.

    Parameters
    ----------
    path : path-like
        The file; an existing one is replaced. Missing folders are made.
    labels : ndarray of an integer type, shape (H, W)
        The labels, none negative. They are written as uint16, or as uint32 when a number needs it.

    Raises
    ------
    OutputError
        When it cannot be written.
    """
    import tifffile

    small = int(labels.max(initial=0)) <= np.iinfo(np.uint16).max
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer, labels.astype(np.uint16 if small else np.uint32), compression="zlib", metadata=None
    )
    write_file(Path(path), buffer.getvalue())
