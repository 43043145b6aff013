"""The bound of the feature cache."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_inter2former._cache import BoundedCache


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 60))), st.integers(0, 100))
def test_never_above_the_bound(puts, bound):
    cache: BoundedCache[int, int] = BoundedCache(bound)
    for key, nbytes in puts:
        cache.put(key, nbytes, nbytes)
        assert cache.nbytes <= bound
        assert cache.nbytes == sum(cache.get(k) for k in range(6) if k in cache)
        assert (key in cache) == (nbytes <= bound)


def test_the_longest_unused_goes_first():
    cache: BoundedCache[str, str] = BoundedCache(3)
    for key in "abc":
        cache.put(key, key, 1)
    assert cache.get("a") == "a"
    cache.put("d", "d", 1)
    assert [key for key in "abcd" if key in cache] == ["a", "c", "d"]
    cache.clear()
    assert (len(cache), cache.nbytes, cache.get("a")) == (0, 0, None)


def test_a_negative_bound_is_refused():
    with pytest.raises(ValueError, match="0 bytes"):
        BoundedCache(-1)
