"""Everything mode as a job: every plane is searched, then the labels are written."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_inter2former.batch._jobs import Job, Outcome, load_once, provenance, write_results
from napari_inter2former.batch._planes import Planes, join_tables

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from napari_inter2former.everything import ObjectTable

__all__ = ["do_everything", "search_plane", "work_folder", "write_everything"]


def do_everything(job: Job) -> Outcome:
    """Find and segment all objects of all planes."""
    made = provenance(job)
    planes = Planes(job.image, job.rendering)
    for number in range(len(planes)):
        search_plane(job, planes, number, made)
    return write_everything(job, planes, made)


def search_plane(job: Job, planes: Planes, number: int, made: Mapping[str, Any]) -> Any:
    """Search what is not searched yet of a plane; return its blocks and what they hold."""
    from napari_inter2former.everything import search_everything

    return search_everything(
        planes.source(number),
        load_once(job.model),
        job.settings,
        work_folder(job, number),
        state=made["state"],
    )


def write_everything(job: Job, planes: Planes, made: Mapping[str, Any]) -> Outcome:
    """Merge what was found and write it, plane by plane; numbers go on from plane to plane."""
    tables: list[ObjectTable] = []

    def labels() -> Generator[Any]:
        from napari_inter2former.everything import painted

        after = 0
        for number in range(len(planes)):
            blocks, parts = search_plane(job, planes, number, made)
            found = painted(planes.plane_shape, parts, len(blocks), job.settings, after)
            with found as (plane, table):
                after += len(table["label"])
                tables.append(planes.located(number, table))
                yield plane

    write_results(job, made, planes, labels(), lambda: join_tables(tables))
    shutil.rmtree(work_folder(job, 0).parent, ignore_errors=True)
    return Outcome(job.image, objects=sum(len(table["label"]) for table in tables))


def work_folder(job: Job, number: int) -> Path:
    """Return where what is found in a plane is kept until the labels are written."""
    labels = Path(job.labels)
    return labels.with_name(f".{labels.name}.parts") / str(number)
