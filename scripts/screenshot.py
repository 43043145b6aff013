"""Make the README's screenshot: the real window, the shipped weights, the recorded clicks.

Run it under a display, a virtual one will do: ``xvfb-run -a python scripts/screenshot.py``.
"""

from __future__ import annotations

import time
from pathlib import Path

from qtpy.QtTest import QTest

from napari_inter2former._qt import Inter2FormerWidget
from napari_inter2former.data import load_sample
from napari_inter2former.demo import open_window
from napari_inter2former.evaluation.click_files import read_clicks

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "screenshot.png"
OBJECTS = 14
PATIENCE = 120.0
"""Seconds to wait for a mask."""


def main() -> None:
    """Annotate some objects, leave the last one open, and save a picture of the window."""
    name = "nuclei_fluorescence"
    clicks = read_clicks(load_sample(name).clicks_path)
    viewer = open_window(name, block=False)
    viewer.window.resize(1380, 860)
    QTest.qWait(2000)
    viewer.reset_view()
    (dock,) = viewer.window.dock_widgets.values()
    widget = dock if isinstance(dock, Inter2FormerWidget) else dock.native
    controller = widget.controller
    chosen = [steps for steps in clicks.values() if steps][:OBJECTS]
    for number, steps in enumerate(chosen, start=1):
        layer = controller.scene.clicks.layer
        for click in steps:
            layer.feature_defaults = {"positive": [click.positive]}
            layer.add([click.row, click.column])
            begun = time.monotonic()
            while controller.session.pending and time.monotonic() - begun < PATIENCE:
                QTest.qWait(20)
        if number < len(chosen):
            controller.accept()
            QTest.qWait(50)
    QTest.qWait(500)
    viewer.screenshot(PICTURE, canvas_only=False, flash=False)
    viewer.close()
    print(PICTURE)


if __name__ == "__main__":
    main()
