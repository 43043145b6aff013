"""Features of the windows of one image: from memory, from disk, or made now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_inter2former.images import ImageSource
    from napari_inter2former.predictor._disk_cache import StoredFeatures
    from napari_inter2former.predictor._engine import Engine
    from napari_inter2former.predictor._windows import Window

__all__ = ["WindowFeatures"]


class WindowFeatures:
    """Read windows of one image and keep their features.

    Parameters
    ----------
    source : ImageSource
        The image.
    engine : Engine
        Encodes; its cache keeps the features.
    stored : StoredFeatures, optional
        Features on disk.
    """

    def __init__(
        self, source: ImageSource, engine: Engine, stored: StoredFeatures | None = None
    ) -> None:
        self._source = source
        self._engine = engine
        self._stored = stored
        self._keys: dict[Window, str] = {}

    def get(self, window: Window) -> Any:
        """Features of a window, from the cache or made now."""
        key = self._keys.get(window)
        if key is not None and (features := self._engine.features.get(key)) is not None:
            return features
        pixels, key = self._pixels(window)
        features = self._engine.features.get(key)
        if features is None and self._stored is not None:
            features = self._stored.get(key)
            if features is not None:
                self._engine.features.put(key, features, int(features.nbytes))
        if features is None:
            features = self._engine.encode(pixels, key)
            if self._stored is not None:
                self._stored.put(key, features)
        return features

    def store(self, window: Window) -> bool:
        """Make sure that the features of a window are on disk; return whether they were not.

        Raises
        ------
        OutputError
            If they can't be kept there.
        """
        assert self._stored is not None
        pixels, key = self._pixels(window)
        if self._stored.touch(key):
            return False
        self._stored.write(key, self._engine.encode(pixels, key))
        return True

    def is_ready(self, window: Window) -> bool:
        """Whether the features of a window are there."""
        key = self._keys.get(window)
        return key is not None and key in self._engine.features

    def _pixels(self, window: Window) -> tuple[Any, str]:
        """Read a window; also return the name of its content."""
        pixels = self._source.read(
            window.row, window.column, window.height, window.width, window.exponent
        )
        key = self._keys[window] = self._engine.key(pixels)
        return pixels, key
