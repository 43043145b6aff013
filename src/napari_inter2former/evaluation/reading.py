"""Read images and label images from files, with errors that name the file.

TIFF is read by tifffile, everything else (PNG, JPEG, WebP, BMP) by OpenCV.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_inter2former.errors import Inter2FormerError

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

__all__ = ["FileError", "Picture", "read_image", "read_labels"]

_TIFF = {".tif", ".tiff"}
_MOST_CHANNELS = 16


class FileError(Inter2FormerError, ValueError):
    """A file that cannot be used; the message names the file and says why."""


class Picture(NamedTuple):
    """A 2-D image as `Predictor.set_image` takes it.

    Attributes
    ----------
    data : ndarray, shape (H, W), (H, W, C) or (C, H, W)
        The pixels, of the file's own type.
    channel_axis : int or None
        The axis of the channels, where they are no RGB colours.
    rgb : bool
        Whether the last axis holds RGB or RGBA colours.
    """

    data: NDArray[Any]
    channel_axis: int | None
    rgb: bool

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        sizes = list(self.data.shape)
        if self.rgb:
            del sizes[-1]
        elif self.channel_axis is not None:
            del sizes[self.channel_axis]
        return sizes[0], sizes[1]


def read_image(path: str | Path) -> Picture:
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
    FileError
        When the file is missing, unreadable, or no 2-D image.
    """
    path = Path(path)
    data, axes = _read(path)
    if data.size == 0:
        raise FileError(f"{path}: the image has no pixels.")
    if data.ndim == 2:
        return Picture(data, None, rgb=False)
    if data.ndim == 3 and "S" in axes and data.shape[-1] in (3, 4) and axes[-1] == "S":
        return Picture(data, None, rgb=True)
    if data.ndim == 3:
        axis = _channel_axis(data.shape, axes)
        if axis is not None:
            return Picture(data, axis, rgb=False)
    raise FileError(
        f"{path}: a 2-D image is needed, and this file has shape {data.shape}. "
        "Save the plane to be used as a file of its own."
    )


def read_labels(path: str | Path) -> NDArray[np.integer[Any]]:
    """Read a label image: 0 is background, every other number one object.

    Gaps between the numbers are allowed.

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
    FileError
        When the file is missing or unreadable, has more than two dimensions, or holds negative
        or fractional numbers.
    """
    path = Path(path)
    data, _ = _read(path)
    if data.ndim == 3 and data.shape[-1] in (3, 4) and _is_grey(data):
        data = np.ascontiguousarray(data[..., 0])
    if data.ndim != 2:
        raise FileError(
            f"{path}: a label image must have two dimensions and one number per pixel; "
            f"this one has shape {data.shape}."
        )
    if data.dtype == np.bool_:
        return data.astype(np.uint8)
    if np.issubdtype(data.dtype, np.floating):
        if not (np.isfinite(data).all() and (data == np.round(data)).all()):
            raise FileError(
                f"{path}: the labels are fractional numbers ({data.dtype}). "
                "Save them as whole numbers, for example uint16."
            )
        data = data.astype(np.int64)
    if not np.issubdtype(data.dtype, np.integer):
        raise FileError(f"{path}: labels must be whole numbers, not {data.dtype}.")
    if data.size and data.min() < 0:
        raise FileError(f"{path}: labels must not be negative (the smallest is {data.min()}).")
    return data


def _read(path: Path) -> tuple[NDArray[Any], str]:
    """Return the pixels and one letter per axis (Y, X, S = colours, C = channels, ...)."""
    if not path.is_file():
        raise FileError(f"{path}: there is no such file.")
    data = _read_tiff(path) if path.suffix.lower() in _TIFF else _read_plain(path)
    if data is None:
        raise FileError(f"{path}: the file cannot be read as an image (damaged, or no image).")
    return data


def _read_tiff(path: Path) -> tuple[NDArray[Any], str] | None:
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            data, axes = np.asarray(series.asarray()), str(series.axes)
    # tifffile and its codecs raise many kinds of errors on damaged files.
    except Exception:  # noqa: BLE001
        return None
    keep = [axis for axis, size in enumerate(data.shape) if size != 1 or axes[axis] in "YXS"]
    # Single planes of longer axes are plain 2-D images.
    axes = "".join(axes[axis] for axis in keep)
    return data.reshape([data.shape[axis] for axis in keep]), axes


def _read_plain(path: Path) -> tuple[NDArray[Any], str] | None:
    import cv2

    try:
        # Through a buffer: OpenCV cannot open every file name on Windows.
        raw = np.fromfile(path, np.uint8)
        data = cv2.imdecode(raw, cv2.IMREAD_UNCHANGED) if raw.size else None
    except (cv2.error, OSError):
        return None
    if data is None:
        return None
    if data.ndim == 2:
        return data, "YX"
    if data.shape[2] in (3, 4):
        order = [2, 1, 0, 3][: data.shape[2]]
        return np.ascontiguousarray(data[..., order]), "YXS"
    return np.ascontiguousarray(data[..., 0]), "YX"


def _channel_axis(shape: tuple[int, ...], axes: str) -> int | None:
    if "C" in axes:
        return axes.index("C")
    if "S" in axes:
        return axes.index("S")
    if "Z" in axes or "T" in axes:
        return None
    # No axis is named: the one that is much shorter than the others holds the channels.
    axis = min((0, 2), key=lambda candidate: shape[candidate])
    others = [size for other, size in enumerate(shape) if other != axis]
    return axis if shape[axis] <= _MOST_CHANNELS and 4 * shape[axis] <= min(others) else None


def _is_grey(data: NDArray[Any]) -> bool:
    return all(np.array_equal(data[..., 0], data[..., channel]) for channel in (1, 2))
