"""Read images for the predictor and label images from files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from napari_inter2former.errors import ImageError
from napari_inter2former.images import read_image

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

__all__ = ["Picture", "read_labels", "read_picture"]


class Picture(NamedTuple):
    """A 2-D image as `Predictor.set_image` takes it.

    Attributes
    ----------
    data : ndarray, shape (H, W) or (H, W, C)
        The pixels, of the file's own type.
    channel_axis : int or None
        The axis of the channels, where they are no RGB colours.
    rgb : bool
        Whether the last axis holds RGB colours.
    """

    data: NDArray[Any]
    channel_axis: int | None
    rgb: bool

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        high, wide = self.data.shape[:2]
        return high, wide


def read_picture(path: str | Path) -> Picture:
    """Read a 2-D image, grey, RGB or with several channels.

    Parameters
    ----------
    path : path-like
        A TIFF, PNG, JPEG, WebP or BMP file.

    Returns
    -------
    Picture
        The pixels, and where the channels are.

    Raises
    ------
    ImageError
        When the file is missing, unreadable, or no 2-D image.
    """
    data = read_image(path)
    if data.ndim == 2:
        return Picture(data, None, rgb=False)
    rgb = data.shape[-1] == 3
    return Picture(data, None if rgb else data.ndim - 1, rgb)


def read_labels(path: str | Path) -> NDArray[np.integer[Any]]:
    """Read a label image: 0 is background, every other number one object.

    Gaps between the numbers are allowed, and so are whole numbers stored as floats.

    Parameters
    ----------
    path : path-like
        A TIFF or PNG file of whole numbers.

    Returns
    -------
    ndarray of an integer type, shape (H, W)
        The labels.

    Raises
    ------
    ImageError
        When the file is missing or unreadable, is no single plane, or holds negative or fractional
        numbers.
    """
    path = Path(path)
    if path.suffix.lower() in (".jpg", ".jpeg", ".jp2") or _is_lossy_webp(path):
        kind = "Lossy WebP" if path.suffix.lower() == ".webp" else "JPEG"
        raise ImageError(
            f"{path}: {kind} changes numbers, so it can't hold labels; save them as TIFF or PNG."
        )
    data = read_image(path)
    if data.ndim == 3 and data.shape[-1] in (3, 4):
        if _is_grey(data):
            data = np.ascontiguousarray(data[..., 0])
        elif _has_palette(path):
            with Image.open(path) as picture:
                data = np.asarray(picture)
    if data.ndim != 2:
        raise ImageError(
            f"{path}: a label image must have two dimensions and one number per pixel; "
            f"this one has shape {data.shape}."
        )
    if data.dtype == np.bool_:
        return data.astype(np.uint8)
    if np.issubdtype(data.dtype, np.floating):
        if not (np.isfinite(data).all() and (data == np.round(data)).all()):
            raise ImageError(
                f"{path}: the labels are fractional numbers ({data.dtype}). "
                "Save them as whole numbers, for example uint16."
            )
        data = data.astype(np.int64)
    if not np.issubdtype(data.dtype, np.integer):
        raise ImageError(f"{path}: labels must be whole numbers, not {data.dtype}.")
    if data.size and data.min() < 0:
        raise ImageError(f"{path}: labels must not be negative (the smallest is {data.min()}).")
    return data


def _is_lossy_webp(path: Path) -> bool:
    """Whether a WebP file holds a VP8 chunk, and no lossless one (VP8L)."""
    if path.suffix.lower() != ".webp" or not path.is_file():
        return False
    content = path.read_bytes()
    at = 12
    while at + 8 <= len(content):
        if content[at : at + 4] in (b"VP8 ", b"VP8L"):
            return content[at : at + 4] == b"VP8 "
        at += 8 + (int.from_bytes(content[at + 4 : at + 8], "little") + 1) // 2 * 2
    return False


def _has_palette(path: Path) -> bool:
    """Whether a PNG file shows its numbers in colours of a palette; OpenCV reads the colours."""
    with path.open("rb") as file:
        start = file.read(26)
    return start.startswith(b"\x89PNG") and start[25:] == b"\x03"


def _is_grey(data: NDArray[Any]) -> bool:
    return all(np.array_equal(data[..., 0], data[..., channel]) for channel in (1, 2))
