"""Read one image plane from a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_inter2former.errors import ImageError
from napari_inter2former.images._open import open_stored

if TYPE_CHECKING:
    import os

__all__ = ["read_image"]


def read_image(path: str | os.PathLike[str], plane: int | None = None) -> npt.NDArray[Any]:
    """Read an image: TIFF, OME-TIFF, PNG, JPEG, WebP, BMP and whatever OpenCV reads.

    Parameters
    ----------
    path : path
        Of the file.
    plane : int, optional
        Which plane of a stack or series, counted over all its axes but rows, columns and
        channels. Without it, files with several planes are refused.

    Returns
    -------
    array, (rows, columns) or (rows, columns, channels)
        In the stored dtype. Colours are RGB; transparency is left out. Uncompressed TIFF is
        memory-mapped, not read. With channels other than RGB, give `channel_axis=-1` to the
        predictor.

    Raises
    ------
    ImageError
        If there is no such file, it is no image, is damaged, or holds several planes.
    """
    if Path(path).is_dir():
        raise ImageError(f"{path} is a folder; give one image file.")
    levels, channel_axis, _ = open_stored(Path(path)).plane(plane)
    pixels: Any = levels[0]
    if not isinstance(pixels, np.ndarray):  # memory-mapped ones stay so
        try:
            pixels = np.asarray(pixels)
        except ImageError:
            raise
        except Exception as error:  # each codec has errors of its own
            raise ImageError(f"{path} is damaged, it can't be read: {error}.") from error
    return pixels if channel_axis is None else np.moveaxis(pixels, channel_axis, -1)
