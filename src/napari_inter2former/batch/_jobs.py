"""One image of a batch job: a plain record that travels to a worker, and its outputs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from napari_inter2former import __version__
from napari_inter2former._files import OutputError
from napari_inter2former.batch._inputs import output_stem
from napari_inter2former.batch._outputs import (
    FORMATS,
    is_unchanged,
    read_provenance,
    write_planes,
    write_table,
)
from napari_inter2former.batch._state import image_state
from napari_inter2former.errors import ImageError, Inter2FormerError
from napari_inter2former.images import RenderingChoice

if TYPE_CHECKING:
    from napari_inter2former.batch._planes import Planes
    from napari_inter2former.everything import EverythingSettings, ObjectTable

__all__ = [
    "Job",
    "Outcome",
    "is_done",
    "load_once",
    "outputs_of",
    "provenance",
    "tried",
    "write_results",
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
        Paths of the outputs; empty for ``"precompute"``, the table's also where none is wanted.
    model : str
        Name or path of the weights; a path becomes absolute, since workers have other folders.
    settings : EverythingSettings or None
        For ``"everything"``.
    rendering : RenderingChoice
        Which channels and which contrast the model sees.
    clicks : str
        Path of the clicks, for ``"segment"``.
    compact : bool
        Whether ``"segment"`` writes the labels of an image of one plane as uint16 if all objects'
        numbers fit, and else as uint32; int32 otherwise.
    threads : int
        PyTorch's threads.
    """

    kind: str
    image: str
    labels: str = ""
    table: str = ""
    model: str = "tiny"
    settings: EverythingSettings | None = None
    rendering: RenderingChoice = field(default_factory=RenderingChoice)
    clicks: str = ""
    compact: bool = False
    threads: int = 1

    def __post_init__(self) -> None:
        """Complete the path of the weights."""
        path = Path(self.model).expanduser()
        if path.is_file():
            object.__setattr__(self, "model", str(path.absolute()))


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
        How many objects were written, in each plane anew (or windows encoded).
    clicked : int
        How many objects were clicked, in each plane anew, for ``"segment"``.
    skipped : bool
        Whether it was done already.
    notes : tuple of str
        What the user should know.
    """

    image: str
    error: str = ""
    objects: int = 0
    clicked: int = 0
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

    Raises
    ------
    OutputError
        If they would replace the image, or lie inside it.
    """
    image, out = Path(image), Path(out)
    stem = output_stem(image)
    labels = out / f"{stem}_labels{FORMATS[form]}"
    _check_apart(image, labels)
    return {
        "image": str(image.absolute()),
        "labels": str(labels.absolute()),
        "table": str((out / f"{stem}_objects.csv").absolute()),
    }


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
    """Whether the outputs are there, made from the same image, weights and settings.

    Raises
    ------
    OutputError
        If the outputs would damage the image, or replace what is not this command's to replace.
    """
    labels = Path(job.labels)
    _check_outputs(job)
    if not (labels.exists() and Path(job.table).is_file()):
        return False
    return read_provenance(labels) == provenance(job)


def _check_outputs(job: Job) -> None:
    """Refuse to damage the image, or to replace what is not this command's to replace."""
    labels = Path(job.labels)
    _check_apart(Path(job.image), labels)
    if job.table:
        _check_ours(job, labels)
    # A file that the user names is replaced, but a folder may hold anything.
    elif labels.is_dir() and not is_unchanged(labels):
        raise OutputError(
            f"{labels}: this folder holds something else than labels as this program has written "
            "them, and is not replaced. Give another name as --out, or move it."
        )


def _check_apart(image: Path, labels: Path) -> None:
    """Refuse labels that would replace the image, or a folder that it is in, or lie inside it."""
    image_at, at = image.resolve(), labels.resolve()
    if any(_is_same(at, each) for each in (image_at, *image_at.parents)):
        raise OutputError(f"{labels}: the labels would replace the image; choose another name.")
    if any(_is_same(image_at, each) for each in at.parents):
        raise OutputError(
            f"{labels}: the labels would lie inside the image {image}, and change it. Give a place "
            "outside of it as --out."
        )


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one == other or one.samefile(other)
    except OSError:  # one of them is not there
        return False


