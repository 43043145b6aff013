"""One image of a batch job: a plain record that travels to a worker, and what a worker does."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from napari_inter2former import __version__
from napari_inter2former.batch._inputs import output_stem
from napari_inter2former.batch._outputs import (
    FORMATS,
    read_provenance,
    write_labels,
    write_table,
)
from napari_inter2former.errors import ImageError, Inter2FormerError

if TYPE_CHECKING:
    from napari_inter2former.everything import EverythingSettings

__all__ = [
    "Job",
    "Outcome",
    "do_job",
    "is_done",
    "load_once",
    "outputs_of",
    "provenance",
    "tried",
    "write_unless_changed",
]

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is to be done with one image.

    Attributes
    ----------
    kind : str
        ``"everything"``, ``"segment"`` or ``"precompute"``.
    image : str
        Path of the image.
    labels, table : str
        Paths of the outputs; empty for ``"precompute"``.
    model : str
        Name or path of the weights.
    settings : EverythingSettings or None
        For ``"everything"``.
    clicks : str
        Path of the clicks, for ``"segment"``.
    threads : int
        PyTorch's threads.
    """

    kind: str
    image: str
    labels: str = ""
    table: str = ""
    model: str = "tiny"
    settings: EverythingSettings | None = None
    clicks: str = ""
    threads: int = 1


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes
    ----------
    image : str
        Path of the image.
    error : str
        Why it failed; empty if it did not.
    objects : int
        How many objects were written (or windows encoded).
    skipped : bool
        Whether it was done already.
    notes : tuple of str
        What the user should know.
    """

    image: str
    error: str = ""
    objects: int = 0
    skipped: bool = False
    notes: tuple[str, ...] = field(default=())


def outputs_of(image: str | Path, out: str | Path, form: str = "tiff") -> dict[str, str]:
    """Name the outputs of an image.

    Parameters
    ----------
    image : path
        The image.
    out : path
        Folder of the outputs.
    form : {"tiff", "zarr"}
        Format of the labels.

    Returns
    -------
    dict
        ``image``, ``labels`` and ``table`` for `Job`, as absolute paths.
    """
    image, out = Path(image), Path(out)
    stem = output_stem(image)
    return {
        "image": str(image.absolute()),
        "labels": str((out / f"{stem}_labels{FORMATS[form]}").absolute()),
        "table": str((out / f"{stem}_objects.csv").absolute()),
    }


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


def tried(job: Job, work: Callable[[], T]) -> T | Outcome:
    """Do a step of a job; what goes wrong with its files becomes an outcome."""
    import torch

    if torch.get_num_threads() != job.threads:
        torch.set_num_threads(job.threads)
    try:
        return work()
    except Inter2FormerError as error:
        return Outcome(job.image, error=" ".join(str(error).split()))
    # One strange file must not end the work on five hundred others.
    except Exception as error:  # noqa: BLE001
        return Outcome(job.image, error=f"{type(error).__name__}: {error}")


def is_done(job: Job) -> bool:
    """Whether the outputs are there, made from the same image, weights and settings."""
    if not (Path(job.labels).exists() and Path(job.table).is_file()):
        return False
    return read_provenance(Path(job.labels)) == provenance(job)


def provenance(job: Job) -> dict[str, Any]:
    """Return what the outputs depend on, in plain values."""
    made: dict[str, Any] = {
        "version": __version__,
        "kind": job.kind,
        "image": Path(job.image).name,
        "state": _state(Path(job.image)),
        "weights": _weights_sha256(job.model),
    }
    if job.settings is not None:
        made["settings"] = asdict(job.settings)
    if job.clicks:
        data = Path(job.clicks).read_bytes() if Path(job.clicks).is_file() else b""
        made["clicks"] = hashlib.blake2b(data, digest_size=16).hexdigest()
    return made


def _everything(job: Job) -> Outcome:
    from napari_inter2former.everything import stream_everything
    from napari_inter2former.images import open_image

    made = provenance(job)
    labels = Path(job.labels)
    table = stream_everything(
        open_image(job.image),
        lambda stored, _: write_unless_changed(job, made, stored),
        labels.with_name(f".{labels.name}.parts"),
        load_once(job.model),
        settings=job.settings,
    )
    write_table(Path(job.table), table)
    return Outcome(job.image, objects=len(table["label"]))


def _segment(job: Job) -> Outcome:
    import numpy as np

    from napari_inter2former.evaluation.click_files import read_clicks
    from napari_inter2former.everything import measure_objects
    from napari_inter2former.images import as_image_source, open_image
    from napari_inter2former.scripting import segment

    made = provenance(job)
    source = as_image_source(open_image(job.image))
    clicks = read_clicks(job.clicks, source.shape)
    scores: dict[int, float] = {}

    def remember(label: int, mask: Any) -> None:
        scores[label] = mask.score

    labels = segment(source, clicks, load_once(job.model), progress=remember)
    table = measure_objects(labels, scores)
    write_unless_changed(job, made, labels)
    write_table(Path(job.table), table)
    missing = sorted(set(clicks) - set(np.unique(labels).tolist()))
    notes = tuple(f"object {n}: no pixels (nothing found at its clicks)" for n in missing)
    return Outcome(job.image, objects=len(table["label"]), notes=notes)


def _precompute(job: Job) -> Outcome:
    from napari_inter2former.images import open_image
    from napari_inter2former.predictor import Predictor, precompute

    predictor = Predictor(load_once(job.model), disk_cache=True)
    predictor.set_image(open_image(job.image))
    encoded = precompute(predictor)
    return Outcome(job.image, objects=encoded, skipped=encoded == 0)


_WORK = {"everything": _everything, "segment": _segment, "precompute": _precompute}


def write_unless_changed(job: Job, made: Mapping[str, Any], labels: Any) -> None:
    """Write the labels, unless the image is no longer the one that they were made from."""
    if _state(Path(job.image)) != made["state"]:
        raise ImageError(
            f"{job.image} was changed while it was being worked on; nothing was written. "
            "Run the command again when it is complete."
        )
    # The table comes last: where it is, the labels are whole.
    Path(job.table).unlink(missing_ok=True)
    write_labels(Path(job.labels), labels, made)


def _state(path: Path) -> list[list[Any]]:
    """Size and time of change of a file, or of the files that describe a zarr folder."""
    try:
        if path.is_dir():
            names = [path, *sorted(path.rglob("zarr.json")), *sorted(path.rglob(".z*"))]
        else:
            names = [path]
        stats = [(name, name.stat()) for name in names]
    except OSError as error:
        raise ImageError(f"{path} can't be read ({error.strerror or error}).") from error
    return [[os.fspath(n.relative_to(path)), s.st_size, s.st_mtime_ns] for n, s in stats]


@lru_cache(maxsize=1)
def load_once(name: str) -> Any:
    """Load the weights once per process."""
    from napari_inter2former.weights import load_model

    return load_model(name)


def _weights_sha256(name: str) -> str | None:
    sha256: str | None = load_once(name).weights_sha256
    return sha256
