"""The dock widget: the only part of the package that needs Qt and a napari viewer."""

from __future__ import annotations

from napari_inter2former._qt._dock import Inter2FormerWidget
from napari_inter2former._qt._segment import segment_widget

__all__ = ["Inter2FormerWidget", "segment_widget"]
