"""The widget as the plugins menu opens it: with the shipped weights, on a proxy of the viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

from napari_inter2former.data import load_sample


def test_docked_as_a_plugin_it_knows_its_layers(
    make_napari_viewer: Callable[..., Any], qtbot: Any
) -> None:
    viewer = make_napari_viewer()
    sample = load_sample("nuclei_fluorescence")
    viewer.add_image(sample.image, name="nuclei")
    _, widget = viewer.window.add_plugin_dock_widget("napari-inter2former", "Inter2Former")
    it = widget.controller
    qtbot.waitUntil(lambda: it.link.model == "tiny", timeout=60_000)
    assert it.scene.image is viewer.layers["nuclei"]
    assert widget.image_box.currentText() == "nuclei"
    assert viewer.layers.selection.active is it.scene.clicks.layer
    it.scene.clicks.layer.add([138, 165])
    qtbot.waitUntil(lambda: not it.session.pending, timeout=60_000)
    assert it.session.state.mask is not None
    it.accept()
    assert widget.model_box.currentText() == "tiny"
    assert it.scene.labels in viewer.layers
    inside = it.scene.labels.data == 1
    truth = sample.labels == sample.labels[138, 165]
    assert (inside & truth).sum() / (inside | truth).sum() > 0.5
    # The layer is recognised when it goes.
    viewer.layers.remove("nuclei")
    qtbot.waitUntil(lambda: it.scene.image is None, timeout=5_000)
    widget.close()
