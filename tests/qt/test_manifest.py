"""What the package contributes to napari: everything named exists, and opens."""

from __future__ import annotations

import threading
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from npe2 import PluginManifest

import napari_inter2former
from napari_inter2former.errors import WeightsError

pytestmark = pytest.mark.qt


@pytest.fixture(scope="module")
def manifest() -> PluginManifest:
    path = Path(napari_inter2former.__file__).parent / "napari.yaml"
    return PluginManifest.from_file(path)


def test_manifest(manifest: PluginManifest) -> None:
    assert manifest.name == "napari-inter2former"
    assert manifest.display_name == "Inter2Former"
    assert set(manifest.categories) == {"Annotation", "Segmentation"}
    menus = manifest.contributions.menus
    assert set(menus) == {"napari/layers/annotate", "napari/layers/segment"}


def test_every_command_is_there(manifest: PluginManifest) -> None:
    commands = {command.id: command.python_name for command in manifest.contributions.commands}
    for name in commands.values():
        module, attribute = str(name).split(":")
        assert callable(getattr(import_module(module), attribute))
    used = [w.command for w in manifest.contributions.widgets]
    used += [s.command for s in manifest.contributions.sample_data]
    used += [item.command for items in manifest.contributions.menus.values() for item in items]
    used += [w.command for w in manifest.contributions.writers or ()]
    assert set(used) == set(commands)


def test_samples(manifest: PluginManifest) -> None:
    from napari.layers import Image

    for sample in manifest.contributions.sample_data:
        name = next(
            c.python_name for c in manifest.contributions.commands if c.id == sample.command
        )
        module, attribute = str(name).split(":")
        ((data, options, kind),) = getattr(import_module(module), attribute)()
        assert kind == "image"
        layer = Image(data, **options)
        assert layer.ndim == 2
        assert layer.rgb == (data.ndim == 3)


@pytest.mark.parametrize("name", ["Inter2Former", "Segment clicks (Inter2Former)"])
def test_napari_opens_the_widgets(make_napari_viewer: Any, qtbot: Any, name: str) -> None:
    viewer = make_napari_viewer()
    image = viewer.add_image(np.zeros((20, 20), np.uint8), contrast_limits=(0, 1))
    dock, widget = viewer.window.add_plugin_dock_widget("napari-inter2former", name)
    if name == "Inter2Former":
        # napari hands plugins a proxy of the viewer; layers must be recognised all the same.
        scene = widget.controller.scene
        assert scene.image is image
        assert scene.clicking
        assert widget.image_box.currentData() is image
        viewer.layers.remove(image)
        qtbot.waitUntil(lambda: len(viewer.layers) == 0, timeout=10_000)
    viewer.window.remove_dock_widget(dock)
    qtbot.wait(20)


def fake_compute(image: Any, points: Any, model: str) -> Any:
    if model == "bad":
        raise WeightsError("This model can't be loaded. Choose another one.")
    labels = np.zeros(image.data.shape[:2], np.int32)
    for i, (row, column) in enumerate(points.data.astype(int)):
        labels[row, column] = i + 1
    return labels


@pytest.fixture
def form(make_napari_viewer: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    from napari_inter2former._qt import _segment

    monkeypatch.setattr(_segment, "find_models", lambda _=None: ["tiny", "bad"])
    viewer = make_napari_viewer()
    form = _segment.segment_widget(fake_compute)
    viewer.window.add_dock_widget(form, name="segment")
    return viewer, form


def test_form_makes_a_labels_layer_over_the_image(form: Any, qtbot: Any) -> None:
    viewer, widget = form
    image = viewer.add_image(
        np.zeros((30, 40, 3), np.uint8), rgb=True, scale=(2, 3), translate=(5, 6)
    )
    viewer.add_points([[3, 4], [10, 20]])
    widget()
    qtbot.waitUntil(lambda: len(viewer.layers) == 3, timeout=10_000)
    labels = viewer.layers[-1]
    assert labels.data.max() == 2
    np.testing.assert_allclose(labels.scale, image.scale)
    np.testing.assert_allclose(labels.translate, image.translate)
    assert widget.call_button.enabled


def test_the_button_is_off_while_the_form_computes(make_napari_viewer: Any, qtbot: Any) -> None:
    from napari_inter2former._qt import _segment

    go_on, calls = threading.Event(), []

    def compute(image: Any, points: Any, model: str) -> Any:
        calls.append(model)
        go_on.wait(30)
        return np.ones(image.data.shape[:2], np.int32)

    viewer = make_napari_viewer()
    viewer.add_image(np.zeros((30, 40), np.uint8), name="cells", contrast_limits=(0, 1))
    viewer.add_points([[3, 4]])
    viewer.add_labels(np.zeros((30, 40), np.int32), name="cells objects")
    form = _segment.segment_widget(compute)
    viewer.window.add_dock_widget(form, name="segment")
    form.call_button.native.click()
    qtbot.waitUntil(lambda: not form.call_button.enabled, timeout=10_000)
    form.call_button.native.click()
    go_on.set()
    qtbot.waitUntil(lambda: len(viewer.layers) == 4, timeout=10_000)
    qtbot.waitUntil(lambda: form.call_button.enabled, timeout=10_000)
    assert len(calls) == 1


def test_form_without_layers_and_with_errors(
    form: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_inter2former._qt import _segment

    said: list[str] = []
    monkeypatch.setattr(_segment, "show_error", said.append)
    viewer, widget = form
    widget()
    assert said == ["Add an image, and a Points layer with clicks on its objects, first."]
    viewer.add_image(np.zeros((30, 40), np.uint8), contrast_limits=(0, 1))
    viewer.add_points([[3, 4]])
    widget.model.value = "bad"
    widget()
    qtbot.waitUntil(lambda: len(said) == 2, timeout=10_000)
    assert "Choose another one" in said[1]
    assert widget.call_button.enabled
