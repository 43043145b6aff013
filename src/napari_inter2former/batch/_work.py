"""What a worker does with one image."""

from __future__ import annotations

from napari_inter2former.batch._everything import do_everything
from napari_inter2former.batch._jobs import Job, Outcome, is_done, load_once, tried
from napari_inter2former.batch._segment import do_segment

__all__ = ["do_job"]


def do_job(job: Job) -> Outcome:
    """Do a job; what goes wrong with its files is part of the outcome.

    Parameters
    ----------
    job : Job
        The job.
    """

    def work() -> Outcome:
        if job.labels and is_done(job):
            return Outcome(job.image, skipped=True)
        return _WORK[job.kind](job)

    return tried(job, work)


def _precompute(job: Job) -> Outcome:
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


_WORK = {"everything": do_everything, "segment": do_segment, "precompute": _precompute}
