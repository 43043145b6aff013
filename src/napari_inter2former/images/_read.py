"""Read one image plane from a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt
import tifffile

from napari_inter2former.errors import ImageError

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
        In the stored dtype. Colours are RGB or RGBA. Uncompressed TIFF is memory-mapped, not
        read. With channels other than RGB(A), give `channel_axis=-1` to the predictor.

    Raises
    ------
    ImageError
        If there is no such file, it is no image, is damaged, or holds several planes.
    """
    path = Path(path)
    if path.is_dir():
        raise ImageError(f"{path} is a folder; give one image file.")
    if not path.exists():
        raise ImageError(f"There is no file {path}.")
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise ImageError(f"{path} can't be opened: {error.strerror}.") from error
    if not start:
        raise ImageError(f"{path} is empty; its writing or download must have failed.")
    if start in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return _read_tiff(path, plane)
    image = _read_opencv(path)
    if image is None:
        raise ImageError(f"{path} is no image that can be read, or it is damaged.")
    if plane not in (None, 0):
        raise ImageError(f"{path} holds one plane; plane {plane} does not exist.")
    return image


def _read_tiff(path: Path, plane: int | None) -> npt.NDArray[Any]:
    try:
        with tifffile.TiffFile(path) as tiff:
            series = tiff.series[0]
            axes = series.axes
            if series.dataoffset is not None and series.dtype is not None:
                image: npt.NDArray[Any] = tifffile.memmap(path, mode="r")
                image = image.reshape(series.shape)
            else:
                image = series.asarray()
    except Exception as error:  # tifffile raises many kinds on damaged files
        # OpenCV has codecs of its own, such as LZW and JPEG, for which tifffile needs imagecodecs.
        fallback = _read_opencv(path)
        if fallback is not None and plane in (None, 0):
            return fallback
        raise ImageError(
            f"{path} can't be read as TIFF: {error}. If it is complete, its compression may need "
            "the package imagecodecs (pip install imagecodecs)."
        ) from error
    return _one_plane(image, axes, plane, path)


def _one_plane(
    image: npt.NDArray[Any], axes: str, plane: int | None, path: Path
) -> npt.NDArray[Any]:
    """Bring the axes to rows, columns, channels and choose a plane."""
    channel = next(
        (axes.index(a) for a in "SC" if a in axes and image.shape[axes.index(a)] > 1), -1
    )
    order = [i for i, a in enumerate(axes) if a not in "YX" and i != channel]
    if "Y" not in axes or "X" not in axes:
        raise ImageError(f"{path} holds no image plane: its axes are {axes}.")
    order += [axes.index("Y"), axes.index("X")]
    if channel >= 0:
        order.append(channel)
    image = image.transpose(order)
    kept = 2 if channel < 0 else 3
    stack = image.shape[: image.ndim - kept]
    planes = int(np.prod(stack, dtype=np.int64))
    if plane is None and planes > 1:
        raise ImageError(
            f"{path} holds {planes} planes (axes {axes}, shape {image.shape}); choose one with "
            "plane=0 and so on."
        )
    index = 0 if plane is None else plane
    if not 0 <= index < planes:
        raise ImageError(f"{path} holds {planes} planes; plane {plane} does not exist.")
    result: npt.NDArray[Any] = image[np.unravel_index(index, stack)] if stack else image
    return result


def _read_opencv(path: Path) -> npt.NDArray[Any] | None:
    # imdecode rather than imread: it takes paths with any characters on Windows.
    try:
        data = np.fromfile(path, dtype=np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    except (OSError, cv2.error):
        return None
    if image is None or image.ndim == 2:
        return image
    if image.shape[2] == 1:
        return image[..., 0]
    conversion = cv2.COLOR_BGRA2RGBA if image.shape[2] == 4 else cv2.COLOR_BGR2RGB
    return cv2.cvtColor(image, conversion)
