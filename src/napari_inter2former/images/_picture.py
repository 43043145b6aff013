"""Read ordinary pictures: PNG, JPEG and whatever else OpenCV reads."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from napari_inter2former.errors import ImageError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["read_picture"]


def read_picture(path: Path) -> tuple[npt.NDArray[Any], bool]:
    """Read a picture.

    Parameters
    ----------
    path : pathlib.Path
        Of the file.

    Returns
    -------
    image : array, (rows, columns) or (rows, columns, 3)
        Grey or RGB, in the stored dtype.
    alpha : bool
        Whether transparency was left out.

    Raises
    ------
    ImageError
        If there is no such file, it is no image, or is damaged.
    """
    if not path.exists():
        raise ImageError(f"There is no file {path}.")
    # imdecode rather than imread: it takes paths with any characters on Windows.
    try:
        data = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise ImageError(f"{path} can't be opened: {error.strerror or error}.") from error
    if not data.size:
        raise ImageError(f"{path} is empty; its writing or download must have failed.")
    image: Any = None
    with suppress(cv2.error):
        image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    if image is None:
        raise ImageError(f"{path} is no image that can be read, or it is damaged.")
    if image.ndim == 2:
        return image, False
    if image.shape[2] == 1:
        return image[..., 0], False
    alpha = image.shape[2] == 4
    return cv2.cvtColor(image, cv2.COLOR_BGRA2RGB if alpha else cv2.COLOR_BGR2RGB), alpha
