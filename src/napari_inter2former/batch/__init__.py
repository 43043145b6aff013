"""Many images at once: on this machine, or on a Dask cluster."""

from __future__ import annotations

from napari_inter2former.batch._inputs import BatchError, find_images, is_zarr, output_stem
from napari_inter2former.batch._jobs import Job, Outcome, outputs_of
from napari_inter2former.batch._outputs import FORMATS, write_labels, write_table
from napari_inter2former.batch._precompute import check_room
from napari_inter2former.batch._run import claimed, run_jobs
from napari_inter2former.batch._work import do_job

__all__ = [
    "FORMATS",
    "BatchError",
    "Job",
    "Outcome",
    "check_room",
    "claimed",
    "do_job",
    "find_images",
    "is_zarr",
    "output_stem",
    "outputs_of",
    "run_jobs",
    "write_labels",
    "write_table",
]
