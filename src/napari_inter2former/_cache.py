"""A least-recently-used cache with a bound in bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

__all__ = ["BoundedCache"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class BoundedCache(Generic[K, V]):
    """Keep the values used last, as many as fit.

    Parameters
    ----------
    max_bytes : int
        Bound of the sum of the sizes given to `put`. A value above it is not kept.

    Raises
    ------
    ValueError
        If `max_bytes` is negative.
    """

    def __init__(self, max_bytes: int) -> None:
        if max_bytes < 0:
            raise ValueError(f"The bound of a cache must be 0 bytes or more, not {max_bytes}.")
        self.max_bytes = max_bytes
        self._items: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._nbytes = 0

    def __len__(self) -> int:
        """Count the values kept."""
        return len(self._items)

    def __contains__(self, key: object) -> bool:
        """Whether a value is kept; does not count as a use."""
        return key in self._items

    @property
    def nbytes(self) -> int:
        """Sum of the sizes of the values kept."""
        return self._nbytes

    def get(self, key: K) -> V | None:
        """Return a value and mark it as used, or None."""
        item = self._items.get(key)
        if item is None:
            return None
        self._items.move_to_end(key)
        return item[0]

    def put(self, key: K, value: V, nbytes: int) -> None:
        """Keep a value, and drop those longest unused until all fit."""
        old = self._items.pop(key, None)
        if old is not None:
            self._nbytes -= old[1]
        if nbytes > self.max_bytes:
            return
        while self._nbytes + nbytes > self.max_bytes:
            self._nbytes -= self._items.popitem(last=False)[1][1]
        self._items[key] = (value, nbytes)
        self._nbytes += nbytes

    def clear(self) -> None:
        """Drop everything."""
        self._items.clear()
        self._nbytes = 0
