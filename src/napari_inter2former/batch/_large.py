"""A large image as many tasks: a plan, its blocks, and the end."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from napari_inter2former.batch._inputs import is_zarr
from napari_inter2former.batch._jobs import (
    Job,
    Outcome,
    is_done,
    load_once,
    provenance,
    tried,
    write_unless_changed,
)
from napari_inter2former.batch._outputs import write_table
from napari_inter2former.errors import Inter2FormerError

__all__ = ["do_part", "finish_job", "is_large", "plan_job"]

LARGE_BYTES = 1 << 26
"""Image files from this size on are looked into before they are given to one worker."""
LARGE_PIXELS = 1 << 24


def is_large(job: Job) -> bool:
    """Whether an image is worth several tasks."""
    from napari_inter2former.images import open_image

    path = Path(job.image)
    try:
        if job.kind != "everything" or not (is_zarr(path) or path.stat().st_size >= LARGE_BYTES):
            return False
        height, width = open_image(path).plane_shape
    except (Inter2FormerError, OSError):
        return False  # the worker will say what is wrong
    return height * width >= LARGE_PIXELS


def plan_job(job: Job) -> int | Outcome:
    """Choose the zooms; return the number of blocks, or the outcome if there is nothing to do."""

    def work() -> int | Outcome:
        return Outcome(job.image, skipped=True) if is_done(job) else len(_prepared(job)[2])

    return tried(job, work)


def do_part(job: Job, part: int) -> Outcome | None:
    """Search a block, unless that is done already; return an outcome if it fails."""

    def work() -> None:
        from napari_inter2former.everything import search_block

        model, source, blocks, parts = _prepared(job)
        assert job.settings is not None
        if not parts.has(part):
            parts.put(part, search_block(model, source, blocks[part], job.settings))

    return tried(job, work)


def finish_job(job: Job) -> Outcome:
    """Merge the blocks, and write labels and table."""

    def work() -> Outcome:
        from napari_inter2former.everything import finish_everything

        made = provenance(job)
        _, source, blocks, parts = _prepared(job)
        table = finish_everything(
            source.shape,
            parts,
            len(blocks),
            lambda stored, _: write_unless_changed(job, made, stored),
        )
        write_table(Path(job.table), table)
        return Outcome(job.image, objects=len(table["label"]))

    return tried(job, work)


def _prepared(job: Job) -> Any:
    # The image's state is part of the key: a file that was replaced is opened again.
    return _prepare(job, str(provenance(job)["state"]))


@lru_cache(maxsize=1)
def _prepare(job: Job, state: str) -> Any:
    from napari_inter2former.everything import prepare_everything
    from napari_inter2former.images import as_image_source, open_image

    assert job.settings is not None
    labels = Path(job.labels)
    model = load_once(job.model)
    source = as_image_source(open_image(job.image))
    work = labels.with_name(f".{labels.name}.parts")
    return model, source, *prepare_everything(model, source, job.settings, work)