def _check_ours(job: Job, labels: Path) -> None:
    """Refuse to replace labels that were corrected by hand, or made by another command.

    Those of the other format have the same table, so they can't lie in one folder. A table without
    labels is somebody else's: ours is written last, and removed first.
    """
    used = next((ending for ending in FORMATS.values() if labels.name.endswith(ending)), "")
    for ending in FORMATS.values():
        other = labels.with_name(labels.name.removesuffix(used) + ending)
        if not other.exists():
            continue
        made = read_provenance(other) if is_unchanged(other) else None
        if other == labels and made is not None and made.get("kind") == job.kind:
            continue
        what = (
            "were changed since they were written, or written by something else"
            if made is None
            else f"were made by 'inter2former {made.get('kind')}' as {ending.split('.')[-1]}"
        )
        raise OutputError(
            f"{other}: these labels {what}, and are not replaced. Give another folder as --out, or "
            "move them."
        )
    if not labels.exists() and Path(job.table).exists():
        raise OutputError(
            f"{job.table}: this table has no labels beside it that this command has made, and is "
            "not replaced. Give another folder as --out, or move it."
        )


def provenance(job: Job) -> dict[str, Any]:
    """Return what the outputs depend on, in plain values."""
    made: dict[str, Any] = {
        "version": __version__,
        "kind": job.kind,
        "image": Path(job.image).name,
        "state": image_state(Path(job.image)),
        "weights": _weights_sha256(job.model),
        "rendering": asdict(job.rendering),
    }
    if job.settings is not None:
        made["settings"] = asdict(job.settings)
    if job.clicks:
        data = Path(job.clicks).read_bytes() if Path(job.clicks).is_file() else b""
        made["clicks"] = hashlib.blake2b(data, digest_size=16).hexdigest()
    if job.compact:
        made["compact"] = True
    plain: dict[str, Any] = json.loads(json.dumps(made))  # as it is read from a file again
    return plain


def write_results(
    job: Job,
    made: Mapping[str, Any],
    planes: Planes,
    labels: Generator[Any],
    table: Callable[[], ObjectTable],
    dtype: str = "int32",
) -> None:
    """Write labels and table, unless the image is no longer the one that they were made from.

    Parameters
    ----------
    job : Job
        Names the outputs; without a name no table is written.
    made : mapping
        Its `provenance` before the work.
    planes : Planes
        Of the image.
    labels : generator of arrays of int32, (height, width)
        Of each plane; it is closed at the end.
    table : callable
        Returns the table, once all labels were taken.
    dtype : str
        Type in which the labels are stored.

    Raises
    ------
    OutputError
        If they can't be written, or are not to be replaced.
    """

    def check() -> None:
        if image_state(Path(job.image)) != made["state"]:
            raise ImageError(
                f"{job.image} was changed while it was being worked on; nothing was written. "
                "Run the command again when it is complete."
            )
        _check_outputs(job)  # the user may have corrected them meanwhile
        # The table comes last: where it is, the labels are whole.
        if job.table:
            _remove(Path(job.table))

    with closing(labels):
        write_planes(Path(job.labels), labels, replace(planes.layout, dtype=dtype), made, check)
    if job.table:
        write_table(Path(job.table), table())


def _remove(table: Path) -> None:
    try:
        table.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"{table}: the table can't be replaced ({error.strerror or error}). Close it if it is "
            "open in another program, and run the command again."
        ) from error


def load_once(name: str) -> Any:
    """Load the weights once per process, and again when their file is another one."""
    from napari_inter2former.weights import find_weights

    path = find_weights(name)
    status = path.stat()
    return _load(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=1)
def _load(path: Path, changed: int, size: int) -> Any:
    from napari_inter2former.weights import load_model

    return load_model(path)


def _weights_sha256(name: str) -> str | None:
    sha256: str | None = load_once(name).weights_sha256
    return sha256
