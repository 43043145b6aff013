"""Decoded chunks of a stored image, kept because neighbouring windows and zooms share them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_inter2former._cache import BoundedCache

if TYPE_CHECKING:
    from napari_inter2former.images._levels import Level

__all__ = ["ChunkCache"]

CHUNK_BYTES = 128 << 20
"""Default bound."""
LARGEST_SHARE = 2
"""A region is read past the cache if its chunks would fill more than this part of it."""

Key = tuple[int, int, int]
Pixels = npt.NDArray[Any]


class ChunkCache:
    """Read regions of the levels of one image, and keep the chunks that they lie in.

    A store decodes whole chunks, whatever part of them is wanted, and the search for the zoom that
    suits an object looks at the same place again and again. Arrays in memory, memory-mapped or
    without chunks are read as they are. May be used by several threads.

    Parameters
    ----------
    max_bytes : int
        Bound of the chunks kept.
    """

    def __init__(self, max_bytes: int = CHUNK_BYTES) -> None:
        self._chunks: BoundedCache[Key, Pixels] = BoundedCache(max_bytes)
        self._lock = threading.Lock()

    @property
    def nbytes(self) -> int:
        """Bytes of the chunks kept."""
        return self._chunks.nbytes

    def clear(self) -> None:
        """Forget all chunks: the image's pixels may have changed."""
        with self._lock:
            self._chunks.clear()

    def read(self, level: Level, r0: int, r1: int, c0: int, c1: int) -> Pixels:
        """Read pixels [r0, r1) x [c0, c1) of a level, as `Level.read` does.

        Returns
        -------
        array, (r1 - r0, c1 - c0, channels)
            Not to be written to.

        Raises
        ------
        ImageError
            If the array can't be read there.
        """
        height, width = level.chunk
        first, last = (r0 // height, c0 // width), (-(-r1 // height), -(-c1 // width))
        count = (last[0] - first[0]) * (last[1] - first[1])
        size = count * height * width * level.pixel_bytes
        if (height, width) == (1, 1) or size * LARGEST_SHARE > self._chunks.max_bytes:
            return level.read(r0, r1, c0, c1)
        chunks = self._gathered(level, first, last)
        if len(chunks) == 1:
            (((i, j), chunk),) = chunks.items()
            return chunk[r0 - i * height : r1 - i * height, c0 - j * width : c1 - j * width]
        some = next(iter(chunks.values()))
        out = np.empty((r1 - r0, c1 - c0, some.shape[2]), some.dtype)
        for (i, j), chunk in chunks.items():
            row, column = i * height, j * width
            a, b = max(r0, row), max(c0, column)
            part = chunk[a - row : r1 - row, b - column : c1 - column]
            out[a - r0 : a - r0 + part.shape[0], b - c0 : b - c0 + part.shape[1]] = part
        return out

    def _gathered(
        self, level: Level, first: tuple[int, int], last: tuple[int, int]
    ) -> dict[tuple[int, int], Pixels]:
        """Chunks [first, last) of a level; those that lack are read in one go."""
        found: dict[tuple[int, int], Pixels] = {}
        lacking: list[tuple[int, int]] = []
        with self._lock:
            for i in range(first[0], last[0]):
                for j in range(first[1], last[1]):
                    chunk = self._chunks.get((id(level.array), i, j))
                    if chunk is None:
                        lacking.append((i, j))
                    else:
                        found[i, j] = chunk
        if not lacking:
            return found
        # One call for the rectangle that holds them: stores fetch its chunks side by side.
        height, width = level.chunk
        rows, columns = zip(*lacking, strict=True)
        top, left = min(rows) * height, min(columns) * width
        bottom = min((max(rows) + 1) * height, level.height)
        right = min((max(columns) + 1) * width, level.width)
        pixels = level.read(top, bottom, left, right)
        for i, j in lacking:
            row, column = i * height - top, j * width - left
            chunk = pixels[row : row + height, column : column + width]
            if len(lacking) > 1:  # a view would keep all of them in memory
                chunk = chunk.copy()
            found[i, j] = chunk
        with self._lock:
            for i, j in lacking:
                self._chunks.put((id(level.array), i, j), found[i, j], found[i, j].nbytes)
        return found
