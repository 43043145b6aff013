"""A large image as many tasks: a plan, its planes or blocks, and the end."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from napari_inter2former.batch._everything import search_plane, work_folder, write_everything
from napari_inter2former.batch._inputs import is_zarr
from napari_inter2former.batch._jobs import Job, Outcome, is_done, load_once, provenance, tried
from napari_inter2former.batch._planes import Planes
from napari_inter2former.errors import Inter2FormerError

__all__ = ["do_part", "finish_job", "is_large", "plan_job"]

LARGE_BYTES = 1 << 23
"""Image files from this size on are looked into before they are given to one worker."""
LARGE_PIXELS = 1 << 24
"""Of all planes."""


def is_large(job: Job) -> bool:
    """Whether an image is worth several tasks."""
    from napari_inter2former.images import open_image

    path = Path(job.image)
    try:
        if job.kind != "everything" or not (is_zarr(path) or path.stat().st_size >= LARGE_BYTES):
            return False
        image = open_image(path)
    except (Inter2FormerError, OSError):
        return False  # the worker will say what is wrong
    return image.planes * math.prod(image.plane_shape) >= LARGE_PIXELS


def plan_job(job: Job) -> int | Outcome:
    """Return the number of planes, or of blocks of a single one; or that there is nothing to do."""

    def work() -> int | Outcome:
        if is_done(job):
            return Outcome(job.image, skipped=True)
        planes = _once(_opened, job)
        return len(planes) if len(planes) > 1 else len(_once(_prepared, job)[1])

    return tried(job, work)


def do_part(job: Job, part: int) -> Outcome | None:
    """Search a plane or block, unless that is done already; return an outcome if it fails."""

    def work() -> None:
        from napari_inter2former.everything import search_block

        planes = _once(_opened, job)
        if len(planes) > 1:
            search_plane(job, planes, part)
            return
        source, blocks, parts = _once(_prepared, job)
        assert job.settings is not None
        if not parts.has(part):
            model = load_once(job.model)
            parts.put(part, search_block(model, source, blocks[part], job.settings))

    return tried(job, work)


def finish_job(job: Job) -> Outcome:
    """Merge what was found, and write labels and table."""
    return tried(job, lambda: write_everything(job, Planes(job.image), provenance(job)))


def _once(make: Callable[[Job, str], Any], job: Job) -> Any:
    # The image's state is part of the key: a file that was replaced is opened again.
    return make(job, str(provenance(job)["state"]))


@lru_cache(maxsize=1)
def _opened(job: Job, state: str) -> Planes:
    return Planes(job.image)


@lru_cache(maxsize=1)
def _prepared(job: Job, state: str) -> Any:
    from napari_inter2former.everything import prepare_everything

    assert job.settings is not None
    source = _opened(job, state).source(0)
    work = work_folder(job, 0)
    return source, *prepare_everything(load_once(job.model), source, job.settings, work)
