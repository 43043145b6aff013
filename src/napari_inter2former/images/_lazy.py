"""Arrays that are only read where they are indexed: planes of stacks, channels side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from napari_inter2former._sparse import holds
from napari_inter2former.errors import ImageError

__all__ = ["ChannelStack", "LazyPlane", "cut", "planes_of", "stack_channels"]

Index: TypeAlias = tuple[int | slice | None, ...]


class LazyPlane:
    """A plane of a stack that is only read where it is indexed (zarr arrays, for one).

    Parameters
    ----------
    array : array-like
        With ``shape``, ``dtype`` and slicing.
    index : tuple of int, slice or None
        See `cut`.
    """

    def __init__(self, array: Any, index: Index) -> None:
        self.array = array
        self._index = index
        self.dtype = array.dtype
        self.shape: tuple[int, ...] = tuple(
            int(n) if at is None else len(range(int(n))[at])
            for n, at in zip(array.shape, index, strict=True)
            if not isinstance(at, int)
        )
        self.ndim = len(self.shape)
        chunks = getattr(array, "chunks", None)
        if isinstance(chunks, tuple) and len(chunks) == len(index):
            self.chunks = tuple(
                n for n, at in zip(chunks, index, strict=True) if not isinstance(at, int)
            )

    def __getitem__(self, key: Any) -> Any:
        """Read a region; one int, slice or Ellipsis per axis that stays."""
        return self.array[self._outside(key)]

    def holds(self, key: Any) -> bool:
        """Whether a region of labels may hold something: `napari_inter2former._sparse.holds`."""
        return holds(self.array, self._outside(key))

    def _outside(self, key: Any) -> tuple[Any, ...]:
        """Return the index of a region in the whole array."""
        wanted = list(key) if isinstance(key, tuple) else [key]
        if Ellipsis in wanted:
            at = wanted.index(Ellipsis)
            wanted[at : at + 1] = [slice(None)] * (self.ndim - len(wanted) + 1)
        wanted += [slice(None)] * (self.ndim - len(wanted))
        rest = iter(wanted)
        return tuple(
            at if isinstance(at, int) else _within(at, int(n), next(rest))
            for at, n in zip(self._index, self.array.shape, strict=True)
        )

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """Read all of it."""
        return np.asarray(self[...], dtype=dtype)


def _within(outer: slice | None, n: int, key: Any) -> Any:
    """Return the index in all `n` places of `key` in those that a slice leaves."""
    if outer is None:
        return key
    picked = range(n)[outer][key]
    return slice(picked.start, picked.stop, picked.step) if isinstance(picked, range) else picked


def cut(array: Any, index: Index) -> Any:
    """Fix or shorten some axes of an array, without reading pixels.

    Parameters
    ----------
    array : array-like
    index : tuple of int, slice or None
        For every axis the position at which it is fixed, what is left of it (from the first place
        on), or None if it stays.
    """
    if all(at is None for at in index):
        return array
    if isinstance(array, np.ndarray) or hasattr(array, "dask"):
        # Slicing these reads nothing.
        return array[tuple(slice(None) if at is None else at for at in index)]
    return LazyPlane(array, index)


def planes_of(array: Any) -> Iterator[Any]:
    """Cut an array into the planes on its last two axes, in order, without reading pixels.

    Parameters
    ----------
    array : array-like, (..., height, width)
    """
    for index in np.ndindex(*array.shape[:-2]):
        yield cut(array, (*index, None, None))


class ChannelStack:
    """Planes of one size as channels of one image, along a new first axis; nothing is copied.

    Parameters
    ----------
    planes : sequence of array-like
        Two axes each, of one shape.
    """

    def __init__(self, planes: Sequence[Any]) -> None:
        self._planes = tuple(planes)
        self.shape = (len(self._planes), *(int(n) for n in self._planes[0].shape))
        self.ndim = 3
        self.dtype = np.result_type(*(np.dtype(plane.dtype) for plane in self._planes))

    def __getitem__(self, key: tuple[slice, slice, slice]) -> npt.NDArray[Any]:
        """Read a region: three slices."""
        channels, rows, columns = key
        parts = [np.asarray(plane[rows, columns]) for plane in self._planes[channels]]
        return np.stack(parts).astype(self.dtype, copy=False)


def stack_channels(images: Sequence[Sequence[Any]]) -> list[ChannelStack]:
    """Make several images of one size channels of one image.

    Parameters
    ----------
    images : sequence of sequences of array-like
        The levels of each image, largest first (one for an ordinary image), with two axes.

    Returns
    -------
    list of ChannelStack
        The levels that all images have; channel axis 0.

    Raises
    ------
    ImageError
        If there are no images, or their sizes differ.
    """
    if not images:
        raise ImageError("There is no image to make channels of.")
    first = tuple(images[0][0].shape)
    for levels in images:
        if len(levels[0].shape) != 2 or tuple(levels[0].shape) != first:
            raise ImageError(
                f"Channels must have one size; these are {first} and {tuple(levels[0].shape)}."
            )
    stacks = []
    for planes in zip(*images, strict=False):
        if len({tuple(plane.shape) for plane in planes}) > 1:
            break
        stacks.append(ChannelStack(planes))
    return stacks
