"""Sparse labels whose blocks lie in a file, so that memory stays bounded."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_inter2former._files import OutputError
from napari_inter2former._sparse import Key, Labels, SparseLabels

__all__ = ["DiskBlocks", "labels_on_disk"]

IN_MEMORY = 64
"""Blocks kept in memory: of 512 x 512 pixels of int32, 64 MB."""


class DiskBlocks(MutableMapping[Key, Labels]):
    """Blocks in a file that is as large as they are; those used last are in memory as well.

    Parameters
    ----------
    path : pathlib.Path
        Of the file, made anew; missing folders are made. `close` deletes it.
    in_memory : int
        How many blocks are kept in memory.

    Raises
    ------
    OutputError
        If it can't be written, here or later.
    """

    def __init__(self, path: Path, in_memory: int = IN_MEMORY) -> None:
        self.path = path
        self._recent: OrderedDict[Key, Labels] = OrderedDict()
        self._changed: set[Key] = set()
        self._places: dict[Key, int] = {}
        self._in_memory = max(1, in_memory)
        self._kind: tuple[tuple[int, ...], np.dtype[Any]] = (), np.dtype(np.int32)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("w+b")
        except OSError as error:
            raise self._failed(error) from error

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Key]:
        return iter(list(self._places))

    def __contains__(self, at: object) -> bool:
        return at in self._places

    def __getitem__(self, at: Key) -> Labels:
        """Return a block; what is changed in it counts once it is set again."""
        if at in self._recent:
            self._recent.move_to_end(at)
            return self._recent[at]
        place = self._places[at]
        shape, dtype = self._kind
        block: Labels = np.empty(shape, dtype)
        try:
            self._file.seek(place * block.nbytes)
            count = self._file.readinto(block.data.cast("B"))
        except OSError as error:
            raise self._failed(error) from error
        if count != block.nbytes:
            raise self._failed(OSError("its file of unfinished labels was cut short"))
        self._keep(at, block)
        return block

    def __setitem__(self, at: Key, block: Labels) -> None:
        """Keep a block; all have one shape and type."""
        self._kind = block.shape, block.dtype
        self._places.setdefault(at, len(self._places))
        self._changed.add(at)
        self._keep(at, block)

    def __delitem__(self, at: Key) -> None:
        raise TypeError("Blocks on disk can't be taken out.")

    def close(self) -> None:
        """Delete the file."""
        self._recent.clear()
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self.path.unlink(missing_ok=True)

    def _keep(self, at: Key, block: Labels) -> None:
        self._recent[at] = block
        self._recent.move_to_end(at)
        while len(self._recent) > self._in_memory:
            oldest, data = self._recent.popitem(last=False)
            if oldest in self._changed:
                self._changed.remove(oldest)
                try:
                    self._file.seek(self._places[oldest] * data.nbytes)
                    self._file.write(np.ascontiguousarray(data).data.cast("B"))
                except OSError as error:
                    raise self._failed(error) from error

    def _failed(self, error: OSError) -> OutputError:
        reason = error.strerror or error
        return OutputError(f"{self.path}: the labels could not be written ({reason}).")


@contextmanager
def labels_on_disk(
    path: Path, shape: tuple[int, ...], dtype: npt.DTypeLike = np.int32
) -> Iterator[SparseLabels]:
    """Make labels of any size, full of zeros, in bounded memory.

    Parameters
    ----------
    path : pathlib.Path
        Of the file that holds the blocks that are written to; it is deleted at the end.
    shape : tuple of int
        (..., height, width).
    dtype : NumPy data type
        An integer type.

    Yields
    ------
    SparseLabels
        Empty.

    Raises
    ------
    OutputError
        If the file can't be written, here or when the labels are written to.
    """
    blocks = DiskBlocks(path)
    try:
        yield SparseLabels(shape, dtype, blocks)
    finally:
        blocks.close()
