"""The button that writes labels and clicks to files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from qtpy.QtWidgets import QFileDialog

from napari_inter2former.cli import main
from napari_inter2former.data import load_sample
from napari_inter2former.evaluation.click_files import read_clicks, read_stack_clicks

pytestmark = pytest.mark.qt


def saved(bench: Any, path: Path) -> str:
    bench.it.saver.save(path)
    bench.qtbot.waitUntil(lambda: not bench.it.saver.busy)
    return str(bench.said)


def test_labels_and_clicks_are_written(
    bench: Any, picture: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.viewer.add_image(picture, name="cells: day/3", scale=(0.5, 0.25), units=("um", "um"))
    bench.open()
    bench.keep(20, 30)
    bench.click(45, 60)
    bench.click(45, 70, positive=False)
    bench.it.accept()
    asked = []

    def ask(_parent: Any, _title: str, place: str, _kinds: str) -> tuple[str, str]:
        asked.append(Path(place).name)
        return str(tmp_path / asked[-1]), ""

    monkeypatch.setattr(QFileDialog, "getSaveFileName", ask)
    bench.widget.save.click()
    assert not bench.widget.save.isEnabled()
    bench.qtbot.waitUntil(bench.widget.save.isEnabled)
    assert asked == ["cells_ day_3_labels.tif"]
    assert bench.said == "Saved: cells_ day_3_labels.tif and cells_ day_3_clicks.csv."
    labels = tifffile.imread(tmp_path / asked[0])
    np.testing.assert_array_equal(labels, bench.labels.data)
    clicks = read_clicks(tmp_path / "cells_ day_3_clicks.csv", picture.shape)
    assert {n: [(c.row, c.column, c.positive) for c in of] for n, of in clicks.items()} == {
        1: [(20, 30, True)],
        2: [(45, 60, True), (45, 70, False)],
    }
    assert bench.it.saver.suggestion() == tmp_path / asked[0]


def test_clicks_of_another_session_are_never_replaced(
    bench: Any, picture: Any, tmp_path: Path
) -> None:
    (tmp_path / "a_clicks.csv").write_text("of last week")
    bench.viewer.add_image(picture)
    bench.open()
    assert saved(bench, tmp_path / "empty") == "Saved: empty.tif."
    bench.keep(20, 30)
    for _ in range(2):
        assert saved(bench, tmp_path / "a_labels.ome.tif").endswith("and a_clicks_2.csv.")
    assert (tmp_path / "a_clicks.csv").read_text() == "of last week"
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "a_clicks.csv",
        "a_clicks_2.csv",
        "a_labels.ome.tif",
        "empty.tif",
    ]


def test_clicks_in_a_stack_name_their_plane(bench: Any, picture: Any, tmp_path: Path) -> None:
    bench.viewer.add_image(np.stack([picture] * 6).reshape(2, 3, *picture.shape))
    bench.open()
    for place in ((1, 2), (0, 1)):
        for axis, index in enumerate(place):
            bench.viewer.dims.set_point(axis, index)
        bench.keep(*place, 20, 30)
    saved(bench, tmp_path / "stack.tif")
    found = read_stack_clicks(tmp_path / "stack_clicks.csv", picture.shape, {"t": 2, "z": 3})
    assert {plane: list(of) for plane, of in found.items()} == {5: [1], 1: [2]}
    labels = tifffile.imread(tmp_path / "stack.tif")
    assert labels.shape == (2, 3, *picture.shape)
    assert (labels[1, 2, 20, 30], labels[0, 1, 20, 30]) == (1, 2)


def test_what_can_not_be_written_is_said(bench: Any, picture: Any, tmp_path: Path) -> None:
    bench.viewer.add_image(picture)
    bench.open()
    bench.keep(20, 30)
    (tmp_path / "file").write_text("")
    assert "could not be written" in saved(bench, tmp_path / "file" / "labels.tif")
    assert bench.it.status.kind == "error"
    assert bench.widget.save.isEnabled()


def test_saved_clicks_give_the_same_labels_on_the_command_line(bench: Any, tmp_path: Path) -> None:
    """With the real network, in the window and then without it."""
    from napari_inter2former._qt import Inter2FormerWidget

    image = load_sample("nuclei_fluorescence").image
    tifffile.imwrite(tmp_path / "cells.tif", image)
    bench.viewer.add_image(image, name="cells")
    bench.widget = Inter2FormerWidget(bench.viewer)
    bench.viewer.window.add_dock_widget(bench.widget)
    bench.idle()
    for row, column in ((138, 165), (191, 180)):
        bench.keep(row, column)
    saved(bench, tmp_path / "cells_labels.tif")
    out = tmp_path / "again.tif"
    files = [str(tmp_path / name) for name in ("cells.tif", "cells_clicks.csv")]
    assert main(["segment", *files, "--out", str(out)]) == 0
    again = tifffile.imread(out)
    assert again.max() == 2
    np.testing.assert_array_equal(again, tifffile.imread(tmp_path / "cells_labels.tif"))
