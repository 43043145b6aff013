"""Clicks in, masks out, on images of any size."""

from __future__ import annotations

import math
import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_inter2former.errors import ImageError
from napari_inter2former.images import ImageSource, Normalization, as_image_source
from napari_inter2former.predictor import _windows as geometry
from napari_inter2former.predictor._cache import BoundedCache
from napari_inter2former.predictor._drawing import Drawing, Extent, measure, to_mask
from napari_inter2former.predictor._inputs import (
    as_previous,
    clicks_inside,
    clicks_rect,
    in_window,
    pixel_of,
    zoom_exponent,
)
from napari_inter2former.prompts import Click, Prompt, as_prompts, flatten

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy.typing as npt
    from torch import Tensor

    from napari_inter2former.model import Inter2Former
    from napari_inter2former.predictor._mask import Mask
    from napari_inter2former.predictor._windows import Rect, Window

__all__ = ["Predictor"]

CACHE_BYTES = 512 << 20
"""Default bound of the feature cache."""
MEMO_BYTES = 128 << 20
"""Bound of the remembered steps of recent objects."""
MOST_CHANGES = 4
"""How often one prompt may move the window to another zoom."""


@dataclass(frozen=True, slots=True)
class _State:
    """What is known after some prompts of an object."""

    window: Window
    reference: Tensor
    extent: Extent
    mask: Mask


