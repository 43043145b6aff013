"""Write the labels, and the clicks that made them, to files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.qt.threading import thread_worker

from napari_inter2former._qt import _targets as targets
from napari_inter2former._sparse import SparseLabels
from napari_inter2former.annotation.objects import Accepted
from napari_inter2former.annotation.saving import write_labels
from napari_inter2former.errors import Inter2FormerError
from napari_inter2former.evaluation.click_files import write_clicks, write_stack_clicks
from napari_inter2former.prompts import Click

if TYPE_CHECKING:
    from napari_inter2former._qt._annotator import Annotator

__all__ = ["Saver", "clicks_by_plane"]


class Saver:
    """Save what was annotated: the labels as TIFF, and beside them the clicks as CSV.

    Files are written in a thread of their own, from a copy, so that work goes on meanwhile.

    Parameters
    ----------
    annotator : Annotator
        Whose labels and clicks these are.
    """

    def __init__(self, annotator: Annotator) -> None:
        self._annotator = annotator
        self._written: set[Path] = set()
        self._folder: Path | None = None
        self.busy = False

    def suggestion(self) -> Path:
        """Return a path for the labels' file: in the last folder, or beside the image's file."""
        image = self._annotator.scene.image
        name = re.sub(r"[^\w .+-]", "_", image.name if image is not None else "") or "image"
        source = getattr(getattr(image, "source", None), "path", None)
        folder = self._folder or Path(source or "").parent
        return (folder if folder.is_dir() else Path()) / f"{name}_labels.tif"

    def save(self, path: str | Path) -> None:
        """Write the labels to this file, replacing it, and clicks, if there are any, beside it.

        A file of clicks that another session has left is not replaced: the new one gets a number.
        """
        it = self._annotator
        layer = it.scene.labels
        if layer is None or self.busy:
            return
        path = Path(path)
        if path.suffix.lower() not in (".tif", ".tiff"):
            path = path.with_name(path.name + ".tif")
        self._folder = path.parent
        data, token = targets.array_of(layer), targets.token_of(layer)
        if isinstance(data, (np.ndarray, SparseLabels)):
            data = data.copy()
        meta = {"scale": layer.scale, "units": getattr(layer, "units", ())}
        records = [each for each in it.session.accepted.values() if each.target == token]
        clicks, odd = clicks_by_plane(records, data.shape)
        beside = self._free(path) if clicks else None

        def work() -> str:
            try:
                write_labels(str(path), data, meta)
                if beside is not None and len(data.shape) > 2:
                    write_stack_clicks(beside, clicks)
                elif beside is not None:
                    write_clicks(beside, clicks[0])
            except Inter2FormerError as error:
                return str(error)
            return ""

        def done(reason: str) -> None:
            self.busy = False
            if reason:
                it.status.error(reason)
            else:
                self._written.update(() if beside is None else (beside,))
                it.status.info(_told(path, beside, odd))
            it.refresh()

        def failed(error: Exception) -> None:
            done(f"{path}: the labels could not be written ({error}).")

        self.busy = True
        job = thread_worker(work)()
        job.returned.connect(done)
        job.errored.connect(failed)
        job.start()
        it.status.info(f"Saving {path.name}.")
        it.refresh()

    def _free(self, path: Path) -> Path:
        """Return where the clicks go: not where another session has left some."""
        stem = re.sub(r"(_labels)?(\.ome)?$", "", path.stem)
        for number in count(1):
            name = f"{stem}_clicks.csv" if number == 1 else f"{stem}_clicks_{number}.csv"
            found = path.with_name(name)
            if found in self._written or not found.exists():
                return found
        raise AssertionError


def clicks_by_plane(
    records: Iterable[Accepted], shape: tuple[int, ...]
) -> tuple[Mapping[int, Mapping[int, tuple[Click, ...]]], int]:
    """Sort accepted objects' clicks by planes, which are counted through.

    Returns
    -------
    clicks : mapping of int to mapping of int to tuple of Click
        By number of the plane, the last axis counting fastest, clicks by object.
    odd : int
        Objects in planes across the stack, which have no such number and are left out.
    """
    clicks: dict[int, dict[int, tuple[Click, ...]]] = {}
    odd = 0
    rows = len(shape) - 2
    for record in records:
        plane = record.state.plane
        assert plane is not None
        if plane.axes != (rows, rows + 1):
            odd += 1
            continue
        index: Any = plane.index[:rows]
        number = int(np.ravel_multi_index(index, shape[:rows])) if rows else 0
        clicks.setdefault(number, {})[record.number] = record.state.clicks
    return clicks, odd


def _told(path: Path, beside: Path | None, odd: int) -> str:
    text = f"Saved: {path.name}"
    if beside is not None:
        text += f" and {beside.name}"
    if odd:
        text += f". Clicks of {odd} object(s) in planes across the stack are not in it"
    return text + "."
