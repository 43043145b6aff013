"""The widget's button for all objects."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_inter2former import everything
from napari_inter2former.predictor import Mask

pytestmark = pytest.mark.qt

MASKS = [
    Mask(np.ones((5, 6), np.bool_), (10, 20, 15, 26), 0.9),
    Mask(np.ones((8, 8), np.bool_), (30, 40, 38, 48), 0.8),
]


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    regions: list[Any] = []

    def find(source: Any, model: Any, *, region: Any, progress: Any, parts: Any) -> Any:
        regions.append(region)
        progress(0, 1)
        return [MASKS]

    monkeypatch.setattr(everything, "find_everything", find)
    return regions


def test_objects_are_added_where_there_are_none(
    bench: Any, picture: Any, searches: list[Any]
) -> None:
    bench.viewer.add_image(picture)
    bench.open()
    bench.keep(12, 22)
    before = bench.labels.data.copy()
    bench.widget.search["image"].click()
    bench.idle()
    bench.qtbot.waitUntil(lambda: int(bench.labels.data.max()) == 3)
    assert searches == [(0, 0, 60, 80)]
    labels = bench.labels.data
    assert (labels[before > 0] == before[before > 0]).all()
    assert (labels[30:38, 40:48] == 3).all()
    assert set(np.unique(labels)) <= {0, 1, 2, 3}
    assert "2 objects" in bench.said
    assert bench.keep(50, 10) == 4


def test_the_view_is_searched(bench: Any, searches: list[Any]) -> None:
    image = bench.viewer.add_image(np.zeros((3000, 4000), np.uint8))
    bench.open()
    image.corner_pixels = np.array([[1000, 1500], [2000, 2600]])  # as napari does when it draws
    bench.widget.search["view"].click()
    bench.idle()
    assert searches == [(1000, 1500, 2001, 2601)]


def test_without_an_image_nothing_is_searched(bench: Any, searches: list[Any]) -> None:
    bench.open()
    assert not bench.widget.search["view"].isEnabled()
    bench.it.search_view()
    assert not searches
    assert bench.said