class Predictor:
    """Segment objects of an image by clicks.

    The image is seen through windows of up to ``model.config.window`` input pixels, at zooms that
    are powers of two. The window and its zoom follow from the image, the prompts and the previous
    mask alone, so the same prompts always give the same mask.

    Parameters
    ----------
    model : str, path or Inter2Former
        Name or path of weights (see `napari_inter2former.weights.load_model`), or a model.
    cache_bytes : int
        Bound of the features kept, in bytes.
    window : int, optional
        Largest side of a window in input pixels, instead of the model's own.

    Raises
    ------
    WeightsError
        If the weights can't be loaded.

    Examples
    --------
    >>> predictor = Predictor("tiny")  # doctest: +SKIP
    >>> predictor.set_image(image)  # doctest: +SKIP
    >>> mask = predictor.predict([Click(120, 88), Click(130, 90, positive=False)])  # doctest: +SKIP
    >>> labels[mask.slices][mask.data] = 1  # doctest: +SKIP
    """

    def __init__(
        self,
        model: Any = "tiny",
        *,
        cache_bytes: int = CACHE_BYTES,
        window: int | None = None,
    ) -> None:
        from napari_inter2former.predictor._engine import Engine  # imports torch

        if isinstance(model, (str, os.PathLike)):
            from napari_inter2former.weights import load_model

            model = load_model(model)
        side = int(model.config.window if window is None else window)
        self._side = side - side % 8  # windows start at whole image pixels at every zoom
        if self._side < 32:
            raise ValueError(f"A window must be at least 32 pixels wide, not {side}.")
        self._engine = Engine(model, cache_bytes)
        self._lock = threading.RLock()
        self._source: ImageSource | None = None
        self._keys: dict[Window, str] = {}
        self._memo: BoundedCache[object, _State] = BoundedCache(MEMO_BYTES)

    @property
    def model(self) -> Inter2Former:
        """The model in use."""
        return self._engine.model  # type: ignore[no-any-return]

    @property
    def image_shape(self) -> tuple[int, int] | None:
        """(height, width) of the image, or None before `set_image`."""
        return None if self._source is None else self._source.shape

    @property
    def normalization(self) -> Normalization | None:
        """Intensity limits in use, or None before `set_image`."""
        return None if self._source is None else self._source.normalization

    @property
    def encode_seconds(self) -> float | None:
        """How long the last window took to encode, or None before the first."""
        return self._engine.encode_seconds

    def set_image(
        self,
        image: Any,
        channel_axis: int | None = None,
        rgb: bool | None = None,
        normalization: Normalization | None = None,
    ) -> None:
        """Choose the image. Nothing is copied, and only windows are read later.

        Features of windows with the same content stay cached, so going back to an earlier image
        is quick. Call it again after changing the image's pixels.

        Parameters
        ----------
        image, channel_axis, rgb, normalization
            See `napari_inter2former.images.as_image_source`.

        Raises
        ------
        ImageError
            If the image can't be used; the image before stays set.
        """
        source = as_image_source(image, channel_axis, rgb, normalization)
        with self._lock:
            self._source = source
            self._keys = {}
            self._memo.clear()

    def predict(
        self,
        prompts: Iterable[Prompt],
        previous: Mask | npt.NDArray[Any] | None = None,
        zoom: float | None = None,
    ) -> Mask:
        """Segment one object.

        The prompts are replayed from the first: write the discs of the clicks into the reference
        mask, decode, update the reference mask (Inter2Former, section 3). Steps already taken are
        remembered, so a further click costs one decoding, and one click less none.

        Parameters
        ----------
        prompts : iterable of Prompt
            All prompts of the object, in order. Clicks outside the image are refused; those of a
            tuple (scribble, box, polygon) are left out as long as one lies inside.
        previous : Mask or array of bool (height, width), optional
            A mask to start from.
        zoom : float, optional
            Zoom to start with, a power of two; by default chosen from the image's size. Useful
            when the size of the objects is known, say from ``Mask.zoom`` of the last one.

        Returns
        -------
        Mask
            In image pixels, all parts of it. It may be empty.

        Raises
        ------
        PromptError
            If there are no clicks, one lies outside the image, or `previous` does not fit it.
        ImageError
            If no image is set, or it can't be read here.
        """
        with self._lock:
            shape = self._image().shape
            checked = clicks_inside(as_prompts(prompts), shape)
            start = zoom_exponent(zoom)
            start_mask = as_previous(previous, shape)
            tag = (start, None if start_mask is None else start_mask.digest())
            state: _State | None = None
            done = len(checked)
            while done and (state := self._memo.get((tag, checked[:done]))) is None:
                done -= 1
            for n in range(done + 1, len(checked) + 1):
                state = self._advance(state, checked[:n], start_mask, start)
                nbytes = state.reference.nbytes + state.mask.data.nbytes
                self._memo.put((tag, checked[:n]), state, nbytes)
            assert state is not None  # as_prompts refuses an empty list
            return state.mask

    def prefetch(
        self,
        row: float,
        column: float,
        progress: Callable[[float], None] | None = None,
        zoom: float | None = None,
    ) -> None:
        """Encode the window that a first click would use, so that the click is quick.

        Parameters
        ----------
        row, column : float
            Where the click may come, image pixels.
        progress : callable, optional
            Called with 0.0 before and 1.0 after; `encode_seconds` tells how long the last took.
        zoom : float, optional
            As for `predict`.

        Raises
        ------
        PromptError
            If the position lies outside the image.
        ImageError
            If no image is set, or it can't be read here.
        """
        with self._lock:
            clicks = flatten(clicks_inside((Click(row, column),), self._image().shape))
            if progress is not None:
                progress(0.0)
            self._features(self._first_window(clicks_rect(clicks), None, zoom_exponent(zoom)))
            if progress is not None:
                progress(1.0)

    def is_ready(self, row: float, column: float, zoom: float | None = None) -> bool:
        """Whether a first click there would find its window encoded. Never waits."""
        source, keys = self._source, self._keys
        if source is None:
            return False
        window = self._first_window(clicks_rect((Click(row, column),)), None, zoom_exponent(zoom))
        key = keys.get(window)
        return key is not None and key in self._engine.features

    def _image(self) -> ImageSource:
        if self._source is None:
            raise ImageError("No image is set: call set_image first.")
        return self._source

    def _features(self, window: Window) -> Any:
        key = self._keys.get(window)
        if key is not None and (features := self._engine.features.get(key)) is not None:
            return features
        pixels = self._image().read(
            window.row, window.column, window.height, window.width, window.exponent
        )
        key = self._engine.key(pixels)
        self._keys[window] = key
        return self._engine.encode(pixels, key)

    def _first_window(self, clicks: Rect, previous: Mask | None, start: int | None) -> Window:
        shape, side = self._image().shape, self._side
        exponent = geometry.start_exponent(shape, side) if start is None else start
        rect = clicks
        if previous is not None:
            rect = geometry.union((clicks, previous.box))
            size = math.sqrt(previous.area)
            exponent = geometry.exponent_for_size(size, shape, side, exponent)
        exponent = geometry.fit_exponent(rect, shape, side, exponent)
        return geometry.place(rect, shape, exponent, side)

    def _advance(
        self,
        state: _State | None,
        prompts: tuple[Prompt, ...],
        previous: Mask | None,
        start: int | None,
    ) -> _State:
        """Take the last of `prompts` in, after `state`; move the window if that is needed."""
        shape, side = self._image().shape, self._side
        clicks = clicks_rect(flatten(prompts))
        if state is None:
            window = self._first_window(clicks, previous, start)
            state = self._replay(window, prompts, previous)
        elif geometry.contains(state.window, clicks, shape, side):
            state = self._step(state, prompts, previous)
        else:
            window = self._window_round(clicks, state.extent, previous, state.window.exponent)
            state = self._replay(window, prompts, previous)
        low = max(geometry.lowest_exponent(shape, side), self._image().lowest_exponent(side))
        high = geometry.HIGHEST_EXPONENT
        for change in range(MOST_CHANGES):
            extent, old = state.extent, state.window.exponent
            if extent.rect is None and (change or not _any_positive(prompts)):
                break  # nothing found: look closer once, not again
            wanted = geometry.choose_exponent(old, side, extent.size, extent.touches)
            new = min(max(wanted, low), high)
            if (new - old) * (wanted - old) <= 0:
                break
            window = self._window_round(clicks, extent, previous, new)
            if wanted > old and window.exponent <= old:
                break  # the prompts lie too far apart to look closer
            # Never back to a zoom that was left, so this ends.
            low, high = (low, old - 1) if wanted < old else (old + 1, high)
            state = self._replay(window, prompts, previous)
        return state

    def _window_round(
        self, clicks: Rect, extent: Extent, previous: Mask | None, start: int
    ) -> Window:
        """Window that holds all clicks and the previous mask, and the object if that is cheap."""
        shape, side = self._image().shape, self._side
        rect = clicks if previous is None else geometry.union((clicks, previous.box))
        if extent.rect is not None:
            both = geometry.union((rect, extent.rect))
            exponent = geometry.fit_exponent(both, shape, side, start)
            if exponent >= min(start, self._image().lowest_exponent(side)):
                return geometry.place(both, shape, exponent, side)
        exponent = geometry.fit_exponent(rect, shape, side, start)
        return geometry.place(rect, shape, exponent, side)

    def _replay(self, window: Window, prompts: tuple[Prompt, ...], previous: Mask | None) -> _State:
        """All prompts in a new window."""
        features = self._features(window)
        mask = None if previous is None else in_window(previous, window)
        reference = self._engine.new_reference(window, mask)
        for prompt in prompts:
            drawing = self._engine.step(features, reference, prompt, window)
        return self._finished(window, reference, drawing, prompts, previous)

    def _step(self, state: _State, prompts: tuple[Prompt, ...], previous: Mask | None) -> _State:
        """Only the last prompt, in the same window."""
        reference = state.reference.clone()
        features = self._features(state.window)
        drawing = self._engine.step(features, reference, prompts[-1], state.window)
        return self._finished(state.window, reference, drawing, prompts, previous)

    def _finished(
        self,
        window: Window,
        reference: Tensor,
        drawing: Drawing,
        prompts: tuple[Prompt, ...],
        previous: Mask | None,
    ) -> _State:
        shape = self._image().shape
        clicks = flatten(prompts)
        # An existing mask may have parts without a click: then all parts count.
        seeds = (
            [window.to_input(c.row, c.column) for c in clicks if c.positive]
            if previous is None
            else []
        )
        extent = measure(drawing, window, shape, seeds)
        anchor = pixel_of(clicks[-1])
        return _State(window, reference, extent, to_mask(drawing, window, shape, anchor))


def _any_positive(prompts: Iterable[Prompt]) -> bool:
    return any(click.positive for click in flatten(prompts))
