"""The stored arrays of an image: their axes, dtypes, and the levels of a pyramid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_inter2former.errors import ImageError

__all__ = ["Level", "find_levels", "whole_ratio"]


@dataclass(frozen=True, slots=True)
class Level:
    """One stored array, seen as (height, width, channels).

    Parameters
    ----------
    array : array-like
        Anything with ``shape``, ``dtype`` and slicing.
    height, width : int
        Size in its own pixels.
    channels : int
        Channels that are used (alpha is not).
    channel_axis : int or None
        Which axis holds the channels.
    factor : float
        Image pixels per pixel of this level, 1 for the full resolution. Whole where the shapes
        allow it.
    used : tuple of int or None
        The channels that are read; None for all.
    """

    array: Any
    height: int
    width: int
    channels: int
    channel_axis: int | None
    factor: float
    used: tuple[int, ...] | None = None

    @property
    def in_memory(self) -> bool:
        """Whether reading costs no more than a copy."""
        return isinstance(self.array, np.ndarray) and not isinstance(self.array, np.memmap)

    @property
    def chunk(self) -> tuple[int, int]:
        """Rows and columns of the pieces that it is stored in; (1, 1) if that is unknown."""
        array = self.array
        for name in ("chunks", "chunksize"):
            sizes = getattr(array, name, None)
            if isinstance(sizes, tuple) and all(isinstance(n, int) for n in sizes):
                plane = [n for i, n in enumerate(sizes) if i != self.channel_axis]
                if len(plane) == 2:
                    return plane[0], plane[1]
        return 1, 1

    @property
    def pixel_bytes(self) -> int:
        """Bytes of one pixel as `read` gives it."""
        channels = self.channels if self.used is None else len(self.used)
        return int(np.dtype(self.array.dtype).itemsize) * channels

    def read(self, r0: int, r1: int, c0: int, c1: int) -> npt.NDArray[Any]:
        """Read pixels [r0, r1) x [c0, c1) of this level.

        Returns
        -------
        array, (r1 - r0, c1 - c0, channels)
            The used channels, in the stored dtype; a view where the array allows it.

        Raises
        ------
        ImageError
            If the array can't be read there.
        """
        if self.channel_axis is None:
            return self._part(r0, r1, c0, c1, None)
        used = tuple(range(self.channels)) if self.used is None else self.used
        if used == tuple(range(used[0], used[-1] + 1)):
            return self._part(r0, r1, c0, c1, slice(used[0], used[-1] + 1))
        parts = [self._part(r0, r1, c0, c1, slice(i, i + 1)) for i in used]
        return np.concatenate(parts, axis=-1)

    def _part(self, r0: int, r1: int, c0: int, c1: int, channels: slice | None) -> npt.NDArray[Any]:
        index: list[slice] = [slice(r0, r1), slice(c0, c1)]
        if self.channel_axis is not None and channels is not None:
            index.insert(self.channel_axis, channels)
        try:
            pixels = np.asarray(self.array[tuple(index)])
        except Exception as error:  # whatever a lazy array raises: OSError, codec errors, ...
            raise ImageError(
                f"Rows {r0} to {r1}, columns {c0} to {c1} of the image could not be read "
                f"({type(error).__name__}: {error}); is its file complete and still there?"
            ) from error
        if self.channel_axis is None or channels is None:
            pixels = pixels[..., np.newaxis]
        else:
            pixels = np.moveaxis(pixels, self.channel_axis, -1)
        count = 1 if channels is None else channels.stop - channels.start
        if pixels.shape != (r1 - r0, c1 - c0, count):
            raise ImageError(
                f"Rows {r0} to {r1}, columns {c0} to {c1} of the image came back with the shape "
                f"{pixels.shape}; its size must have changed. Load it again."
            )
        return pixels


def find_levels(image: Any, channel_axis: int | None, rgb: bool | None) -> tuple[Level, ...]:
    """Find the levels of an image and their axes.

    Parameters
    ----------
    image : array-like or sequence of array-like
        One 2-D plane, with or without channels, or the levels of its pyramid, largest first.
    channel_axis : int or None
        The axis that holds channels.
    rgb : bool or None
        Whether the last axis holds RGB or RGBA; None: if it has length 3 or 4, there are three
        axes and no `channel_axis`.

    Returns
    -------
    tuple of Level
        Full resolution first.

    Raises
    ------
    ImageError
        If the dtype or the dimensions can't be used, or the levels do not match.
    """
    arrays = list(image) if _is_pyramid(image) else [image]
    if not arrays:
        raise ImageError("The image is an empty list: give an array or a list of pyramid levels.")
    first = _level(arrays[0], channel_axis, rgb, None)
    levels = [first]
    for array in arrays[1:]:
        level = _level(array, channel_axis, rgb, first)
        if level.channels != first.channels:
            raise ImageError(
                f"The pyramid levels do not match: {first.channels} channels in the first, "
                f"{level.channels} in another."
            )
        if level.factor == 1:
            raise ImageError(
                "A list is taken for the levels of a pyramid, largest first, and two arrays in "
                "this one have the full size; of a stack or a series, pass one plane."
            )
        if level.factor < levels[-1].factor:
            raise ImageError("The pyramid levels must be ordered from the largest to the smallest.")
        _check_same_scale(first, level)
        levels.append(level)
    return tuple(levels)


def _is_pyramid(image: Any) -> bool:
    if hasattr(image, "dtype") and not isinstance(image, Sequence):
        return False
    if not isinstance(image, Sequence) or isinstance(image, (str, bytes)):
        return False
    if image and not all(hasattr(item, "shape") for item in image):
        raise ImageError(
            "A list is taken for the levels of a pyramid, and this one does not hold arrays; "
            "turn nested lists of numbers into an array with numpy.asarray first."
        )
    return True


def _level(array: Any, channel_axis: int | None, rgb: bool | None, first: Level | None) -> Level:
    shape = getattr(array, "shape", None)
    if shape is None or not hasattr(array, "dtype") or not hasattr(array, "__getitem__"):
        raise ImageError(
            f"An image must be an array (NumPy, Dask, zarr, ...), not {type(array).__name__}."
        )
    _check_dtype(array.dtype)
    shape = tuple(int(n) for n in shape)
    axis, used = _channels(shape, channel_axis, rgb)
    height, width = (n for i, n in enumerate(shape) if i != axis)
    if 0 in shape:
        raise ImageError(f"The image is empty: its shape is {shape}.")
    factor = 1.0 if first is None else _factor(first, height, width)
    return Level(array, height, width, used, axis, factor)


def _channels(
    shape: tuple[int, ...], channel_axis: int | None, rgb: bool | None
) -> tuple[int | None, int]:
    ndim = len(shape)
    if channel_axis is not None:
        if rgb:
            raise ImageError("Give either channel_axis or rgb=True, not both.")
        if ndim != 3 or not -ndim <= channel_axis < ndim:
            raise ImageError(
                f"With channel_axis={channel_axis} the image must have three axes, rows, columns "
                f"and channels; its shape is {shape}. Of a stack or a series, pass one plane."
            )
        axis = channel_axis % ndim
        return axis, shape[axis]
    if rgb and (ndim != 3 or shape[-1] not in (3, 4)):
        raise ImageError(
            f"An RGB(A) image has the shape (rows, columns, 3) or (rows, columns, 4), not {shape}."
        )
    if ndim == 3 and shape[-1] in (3, 4) and rgb is not False:
        return 2, 3
    if ndim != 2:
        raise ImageError(
            f"An image must have two axes, or three with channels; its shape is {shape}. "
            "Of a stack or a series, pass one plane, such as image[0]; for channels, give "
            "channel_axis."
        )
    return None, 1


def _check_dtype(dtype: Any) -> None:
    try:
        kind = np.dtype(dtype).kind
    except TypeError as error:
        raise ImageError(f"The dtype {dtype} of the image is not one of NumPy's.") from error
    if kind == "c":
        raise ImageError(
            f"The image is complex ({dtype}); pass its magnitude (numpy.abs) or another real array."
        )
    if kind not in "biuf":
        raise ImageError(
            f"The image has the dtype {dtype}; only booleans, integers and floating-point numbers "
            "can be used."
        )


def _factor(first: Level, height: int, width: int) -> float:
    """Image pixels per level pixel; whole when rounding explains the difference."""
    whole = whole_ratio((first.height, first.width), (height, width))
    if whole is not None:
        return float(whole)
    factor = first.height / height if first.height >= first.width else first.width / width
    # One pixel of rounding for each level of a long pyramid is common.
    if abs(first.height / factor - height) > 2 or abs(first.width / factor - width) > 2:
        raise ImageError(
            f"The pyramid levels do not match: {first.height} x {first.width} pixels in the first "
            f"and {height} x {width} in another are no scaled versions of each other."
        )
    return factor


def whole_ratio(fulls: Sequence[int], sizes: Sequence[int]) -> int | None:
    """Return the whole number by which all sizes are smaller, up to rounding; None without one."""
    full, size = max(zip(fulls, sizes, strict=True))
    for whole in (round(full / size), full // size, full // size + 1):
        if whole >= 1 and all(
            n in (-(-full // whole), max(1, full // whole))
            for full, n in zip(fulls, sizes, strict=True)
        ):
            return whole
    return None


def _check_same_scale(first: Level, level: Level) -> None:
    """Refuse a level of another dtype whose values can't be means of the full resolution's.

    Means are often stored as floating point, which is fine; resizing functions that also map
    the values to 0 to 1 are not, since all levels are normalised by the same limits.
    """
    if np.dtype(first.array.dtype) == np.dtype(level.array.dtype):
        return
    height, width = min(level.height, 64), min(level.width, 64)
    r0, c0 = (level.height - height) // 2, (level.width - width) // 2
    coarse = level.read(r0, r0 + height, c0, c0 + width)
    n = level.factor
    side = min(1024, max(64, round(64 * n)))
    top, left = round(r0 * n), round(c0 * n)
    fine = first.read(
        top, min(top + side, first.height), left, min(left + side, first.width)
    ).astype(np.float64)
    coarse = coarse[: max(1, round(side / n)), : max(1, round(side / n))].astype(np.float64)
    low, high = np.nanmin(fine), np.nanmax(fine)
    slack = 0.05 * (high - low) + 1e-6 * max(abs(low), abs(high))
    if np.nanmin(coarse) < low - slack or np.nanmax(coarse) > high + slack:
        raise ImageError(
            f"The pyramid levels do not match: the first holds {first.array.dtype} from {low:g} to "
            f"{high:g}, and another holds {level.array.dtype} from {np.nanmin(coarse):g} to "
            f"{np.nanmax(coarse):g} in the same place. All levels need the same intensities "
            "(skimage's pyramid functions need preserve_range=True)."
        )
    # Means of means are the mean, however far a single pixel stands out.
    if abs(np.nanmean(coarse)) < abs(np.nanmean(fine)) / 100:
        raise ImageError(
            f"The pyramid levels do not match: the first holds {first.array.dtype} up to {high:g}, "
            f"and another holds {level.array.dtype} only up to {np.nanmax(coarse):g} in the same "
            "place. All levels need the same intensities (skimage's pyramid functions need "
            "preserve_range=True)."
        )
