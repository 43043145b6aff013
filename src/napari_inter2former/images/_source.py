"""Lazy reading of image regions as the model's input."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from napari_inter2former.errors import ImageError
from napari_inter2former.images._cached import ChunkCache
from napari_inter2former.images._channels import (
    Channels,
    Rendering,
    as_channels,
    to_three_channels,
)
from napari_inter2former.images._chunks import say_missing_chunks
from napari_inter2former.images._estimate import estimate_normalization
from napari_inter2former.images._levels import Level, find_levels
from napari_inter2former.images._stored import StoredImage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_inter2former.images._normalize import Normalization

__all__ = ["ImageSource", "as_image_source"]

# Pixels read at once when a region is shrunk.
STRIP_PIXELS = 1 << 24
# Pixels that may be read for one window before zooming out stops: in memory, and elsewhere.
MEMORY_READ_PIXELS = 1 << 28
STORED_READ_PIXELS = 1 << 27

Floats = npt.NDArray[np.float32]


class ImageSource:
    """One image plane of any size, read region by region at power-of-two zooms.

    Made by `as_image_source`. Nothing is read before it is asked for, apart from the sample for
    the normalisation, and no copy of the whole image is made. Decoded chunks of images on disk are
    kept, up to a bound in bytes.

    Attributes
    ----------
    shape : tuple of int
        (height, width) in image pixels.
    channels : int
        Stored channels (3 for RGBA).
    rendering : Rendering
        Limits in use, the roles of the channels, and the axes as they were given.
    """

    def __init__(
        self,
        levels: tuple[Level, ...],
        normalization: Normalization | None,
        channels: Channels | None = None,
        channel_axis: int | None = None,
        rgb: bool | None = None,
    ) -> None:
        self.shape = (levels[0].height, levels[0].width)
        self.channels = levels[0].channels
        self._mix = to_three_channels if channels is None else channels.mix
        used = tuple(range(self.channels)) if channels is None else channels.used
        if channels is not None:
            levels = tuple(replace(level, used=used) for level in levels)
        self._levels = levels
        self._chunks = ChunkCache()
        self._unsaid = True
        if normalization is None:
            limits = estimate_normalization([levels])
            normalization = limits.spread(used, self.channels)
        if normalization.channels != self.channels:
            raise ImageError(
                f"The normalisation is for {normalization.channels} channels, and the image has "
                f"{self.channels}."
            )
        self._limits = normalization.select(used)
        self.rendering = Rendering(normalization, channels, channel_axis, rgb)

    @property
    def normalization(self) -> Normalization:
        """The limits in use, of every stored channel; (0, 0) for ignored ones."""
        return self.rendering.normalization

    def forget_pixels(self) -> None:
        """Read everything anew from now on: the image's pixels may have changed."""
        self._chunks.clear()

    def lowest_exponent(self, side: int) -> int:
        """Smallest zoom at which a window can still be read in about a second.

        Parameters
        ----------
        side : int
            Of the window, input pixels.

        Returns
        -------
        int
            Base-2 logarithm of the zoom; it depends on the smallest stored level. Where all of
            that level can be read, the zoom at which the image is one pixel.
        """
        level = self._levels[-1]
        pixels = MEMORY_READ_PIXELS if level.in_memory else STORED_READ_PIXELS
        if level.height * level.width <= pixels:
            return -max(self.shape).bit_length()
        return -int(math.log2(max(1.0, level.factor * math.isqrt(pixels) / side)))

    def read(self, row: int, column: int, height: int, width: int, exponent: int) -> Floats:
        """Read a region of the zoomed image.

        The image at zoom ``2 ** exponent`` has ``ceil(size * zoom)`` rows and columns. Shrinking
        averages areas, enlarging is bilinear, with the true neighbours beyond the region's edge.

        Parameters
        ----------
        row, column : int
            First row and column, in pixels of the zoomed image; at zooms above 1 multiples of the
            zoom.
        height, width : int
            Size in pixels of the zoomed image, within it.
        exponent : int
            Base-2 logarithm of the zoom.

        Returns
        -------
        array of float32, (height, width, 3)
            In [0, 1], C-contiguous.

        Raises
        ------
        ImageError
            If the image can't be read there.
        """
        if exponent > 0:
            pixels = self._enlarged(row, column, height, width, 1 << exponent)
        else:
            pixels = self._shrunk(row, column, height, width, 1 << -exponent)
        return self._mix(np.clip(pixels, 0.0, 1.0))

    def _enlarged(self, row: int, column: int, height: int, width: int, zoom: int) -> Floats:
        level = self._levels[0]
        r0, r1 = row // zoom, -(-(row + height) // zoom)
        c0, c1 = column // zoom, -(-(column + width) // zoom)
        top, left = max(r0 - 1, 0), max(c0 - 1, 0)
        pixels = self._scaled(level, top, min(r1 + 1, level.height), left, min(c1 + 1, level.width))
        size = (pixels.shape[1] * zoom, pixels.shape[0] * zoom)
        pixels = _channelwise(
            pixels, lambda plane: cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR)
        )
        r, c = row - top * zoom, column - left * zoom
        return pixels[r : r + height, c : c + width]

    def _shrunk(self, row: int, column: int, height: int, width: int, factor: int) -> Floats:
        level = self._pick(factor)
        ratio = factor / level.factor
        out = np.empty((height, width, self._limits.channels), dtype=np.float32)
        rows = max(1, int(STRIP_PIXELS / (ratio * ratio * width)))
        for start in range(0, height, rows):
            stop = min(start + rows, height)
            if ratio == int(ratio):
                strip = self._averaged(level, row + start, column, stop - start, width, int(ratio))
            else:
                strip = self._resampled(level, row + start, column, stop - start, width, ratio)
            out[start:stop] = strip
        return out

    def _scaled(self, level: Level, r0: int, r1: int, c0: int, c1: int) -> Floats:
        """Read a region of a level and map its limits to 0 and 1."""
        pixels = self._chunks.read(level, r0, r1, c0, c1)
        if self._unsaid:
            self._unsaid = not say_missing_chunks(level.array, pixels)
        return self._limits.scale(pixels)

    def _pick(self, factor: int) -> Level:
        """Pick the coarsest level that is not coarser than wanted, whole ratios preferred."""
        fine = [level for level in self._levels if level.factor <= factor]
        best = fine[-1]
        for level in reversed(fine):
            if factor % level.factor == 0 and best.factor < 2 * level.factor:
                return level
        return best

    def _averaged(
        self, level: Level, row: int, column: int, height: int, width: int, n: int
    ) -> Floats:
        """Means of n x n blocks; blocks at the image's far edge may be smaller."""
        r1, c1 = min((row + height) * n, level.height), min((column + width) * n, level.width)
        # A level that was rounded down can lack the last block: its last pixel stands in.
        r0, c0 = min(row * n, r1 - 1), min(column * n, c1 - 1)
        pixels = self._scaled(level, r0, r1, c0, c1)
        if n == 1:
            return _padded(pixels, height, width)
        h, w = math.ceil((r1 - r0) / n), math.ceil((c1 - c0) / n)
        # Repeating the edge changes the weights inside the last, partial block only.
        pixels = _padded(pixels, h * n, w * n)
        means = _channelwise(
            pixels, lambda plane: cv2.resize(plane, (w, h), interpolation=cv2.INTER_AREA)
        )
        return _padded(means, height, width)

    def _resampled(
        self, level: Level, row: int, column: int, height: int, width: int, ratio: float
    ) -> Floats:
        """Any ratio: areas averaged by its whole part, then bilinear at the pixel centres."""
        n = int(ratio)
        rows = ((np.arange(row, row + height) + 0.5) * ratio / n - 0.5).astype(np.float32)
        columns = ((np.arange(column, column + width) + 0.5) * ratio / n - 0.5).astype(np.float32)
        shape = (-(-level.height // n), -(-level.width // n))
        r0, r1 = _covering(rows, shape[0])
        c0, c1 = _covering(columns, shape[1])
        pixels = self._averaged(level, r0, c0, r1 - r0, c1 - c0, n)
        map_x, map_y = np.meshgrid(columns - c0, rows - r0)
        return _channelwise(
            pixels,
            lambda plane: cv2.remap(
                plane, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            ),
        )


def as_image_source(
    image: Any,
    channel_axis: int | None = None,
    rgb: bool | None = None,
    normalization: Normalization | None = None,
    channels: Channels | Iterable[str] | None = None,
) -> ImageSource:
    """Wrap an image for reading by windows.

    Channels become the model's three inputs like this: one channel (grey) is repeated; three are
    red, green and blue; RGBA loses its alpha; two give red, green and their mean; of four and
    more, input ``j`` is the mean of the normalised channels ``j, j + 3, j + 6, ...``, so that none
    is dropped.

    Parameters
    ----------
    image : array-like, sequence of array-like, StoredImage or ImageSource
        One plane: (rows, columns), (rows, columns, 3 or 4) for RGB(A), or three axes with
        `channel_axis`. NumPy (memory-mapped or not), Dask, zarr or anything that slices alike; a
        sequence holds the levels of a pyramid, largest first. Booleans, integers and floating
        point; NaN and infinities are allowed.
    channel_axis : int, optional
        Axis of the channels.
    rgb : bool, optional
        Whether the last axis is RGB(A); by default when it has length 3 or 4.
    normalization : Normalization, optional
        Limits to use; by default percentiles 1 and 99.8 of each channel, of a bounded sample; where
        these hold nothing but noise, and a few objects lie beyond, what shows those. Not for an
        `ImageSource`, which has its own, and the other arguments, too.
    channels : Channels or sequence of str, optional
        What each channel is for, see `Channels`; ``["ignore", "red", "green"]`` for one. By
        default all are used, by the rule above.

    Warns
    -----
    UserWarning
        Once, when a zarr array lacks chunks that are read: they hold the fill value.

    Returns
    -------
    ImageSource

    Raises
    ------
    ImageError
        If the image can't be used; the message says why.
    """
    if isinstance(image, ImageSource):
        if normalization is not None or channels is not None:
            raise ImageError(
                "The image has a contrast and channels already; give them to as_image_source "
                "together with the array."
            )
        return image
    if isinstance(image, StoredImage):
        image, channel_axis, rgb = image.plane()
    levels = find_levels(image, channel_axis, rgb)
    return ImageSource(
        levels, normalization, as_channels(channels, levels[0].channels), channel_axis, rgb
    )


def _channelwise(pixels: Floats, function: Any) -> Floats:
    """Apply an OpenCV function plane by plane (OpenCV drops single and refuses many channels)."""
    planes = [function(np.ascontiguousarray(pixels[..., i])) for i in range(pixels.shape[2])]
    return np.stack(planes, axis=-1)


def _padded(pixels: Floats, height: int, width: int) -> Floats:
    """Repeat the last row and column up to a size."""
    h, w = pixels.shape[:2]
    if (h, w) == (height, width):
        return pixels
    return np.pad(pixels, ((0, height - h), (0, width - w), (0, 0)), mode="edge")


def _covering(positions: Floats, size: int) -> tuple[int, int]:
    """Return the indices of the pixels that bilinear sampling at `positions` needs."""
    start = min(max(int(np.floor(positions[0])), 0), size - 1)
    stop = min(max(int(np.floor(positions[-1])) + 2, start + 1), size)
    return start, stop
