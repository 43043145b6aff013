"""Segmenting from recorded clicks as a job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_inter2former.batch._jobs import Job, Outcome, load_once, provenance, write_results
from napari_inter2former.batch._planes import Planes, join_tables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_inter2former.everything import ObjectTable
    from napari_inter2former.predictor import Mask

__all__ = ["do_segment"]


def do_segment(job: Job) -> Outcome:
    """Segment the objects that were clicked, in the planes in which they were."""
    from napari_inter2former.evaluation.click_files import read_stack_clicks
    from napari_inter2former.everything import measure_objects
    from napari_inter2former.predictor import Predictor
    from napari_inter2former.scripting import segment

    made = provenance(job)
    planes = Planes(job.image)
    clicks = read_stack_clicks(job.clicks, planes.plane_shape, planes.sizes)
    predictor = Predictor(load_once(job.model))
    tables: list[ObjectTable] = []
    notes: list[str] = []

    def labels() -> Iterator[Any]:
        for number in range(len(planes)):
            if number not in clicks:
                yield np.broadcast_to(np.int32(0), planes.plane_shape)
                continue
            scores: dict[int, float] = {}

            def remember(label: int, mask: Mask, scores: dict[int, float] = scores) -> None:
                scores[label] = mask.score

            plane = segment(planes.source(number), clicks[number], predictor, progress=remember)
            tables.append(planes.located(number, measure_objects(plane, scores)))
            where = f" in {planes.describe(number)}" if planes.sizes else ""
            notes.extend(
                f"object {label}{where}: no pixels (nothing found at its clicks)"
                for label in sorted(scores.keys() - set(tables[-1]["label"].tolist()))
            )
            yield plane

    write_results(job, made, planes, labels(), lambda: join_tables(tables))
    objects = sum(len(table["label"]) for table in tables)
    return Outcome(job.image, objects=objects, notes=tuple(notes))
