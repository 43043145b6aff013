"""Segment everything: clicks on all that may be objects, duplicates and background dropped."""

from __future__ import annotations

from napari_inter2former.everything._paint import ObjectTable, measure_objects
from napari_inter2former.everything._run import Everything, find_everything, segment_everything
from napari_inter2former.everything._search import search_block
from napari_inter2former.everything._settings import EverythingSettings, SettingsError
from napari_inter2former.everything._stream import (
    painted,
    prepare_everything,
    search_everything,
    stream_everything,
)

__all__ = [
    "Everything",
    "EverythingSettings",
    "ObjectTable",
    "SettingsError",
    "find_everything",
    "measure_objects",
    "painted",
    "prepare_everything",
    "search_block",
    "search_everything",
    "segment_everything",
    "stream_everything",
]
