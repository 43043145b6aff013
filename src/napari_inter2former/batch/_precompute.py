"""Encode the windows of images ahead; and whether the cache on disk can hold them."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

import numpy as np

from napari_inter2former.batch._inputs import BatchError
from napari_inter2former.batch._jobs import Job, Outcome, load_once
from napari_inter2former.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["check_room", "do_precompute"]


def do_precompute(job: Job) -> Outcome:
    """Encode the windows of all planes of an image."""
    from napari_inter2former.images import RenderedImage, open_image
    from napari_inter2former.predictor import Predictor, precompute

    predictor = Predictor(load_once(job.model), disk_cache=True)
    image = open_image(job.image)
    rendered = RenderedImage(image, job.rendering)
    encoded = 0
    for number in range(image.planes):
        predictor.set_image(rendered.source(number))
        encoded += precompute(predictor)
    return Outcome(job.image, objects=encoded, skipped=encoded == 0)


def check_room(jobs: Sequence[Job]) -> None:
    """Refuse what the cache on disk can't hold: its first windows would give way to the last.

    Raises
    ------
    BatchError
        If it can't.
    """
    from napari_inter2former.images import open_image
    from napari_inter2former.predictor import DiskCache, Predictor

    with tempfile.TemporaryDirectory() as folder:
        kept = DiskCache(folder, max_bytes=2**40)
        predictor = Predictor(load_once(jobs[0].model), disk_cache=kept)
        windows = 0
        for job in jobs:
            try:
                image = open_image(job.image)
                predictor.set_image(np.broadcast_to(np.uint8(0), image.plane_shape))
            except ImageError:
                continue  # the worker will say what is wrong
            windows += len(predictor.first_windows()) * image.planes
        side = predictor.model.config.window
        predictor.set_image(np.zeros((side, side), np.uint8))
        predictor.store(predictor.first_windows()[0])
        each = kept.nbytes
    needed, most = windows * each / 2**30, DiskCache().max_bytes / 2**30
    if needed > most:
        raise BatchError(
            f"These images have {windows} windows, which take {needed:.0f} GB, and the cache on "
            f"disk holds {most:.0f} GB. Give fewer or smaller images, let the cache grow "
            "(INTER2FORMER_CACHE_GB, for napari too), or encode parts of them in a script: "
            "precompute(predictor, region=...)."
        )
