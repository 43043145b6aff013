"""Clicks in, masks out, on images of any size."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

from napari_inter2former._cache import BoundedCache
from napari_inter2former.errors import ImageError, PromptError
from napari_inter2former.images import as_image_source
from napari_inter2former.predictor import _windows as geometry
from napari_inter2former.predictor._disk_cache import DiskCache, StoredFeatures
from napari_inter2former.predictor._following import Follower, State
from napari_inter2former.predictor._inputs import (
    as_previous,
    clicks_inside,
    clicks_rect,
    zoom_exponent,
)
from napari_inter2former.prompts import Click, Prompt, as_prompts, flatten

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    from napari_inter2former.images import Channels, Normalization, Rendering
    from napari_inter2former.model import Inter2Former
    from napari_inter2former.predictor._mask import Mask
    from napari_inter2former.predictor._windows import Window

__all__ = ["Predictor"]

CACHE_BYTES = 512 << 20
"""Default bound of the feature cache."""
MEMO_BYTES = 128 << 20
"""Bound of the remembered steps of recent objects."""


class Predictor:
    """Segment objects of an image by clicks.

    The image is seen through windows of up to ``model.config.window`` input pixels, at zooms that
    are powers of two. The window and its zoom follow from the image, the prompts and the previous
    mask alone, so the same prompts always give the same mask.

    Parameters
    ----------
    model : str, path or Inter2Former
        Name or path of weights (see `napari_inter2former.weights.load_model`), or a model, whose
        weights must stay as they are.
    cache_bytes : int
        Bound of the features kept, in bytes.
    disk_cache : bool, path or DiskCache
        Keep features on disk as well, where the next session finds them: True for a folder in the
        user's cache folder, or a folder of your own.
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
        disk_cache: bool | str | os.PathLike[str] | DiskCache = False,
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
        self._stored: StoredFeatures | None = None
        if disk_cache is not False:
            if not isinstance(disk_cache, DiskCache):
                disk_cache = DiskCache(None if disk_cache is True else disk_cache)
            self._stored = StoredFeatures(disk_cache, model)
        self._lock = threading.RLock()
        self._follower: Follower | None = None
        self._memo: BoundedCache[object, State] = BoundedCache(MEMO_BYTES)

    @property
    def model(self) -> Inter2Former:
        """The model in use."""
        return self._engine.model  # type: ignore[no-any-return]

    @property
    def window(self) -> int:
        """Largest side of a window, in input pixels."""
        return self._side

    @property
    def cache_nbytes(self) -> int:
        """Bytes of the features in memory; never above the bound."""
        return self._engine.features.nbytes

    @property
    def disk_cache(self) -> DiskCache | None:
        """Where features are kept on disk, if they are."""
        return None if self._stored is None else self._stored.cache

    @property
    def image_shape(self) -> tuple[int, int] | None:
        """(height, width) of the image, or None before `set_image`."""
        return None if self._follower is None else self._follower.source.shape

    @property
    def normalization(self) -> Normalization | None:
        """Intensity limits in use, or None before `set_image`."""
        return None if self._follower is None else self._follower.source.normalization

    @property
    def rendering(self) -> Rendering | None:
        """How pixels become the model's input, to keep and replay, or None before `set_image`."""
        return None if self._follower is None else self._follower.source.rendering

    @property
    def encode_seconds(self) -> float:
        """How long all encodings so far have taken."""
        return self._engine.encode_seconds

    def set_image(
        self,
        image: Any,
        channel_axis: int | None = None,
        rgb: bool | None = None,
        normalization: Normalization | None = None,
        channels: Channels | Iterable[str] | None = None,
    ) -> None:
        """Choose the image. Nothing is copied, and only windows are read later.

        Features of windows with the same content stay cached, so going back to an earlier image
        is quick. Call it again after changing the image's pixels.

        Parameters
        ----------
        image, channel_axis, rgb, normalization, channels
            See `napari_inter2former.images.as_image_source`.

        Raises
        ------
        ImageError
            If the image can't be used; the image before stays set.
        """
        source = as_image_source(image, channel_axis, rgb, normalization, channels)
        source.forget_pixels()
        with self._lock:
            self._follower = Follower(source, self._side, self._engine, self._stored)
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
            follower = self._image()
            shape = follower.source.shape
            checked = clicks_inside(as_prompts(prompts), shape)
            start = zoom_exponent(zoom)
            start_mask = as_previous(previous, shape)
            tag = (start, None if start_mask is None else start_mask.digest())
            state: State | None = None
            done = len(checked)
            while done and (state := self._memo.get((tag, checked[:done]))) is None:
                done -= 1
            for n in range(done + 1, len(checked) + 1):
                state = follower.advance(state, checked[:n], start_mask, start)
                nbytes = state.reference.nbytes + state.mask.data.nbytes
                # The newest is kept in any case, or every click would begin anew.
                self._memo.put((tag, checked[:n]), state, min(nbytes, MEMO_BYTES))
            assert state is not None  # as_prompts refuses an empty list
            return state.mask

    def prefetch(self, row: float, column: float, zoom: float | None = None) -> None:
        """Encode the window that a first click would use, so that the click is quick.

        Parameters
        ----------
        row, column : float
            Where the click may come, image pixels.
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
            follower = self._image()
            clicks = flatten(clicks_inside((Click(row, column),), follower.source.shape))
            rect = clicks_rect(clicks)
            follower.features.get(follower.first_window(rect, None, zoom_exponent(zoom)))

    def is_ready(self, row: float, column: float, zoom: float | None = None) -> bool:
        """Whether a first click there would find its window encoded. Never waits."""
        follower = self._follower
        if follower is None:
            return False
        rect = clicks_rect((Click(row, column),))
        return follower.features.is_ready(follower.first_window(rect, None, zoom_exponent(zoom)))

    def first_windows(
        self, zoom: float | None = None, region: tuple[int, int, int, int] | None = None
    ) -> list[Window]:
        """List the windows that first clicks can use.

        Parameters
        ----------
        zoom : float, optional
            As for `predict`.
        region : tuple of int, optional
            (r0, c0, r1, c1) in image pixels: for clicks in there; by default anywhere.

        Raises
        ------
        PromptError
            If the region is empty or lies outside the image.
        """
        follower = self._image()
        shape = follower.source.shape
        r0, c0, r1, c1 = region if region is not None else (0, 0, *shape)
        if not (0 <= r0 < r1 <= shape[0] and 0 <= c0 < c1 <= shape[1]):
            raise PromptError(
                f"The region {region} is empty or lies outside the image, which has {shape[0]} "
                f"rows and {shape[1]} columns."
            )
        at = (r0, c0, r0 + 1, c0 + 1)
        exponent = follower.first_window(at, None, zoom_exponent(zoom)).exponent
        return geometry.first_windows((r0, c0, r1, c1), shape, exponent, follower.side)

    def store(self, window: Window) -> bool:
        """Make sure that the features of a window are in the cache on disk.

        Returns
        -------
        bool
            Whether they were not.

        Raises
        ------
        ImageError
            If no image is set, or it can't be read here.
        OutputError
            If the cache can't keep them.
        ValueError
            If there is no cache on disk.
        """
        if self._stored is None:
            raise ValueError("The predictor has no cache on disk: make it with disk_cache=True.")
        with self._lock:
            return self._image().features.store(window)

    def _image(self) -> Follower:
        if self._follower is None:
            raise ImageError("No image is set: call set_image first.")
        return self._follower
