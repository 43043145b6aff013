"""What a worker does with one image."""

from __future__ import annotations

from napari_inter2former.batch._everything import do_everything
from napari_inter2former.batch._jobs import Job, Outcome, is_done, tried
from napari_inter2former.batch._precompute import do_precompute
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


_WORK = {"everything": do_everything, "segment": do_segment, "precompute": do_precompute}
