"""A large image as many tasks: a plan, its planes or blocks, and the end."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from napari_inter2former.batch._everything import search_plane, work_folder, write_everything
from napari_inter2former.batch._inputs import is_zarr
from napari_inter2former.batch._jobs import Job, Outcome, is_done, load_once, provenance, tried
from napari_inter2former.batch._planes import Planes
from napari_inter2former.errors import Inter2FormerError

__all__ = ["Plan", "do_part", "finish_job", "is_large", "plan_job"]

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


class Plan(NamedTuple):
    """What is to be done with a large image.

    Attributes
    ----------
    parts : int
        How many planes, or blocks of a single one.
    made : dict
        The `provenance` of the outputs: the image's state is looked at here and at the end, not
        for each part.
    """

    parts: int
    made: dict[str, Any]


def plan_job(job: Job) -> Plan | Outcome:
    """Return what is to be done, or that there is nothing to do."""

    def work() -> Plan | Outcome:
        if is_done(job):
            return Outcome(job.image, skipped=True)
        made = provenance(job)
        _prepared.cache_clear()  # its folder is gone with an earlier run of the same job
        planes = _once(_opened, job, made)
        parts = len(planes) if len(planes) > 1 else len(_once(_prepared, job, made)[1])
        return Plan(parts, made)

    return tried(job, work)


def do_part(job: Job, made: dict[str, Any], part: int) -> Outcome | None:
    """Search a plane or block, unless that is done already; return an outcome if it fails."""

    def work() -> None:
        from napari_inter2former.everything import search_block

        planes = _once(_opened, job, made)
        if len(planes) > 1:
            search_plane(job, planes, part, made)
            return
        source, blocks, parts = _once(_prepared, job, made)
        assert job.settings is not None
        if not parts.has(part):
            model = load_once(job.model)
            parts.put(part, search_block(model, source, blocks[part], job.settings))

    return tried(job, work)


def finish_job(job: Job, made: dict[str, Any]) -> Outcome:
    """Merge what was found, and write labels and table."""
    return tried(job, lambda: write_everything(job, Planes(job.image, job.rendering), made))


def _once(make: Callable[[Job, str], Any], job: Job, made: dict[str, Any]) -> Any:
    # Part of the key: an image that was replaced is opened again, with other weights planned anew.
    return make(job, json.dumps(made))


@lru_cache(maxsize=1)
def _opened(job: Job, made: str) -> Planes:
    return Planes(job.image, job.rendering)


@lru_cache(maxsize=1)
def _prepared(job: Job, made: str) -> Any:
    from napari_inter2former.everything import prepare_everything

    assert job.settings is not None
    source, model = _opened(job, made).source(0), load_once(job.model)
    work = work_folder(job, 0)
    state = json.loads(made)["state"]
    return source, *prepare_everything(model, source, job.settings, work, state)
