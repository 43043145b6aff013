"""The window's side of the worker: what it was told, and what it has answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from napari_inter2former._qt._contrast import Contrast, picture
from napari_inter2former._qt._scene import Scene
from napari_inter2former._qt._targets import array_of, token_of
from napari_inter2former.annotation import messages as say
from napari_inter2former.annotation.planes import Plane
from napari_inter2former.annotation.worker import Worker
from napari_inter2former.errors import ImageError
from napari_inter2former.prompts import Click

__all__ = ["DEFAULT_MODEL", "WorkerLink"]

DEFAULT_MODEL = "tiny"


class WorkerLink:
    """Hand images, clicks and labels to a worker, and keep track of what it has.

    Parameters
    ----------
    worker : Worker
        Not started yet.
    scene : Scene
        Where the image comes from.

    Attributes
    ----------
    models : tuple of str
        Names to choose from.
    model : str, optional
        The chosen one.
    model_ready : bool
        Whether it is loaded.
    encoding : bool
        Whether the image is being encoded now.
    encode_seconds : float, optional
        How long the last encoding took.
    """

    def __init__(self, worker: Worker, scene: Scene) -> None:
        self._worker = worker
        self._scene = scene
        self._plane: Plane | None = None
        self._number = 0
        self._search = 0
        self.models: tuple[str, ...] = ()
        self.model: str | None = None
        self.model_ready = False
        self.encoding = False
        self.encode_seconds: float | None = None
        worker.start()
        worker.list_models()

    def close(self) -> None:
        """End the worker's thread."""
        self._worker.close()

    def load(self, name: str) -> None:
        """Change the model; the image stays."""
        self.model, self.model_ready, self.encode_seconds = name, False, None
        if self.models and name not in self.models:
            self.models += (name,)
        self._worker.drop("predict", "prefetch")
        self._worker.load(name)

    def look_at(self, plane: Plane, centre: tuple[float, float]) -> None:
        """Encode what a click at `centre` needs, when there is nothing else to do."""
        if self._show(plane) and self.model_ready:
            self._worker.prefetch(self._number, *centre)

    def predict(self, request: int, plane: Plane, clicks: tuple[Click, ...]) -> None:
        """Ask for a mask. Before the model is there nothing is sent: ask again then."""
        if self._show(plane) and self.model_ready:
            self._worker.predict(request, self._number, clicks)

    def search(self, plane: Plane, region: tuple[int, int, int, int]) -> None:
        """Look for all objects in a part of a plane, when there is nothing else to do.

        The search keeps the image as it is now, whatever is shown or chosen meanwhile.
        """
        image = self._picture(plane)
        if image is not None and self.model_ready:
            self._search += 1
            self._worker.everything(self._search, image, region)

    def stop_search(self) -> None:
        """End the search; nothing is answered."""
        self._search += 1
        self._worker.stop_everything()

    @property
    def renewed(self) -> bool:
        """Whether the image is handed over again at the next occasion."""
        return self._plane is None

    def renew(self) -> None:
        """Hand the image over again at the next occasion: what the model sees has changed."""
        self._plane = None

    def forget(self) -> None:
        """Let go of the image; answers about it no longer count."""
        self._plane = None
        self._number += 1
        self.encoding = False
        self._worker.forget_image()

    def count(self, layer: Any) -> None:
        """Ask for the largest number in a labels layer."""
        self._worker.scan(token_of(layer), array_of(layer))

    def take(self, message: say.Message) -> bool:
        """Note what a message says about model and image; False if it is out of date."""
        if isinstance(message, say.ModelsFound):
            # One that was chosen by its path is no installed one.
            chosen = self.model not in (None, *message.names)
            self.models = (*message.names, str(self.model)) if chosen else message.names
        elif isinstance(message, say.ModelReady):
            self.model_ready = message.name == self.model
            return self.model_ready
        elif isinstance(message, say.Encoding):
            self.encoding = message.image == self._number
            return self.encoding
        elif isinstance(message, (say.Searching, say.Found)):
            return message.search == self._search
        elif isinstance(message, say.Encoded):
            if message.image != self._number:
                return False
            self.encoding = False
            self.encode_seconds = message.seconds or self.encode_seconds
        elif isinstance(message, say.Failed):
            if message.job == "everything":
                return message.number == self._search
            if message.job in ("image", "prefetch") and message.number != self._number:
                return False
            self.encoding = False
        return True

    def pick(self) -> str | None:
        """Return the model to load first, or None if there is none (or one is chosen)."""
        names: Sequence[str] = self.models
        if not names or self.model in names:
            return None
        return DEFAULT_MODEL if DEFAULT_MODEL in names else names[0]

    def _show(self, plane: Plane) -> bool:
        """Make the worker look at this plane; False if there is no image."""
        if plane != self._plane:
            image = self._picture(plane)
            if image is None:
                return False
            self._number += 1
            self._plane = plane
            self.encoding = False
            self._worker.set_image(self._number, *image)
        return True

    def _picture(self, plane: Plane) -> tuple[Any, int | None, bool] | None:
        """Return what the model is to see of a plane; None if there is no image."""
        scene = self._scene
        if scene.image is None or scene.layout is None:
            return None
        try:
            return picture(scene.image, scene.layout, plane, scene.contrast, scene.images())
        except ImageError:
            # Whatever is wrong with the image, the worker finds it too, and reports it.
            return picture(scene.image, scene.layout, plane, Contrast.PERCENTILES, [])
