"""The command in the segment menu: all clicks of a Points layer at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import napari.layers
import napari.viewer
import numpy as np
from magicgui import magicgui
from magicgui.widgets import FunctionGui
from napari.layers import Image, Labels, Points
from napari.qt.threading import thread_worker
from napari.utils.notifications import show_error, show_info

from napari_inter2former._qt._own_layers import transform_of
from napari_inter2former.annotation.planes import StackLayout
from napari_inter2former.errors import Inter2FormerError

__all__ = ["segment_widget"]


def find_models(_widget: Any = None) -> list[str]:
    """Names of the models that are installed."""
    from napari_inter2former.weights import list_models

    return [model.name for model in list_models()] or ["tiny"]


def segment(image: Image, points: Points, model: str) -> Any:
    """Segment; imports PyTorch, so it runs in a worker's thread."""
    from napari_inter2former.scripting import segment_layers

    return segment_layers(image, points, model=model)


def segment_widget(
    compute: Callable[[Image, Points, str], Any] = segment,
) -> FunctionGui[..., None]:
    """Make the form: an image layer, a points layer, a model; the result is a Labels layer.

    The computation runs in a thread of its own; the button is off meanwhile.

    Parameters
    ----------
    compute : callable
        Gets the two layers and the model's name, returns the labels.

    Returns
    -------
    magicgui.widgets.FunctionGui
    """

    @magicgui(
        call_button="Segment",
        model={"choices": find_models, "tooltip": "The model that draws the masks"},
        points={"tooltip": "Features 'object' and 'positive' tell what each click is for"},
        viewer={"visible": False},
    )
    # magicgui finds types by their full names.
    def form(
        viewer: napari.viewer.Viewer,
        image: napari.layers.Image,
        points: napari.layers.Points,
        model: str,
    ) -> None:
        if viewer is None or image is None or points is None:
            show_error("Add an image, and a Points layer with clicks on its objects, first.")
            return

        button = form.call_button
        assert button is not None

        def work() -> Any:
            try:
                return compute(image, points, model)
            except Inter2FormerError as error:
                # A mistake to tell the user about; anything else goes to napari with its traceback.
                return str(error)

        def done(labels: Any) -> None:
            button.enabled = True
            if isinstance(labels, str):
                show_error(labels)
                return
            shape = image.data[0].shape if image.multiscale else image.data.shape
            layout = StackLayout(tuple(shape[:-1] if image.rgb else shape), None, bool(image.rgb))
            name = f"{image.name} objects"
            layer = viewer.add_layer(Labels(labels, name=name, **transform_of(image, layout)))
            # napari gives a name that is taken a number.
            show_info(f"{np.unique(labels[labels > 0]).size} objects are in '{layer.name}'.")

        def failed(_error: Exception) -> None:
            button.enabled = True

        def started() -> None:
            button.enabled = False

        job = thread_worker(work)()
        # magicgui puts the button on again when the form returns, which is before this comes.
        job.started.connect(started)
        job.returned.connect(done)
        job.errored.connect(failed)
        job.start()

    return form
