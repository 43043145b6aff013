"""Segmenting from recorded clicks as a job."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_inter2former._disk_blocks import labels_on_disk
from napari_inter2former._files import beside
from napari_inter2former._sparse import SparseLabels
from napari_inter2former.batch._jobs import Job, Outcome, load_once, provenance, write_results
from napari_inter2former.batch._planes import Planes, join_tables

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from napari_inter2former.everything import ObjectTable
    from napari_inter2former.images import ImageSource
    from napari_inter2former.predictor import Mask, Predictor
    from napari_inter2former.prompts import Click

    Clicks = Mapping[int, Mapping[int, Sequence[Click]]]

__all__ = ["do_segment"]


def do_segment(job: Job) -> Outcome:
    """Segment the objects that were clicked, in the planes in which they were.

    Masks are written by their boxes into labels of which only a few blocks are in memory, and the
    image is read by windows, so that its size is of no importance.
    """
    from napari_inter2former.evaluation.click_files import read_stack_clicks
    from napari_inter2former.predictor import Predictor

    made = provenance(job)
    planes = Planes(job.image, job.rendering)
    clicks = read_stack_clicks(job.clicks, planes.plane_shape, planes.sizes)
    predictor = Predictor(load_once(job.model))
    tables: list[ObjectTable] = []
    notes: list[str] = []

    def labels() -> Generator[Any]:
        for number in range(len(planes)):
            if number not in clicks:
                yield SparseLabels(planes.plane_shape)
                continue
            with labels_on_disk(beside(Path(job.labels), "raw"), planes.plane_shape) as plane:
                measured = _segmented(plane, planes.source(number), clicks[number], predictor)
                there = [measured[label] for label in sorted(measured)]
                tables.append(planes.located(number, join_tables(there)))
                where = f" in {planes.describe(number)}" if planes.sizes else ""
                notes.extend(
                    f"object {label}{where}: no pixels (nothing found at its clicks)"
                    for label in sorted(measured)
                    if not len(measured[label]["label"])
                )
                yield plane

    dtype = _smallest(clicks) if job.compact and not planes.sizes else "int32"
    write_results(job, made, planes, labels(), lambda: join_tables(tables), dtype)
    return Outcome(
        job.image,
        objects=sum(len(table["label"]) for table in tables),
        clicked=sum(map(len, clicks.values())),
        notes=tuple(notes),
    )


def _segmented(
    labels: SparseLabels,
    source: ImageSource,
    clicks: Mapping[int, Sequence[Click]],
    predictor: Predictor,
) -> dict[int, ObjectTable]:
    """Paint the objects of a plane, and measure each: later ones leave its pixels alone."""
    from napari_inter2former.everything import measure_objects
    from napari_inter2former.scripting import segment

    measured: dict[int, ObjectTable] = {}

    def measure(label: int, mask: Mask) -> None:
        pixels = np.zeros((1, 1), np.uint8)
        if not mask.empty:
            pixels = (labels[mask.slices] == label).astype(np.uint8)
        table = measure_objects(pixels, {1: mask.score}, mask.box[:2])
        measured[label] = {**table, "label": np.full(len(table["label"]), label)}

    segment(source, clicks, predictor, out=labels, progress=measure)
    return measured


def _smallest(clicks: Clicks) -> str:
    largest = max(label for objects in clicks.values() for label in objects)
    return "uint16" if largest <= np.iinfo(np.uint16).max else "uint32"
