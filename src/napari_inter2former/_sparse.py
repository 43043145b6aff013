"""Labels of images of any size, of which only the parts that were written to take memory."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, MutableMapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["SparseLabels", "SparseLevel", "holds"]

BLOCK = 512
"""Side of a block, in pixels of the last two axes."""
SMALLEST_LEVEL = 1024
"""The pyramid ends at a level of at most this side."""

Labels = npt.NDArray[np.integer[Any]]
Key = tuple[int, ...]


class SparseLabels:
    """A labels image that starts empty, whatever its size.

    It is read and written like a NumPy array, by integers, slices with steps, and index arrays.
    Blocks of 512 x 512 pixels are made when something other than 0 is first written
    to them.

    Parameters
    ----------
    shape : tuple of int
        Two axes or more; rows and columns come last.
    dtype : numpy data type
        An integer type.
    blocks : mutable mapping, optional
        Where the blocks are kept, at first empty; by default in memory.

    Raises
    ------
    ValueError
        If there are fewer than two axes, or the type is no integer type.
    """

    def __init__(
        self,
        shape: Sequence[int],
        dtype: npt.DTypeLike = np.int32,
        blocks: MutableMapping[Key, Labels] | None = None,
    ) -> None:
        self.shape = tuple(int(n) for n in shape)
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        if len(self.shape) < 2 or self.dtype.kind not in "iu":
            raise ValueError(
                f"Sparse labels need two axes or more and an integer type, not {self.shape} and "
                f"{self.dtype}."
            )
        self._blocks: MutableMapping[Key, Labels] = {} if blocks is None else blocks

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

    def copy(self) -> SparseLabels:
        """Return labels of their own with what is in these now, in memory."""
        blocks = {at: block.copy() for at, block in list(self._blocks.items())}
        return SparseLabels(self.shape, self.dtype, blocks)

    def largest(self) -> int:
        """Return the largest number in it; another thread may write to it meanwhile."""
        return max((int(block.max()) for block in list(self._blocks.values())), default=0)

    def holds(self, key: Any) -> bool:
        """Whether a region, given as for reading, was written to; if not, it is empty."""
        return next(self._touched(_ranges(key, self.shape)[0], stored=True), None) is not None

    def __getitem__(self, key: Any) -> Any:
        """Read a region: an integer or a slice (forwards) for each axis; left out axes are whole.

        Or single pixels, given by one index array for each axis.

        Returns
        -------
        array of int, or int
            A copy.
        """
        if _are_pixels(key):
            pixels = np.broadcast_arrays(*key)
            values = np.zeros(pixels[0].size, dtype=self.dtype)
            for at, places, part in self._by_block([p.ravel() for p in pixels]):
                block = self._blocks.get(at)
                if block is not None:
                    values[part] = block[places]
            return values.reshape(pixels[0].shape)
        ranges, scalars = _ranges(key, self.shape)
        out = np.zeros([len(r) for r in ranges], dtype=self.dtype)
        for at in self._touched(ranges, stored=True):
            there, here = self._meeting(ranges, at)
            out[there] = self._blocks[at][here]
        picked = out[tuple(0 if scalar else slice(None) for scalar in scalars)]
        return self.dtype.type(picked) if all(scalars) else picked

    def __setitem__(self, key: Any, value: Any) -> None:
        """Write a region, or single pixels given by one index array for each axis."""
        if _are_pixels(key):
            pixels = np.broadcast_arrays(*key)
            values = np.broadcast_to(value, pixels[0].shape).ravel()
            for at, places, part in self._by_block([p.ravel() for p in pixels]):
                self._write(at, places, values[part])
            return
        ranges, scalars = _ranges(key, self.shape)
        kept = [len(r) for r, scalar in zip(ranges, scalars, strict=True) if not scalar]
        values = np.broadcast_to(value, kept).reshape([len(r) for r in ranges])
        for at in self._touched(ranges):
            there, here = self._meeting(ranges, at)
            self._write(at, here, values[there])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """Read all of it: memory for the whole image may be needed."""
        return np.asarray(self[...], dtype=dtype)

    def _write(self, at: Key, here: tuple[Any, ...], values: npt.NDArray[Any]) -> None:
        """Write a part of one block, which is made if there is something to write."""
        block = self._blocks.get(at)
        if block is None:
            if not values.any():
                return
            block = np.zeros(self._sizes, dtype=self.dtype)
        block[here] = values
        self._blocks[at] = block

    def _by_block(
        self, pixels: Sequence[npt.NDArray[np.intp]]
    ) -> Iterator[tuple[Key, tuple[npt.NDArray[np.intp], ...], npt.NDArray[np.intp]]]:
        """Sort single pixels by blocks: each one's key, its pixels, and which of all these are."""
        if not pixels[0].size:
            return
        places = []
        for p, n in zip(pixels, self.shape, strict=True):
            if not (-n <= p.min() and p.max() < n):
                raise IndexError(f"A pixel lies outside the labels of shape {self.shape}.")
            places.append(np.where(p < 0, p + n, p))
        keys = [place // size for place, size in zip(places, self._sizes, strict=True)]
        grid = tuple(-(-n // size) for n, size in zip(self.shape, self._sizes, strict=True))
        blocks = np.ravel_multi_index(keys, grid)
        order = np.argsort(blocks, kind="stable")
        for part in np.split(order, np.flatnonzero(np.diff(blocks[order])) + 1):
            at = tuple(int(k[part[0]]) for k in keys)
            here = tuple(
                place[part] - a * size
                for place, a, size in zip(places, at, self._sizes, strict=True)
            )
            yield at, here, part

    @property
    def _sizes(self) -> tuple[int, ...]:
        return (1,) * (self.ndim - 2) + (BLOCK, BLOCK)

    def _meeting(
        self, ranges: Sequence[range], at: Key
    ) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
        """Where a region and a block meet: in the region, and in the block."""
        there, here = [], []
        for r, size, index in zip(ranges, self._sizes, at, strict=True):
            first = max(0, -(-(index * size - r.start) // r.step))
            last = min(len(r), -(-((index + 1) * size - r.start) // r.step))
            there.append(slice(first, max(first, last)))
            start = r.start + first * r.step - index * size
            # A coarse step may leap over the block.
            stop = start + (last - first - 1) * r.step + 1 if last > first else start
            here.append(slice(start, stop, r.step))
        return tuple(there), tuple(here)

    def _touched(self, ranges: Sequence[range], stored: bool = False) -> Iterator[Key]:
        """Blocks that a region may meet; only those that are `stored`, or all."""
        if any(len(r) == 0 for r in ranges):
            return
        spans = [
            range(r.start // size, r[-1] // size + 1)
            for r, size in zip(ranges, self._sizes, strict=True)
        ]
        if stored and math.prod(map(len, spans)) > len(self._blocks):
            for at in list(self._blocks):
                if all(a in span for a, span in zip(at, spans, strict=True)):
                    yield at
            return
        for at in itertools.product(*spans):
            if not stored or at in self._blocks:
                yield at


def holds(array: Any, key: Any) -> bool:
    """Whether a region of labels may hold something, as far as that is known without reading it.

    Parameters
    ----------
    array : array-like
        `SparseLabels`, or what passes the question on to them, know; of others it may.
    key
        The region, as for reading.
    """
    ask = getattr(array, "holds", None)
    return True if ask is None else bool(ask(key))


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


def _are_pixels(key: Any) -> bool:
    """Whether an index consists of arrays, one for each axis."""
    return isinstance(key, tuple) and bool(key) and isinstance(key[0], np.ndarray)


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
