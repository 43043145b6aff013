"""Labels of images of any size, of which only the parts that were written to take memory."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["SparseLabels", "SparseLevel"]

BLOCK = 512
"""Side of a block, in pixels of the last two axes."""
SMALLEST_LEVEL = 1024
"""The pyramid ends at a level of at most this side."""

Labels = npt.NDArray[np.integer[Any]]
Key = tuple[int, ...]


class SparseLabels:
    """A labels image that starts empty, whatever its size.

    It is read and written like a NumPy array, by integers, slices with steps, and, for writing,
    index arrays. Blocks of 512 x 512 pixels are made when something other than 0 is first written
    to them.

    Parameters
    ----------
    shape : tuple of int
        Two axes or more; rows and columns come last.
    dtype : numpy data type
        An integer type.

    Raises
    ------
    ValueError
        If there are fewer than two axes, or the type is no integer type.
    """

    def __init__(self, shape: Sequence[int], dtype: npt.DTypeLike = np.int32) -> None:
        self.shape = tuple(int(n) for n in shape)
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        if len(self.shape) < 2 or self.dtype.kind not in "iu":
            raise ValueError(
                f"Sparse labels need two axes or more and an integer type, not {self.shape} and "
                f"{self.dtype}."
            )
        self._blocks: dict[Key, Labels] = {}

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of pixels."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        """Memory in use, in bytes."""
        return sum(block.nbytes for block in self._blocks.values())

    def levels(self) -> list[SparseLabels | SparseLevel]:
        """Return the pyramid for display: this, and every 2nd, 4th, ... pixel of it, live."""
        found: list[SparseLabels | SparseLevel] = [self]
        step = 2
        while max(found[-1].shape[-2:]) > SMALLEST_LEVEL:
            found.append(SparseLevel(self, step))
            step *= 2
        return found

    def largest(self) -> int:
        """Return the largest number in it; another thread may write to it meanwhile."""
        return max((int(block.max()) for block in list(self._blocks.values())), default=0)

    def __getitem__(self, key: Any) -> Any:
        """Read a region: an integer or a slice (forwards) for each axis; left out axes are whole.

        Returns
        -------
        array of int, or int
            A copy.
        """
        ranges, scalars = _ranges(key, self.shape)
        out = np.zeros([len(r) for r in ranges], dtype=self.dtype)
        for at, block in self._touched(ranges):
            # Where the region and the block meet: in the region, and in the block.
            there, here = [], []
            for r, size, index in zip(ranges, self._sizes, at, strict=True):
                first = max(0, -(-(index * size - r.start) // r.step))
                last = min(len(r), -(-((index + 1) * size - r.start) // r.step))
                there.append(slice(first, max(first, last)))
                start = r.start + first * r.step - index * size
                # A coarse step may leap over the block.
                stop = start + (last - first - 1) * r.step + 1 if last > first else start
                here.append(slice(start, stop, r.step))
            out[tuple(there)] = block[tuple(here)]
        picked = out[tuple(0 if scalar else slice(None) for scalar in scalars)]
        return self.dtype.type(picked) if all(scalars) else picked

    def __setitem__(self, key: Any, value: Any) -> None:
        """Write a region, or single pixels given by one index array for each axis."""
        if isinstance(key, tuple) and key and isinstance(key[0], np.ndarray):
            pixels = np.broadcast_arrays(*key)
            self._write(tuple(p.ravel() for p in pixels), np.broadcast_to(value, pixels[0].shape))
            return
        ranges, scalars = _ranges(key, self.shape)
        kept = [len(r) for r, scalar in zip(ranges, scalars, strict=True) if not scalar]
        values = np.broadcast_to(value, kept)
        grid = np.meshgrid(*(np.asarray(r) for r in ranges), indexing="ij")
        self._write(tuple(g.ravel() for g in grid), values)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """Read all of it: memory for the whole image may be needed."""
        return np.asarray(self[...], dtype=dtype)

    def _write(self, pixels: tuple[npt.NDArray[np.intp], ...], values: Any) -> None:
        values = np.asarray(values).ravel()
        places = []
        for p, n in zip(pixels, self.shape, strict=True):
            if p.size and not (-n <= p.min() and p.max() < n):
                raise IndexError(f"A pixel lies outside the labels of shape {self.shape}.")
            places.append(np.where(p < 0, p + n, p))
        keys = [place // size for place, size in zip(places, self._sizes, strict=True)]
        for at in np.unique(np.stack(keys, axis=1), axis=0) if values.size else ():
            here = np.logical_and.reduce([k == a for k, a in zip(keys, at, strict=True)])
            index = tuple(int(a) for a in at)
            block = self._blocks.get(index)
            if block is None:
                if not values[here].any():
                    continue
                block = self._blocks[index] = np.zeros(self._sizes, dtype=self.dtype)
            inside = tuple(
                place[here] - a * size
                for place, a, size in zip(places, at, self._sizes, strict=True)
            )
            block[inside] = values[here]

    @property
    def _sizes(self) -> tuple[int, ...]:
        return (1,) * (self.ndim - 2) + (BLOCK, BLOCK)

    def _touched(self, ranges: Sequence[range]) -> Iterator[tuple[Key, Labels]]:
        """Blocks that a region may meet."""
        if any(len(r) == 0 for r in ranges):
            return
        spans = [
            range(r.start // size, r[-1] // size + 1)
            for r, size in zip(ranges, self._sizes, strict=True)
        ]
        if np.prod([len(span) for span in spans], dtype=np.float64) > len(self._blocks):
            for at, block in list(self._blocks.items()):
                if all(a in span for a, span in zip(at, spans, strict=True)):
                    yield at, block
            return
        for at in itertools.product(*spans):
            if at in self._blocks:
                yield at, self._blocks[at]


class SparseLevel:
    """Every n-th row and column of sparse labels: a level of their pyramid, always up to date.

    Parameters
    ----------
    base : SparseLabels
        The full resolution.
    step : int
        The n.
    """

    def __init__(self, base: SparseLabels, step: int) -> None:
        self.base = base
        self.step = step
        self.dtype = base.dtype
        self.ndim = base.ndim
        rows, columns = (-(-n // step) for n in base.shape[-2:])
        self.shape = (*base.shape[:-2], rows, columns)

    @property
    def size(self) -> int:
        """Number of pixels."""
        return int(np.prod(self.shape, dtype=np.int64))

    def __getitem__(self, key: Any) -> Any:
        """Read a region, as of `SparseLabels`."""
        ranges, scalars = _ranges(key, self.shape)
        steps = (1,) * (self.ndim - 2) + (self.step, self.step)
        index = tuple(
            r.start * n
            if scalar
            else slice(r.start * n, (r[-1] * n + 1) if len(r) else r.start * n, r.step * n)
            for r, scalar, n in zip(ranges, scalars, steps, strict=True)
        )
        return self.base[index]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """Read all of it."""
        return np.asarray(self[...], dtype=dtype)


def _ranges(key: Any, shape: tuple[int, ...]) -> tuple[list[range], list[bool]]:
    """Turn an index into one range for each axis, and tell which were single numbers."""
    keys = list(key) if isinstance(key, tuple) else [key]
    if any(k is Ellipsis for k in keys):
        at = next(i for i, k in enumerate(keys) if k is Ellipsis)
        keys[at : at + 1] = [slice(None)] * (len(shape) - len(keys) + 1)
    if len(keys) > len(shape):
        raise IndexError(f"Too many indices ({len(keys)}) for labels of shape {shape}.")
    keys += [slice(None)] * (len(shape) - len(keys))
    ranges, scalars = [], []
    for k, n in zip(keys, shape, strict=True):
        if isinstance(k, slice):
            found = range(n)[k]
            if found.step < 1:
                raise IndexError("Sparse labels are read forwards only.")
            ranges.append(found)
        else:
            at = int(k)
            if not -n <= at < n:
                raise IndexError(f"Index {at} lies outside the labels of shape {shape}.")
            ranges.append(range(at % n, at % n + 1))
        scalars.append(not isinstance(k, slice))
    return ranges, scalars
