"""Write files whole or not at all: everything that the package stores goes through here."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import re
import secrets
import shutil
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from napari_inter2former.errors import Inter2FormerError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

__all__ = [
    "OutputError",
    "beside",
    "check_writable",
    "remove_leftovers",
    "replacing",
    "replacing_folder",
    "write_csv",
    "write_file",
    "write_json",
]


class OutputError(Inter2FormerError, OSError):
    """A result that could not be written; the message names the file and says why."""


OLD_SECONDS = 24 * 3600
"""What lies beside a file, and was not written to for so long, was left by a killed process."""
LEFTOVER = re.compile(r"\..+\.[0-9a-f]{8}\.(part|raw)")


def beside(path: Path, ending: str) -> Path:
    """Return a hidden name in the same folder that no other process uses.

    Parameters
    ----------
    path : pathlib.Path
        The file or folder.
    ending : str
        Of the name: ``"part"`` for what is to take its place, ``"raw"`` for what is deleted again.
    """
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.{ending}")


def remove_leftovers(folder: Path) -> None:
    """Delete what processes that were killed left unfinished in a folder, a day ago or more."""
    for path in folder.iterdir():
        with suppress(OSError):
            if LEFTOVER.fullmatch(path.name) and time.time() - path.stat().st_mtime > OLD_SECONDS:
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a name beside a file to write to, which then takes the file's place.

    What is written is on the disk before it is renamed, so that a full disk, a crash or a power
    cut leaves the old file or the new one, never half of one.

    Parameters
    ----------
    path : pathlib.Path
        The file; an existing one is replaced. Missing folders are made.

    Yields
    ------
    pathlib.Path
        Where to write. It does not exist yet, and is removed if the block raises.

    Raises
    ------
    OSError
        When it cannot be written; what the block raises is passed on. A file that was there
        before is still there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Unlike tempfile's, it gets the permissions that any new file of the user gets.
    part = beside(path, "part")
    try:
        yield part
        with part.open("r+b") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Do for a folder what `replacing` does for a file.

    The old folder is moved out of the way in one step and deleted last: where a part of it is in
    use, as Windows guards open files, it stays whole. `remove_leftovers` spares it, since after a
    crash between the two steps it is all there is.
    """
    if path.exists() and not path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    path.parent.mkdir(parents=True, exist_ok=True)
    part, old = beside(path, "part"), beside(path, "old")
    try:
        yield part
        if path.exists():
            path.rename(old)
        try:
            part.rename(path)
        except BaseException:
            with suppress(OSError):
                old.rename(path)
            raise
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    shutil.rmtree(old, ignore_errors=True)


def check_writable(path: Path) -> None:
    """Find out before long work whether its result can be written.

    Parameters
    ----------
    path : pathlib.Path
        The file; one that exists stays as it is. Missing folders are made.

    Raises
    ------
    OutputError
        When it could not be written.
    """
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        path.parent.mkdir(parents=True, exist_ok=True)
        part = beside(path, "part")
        part.touch()
        part.unlink()
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"{path}: the file could not be written ({reason}).") from error


def write_file(path: Path, data: bytes) -> None:
    """Write a file whole or not at all.

    Parameters
    ----------
    path : pathlib.Path
        The file; an existing one is replaced. Missing folders are made.
    data : bytes
        Its content.

    Raises
    ------
    OutputError
        When it cannot be written. A file that was there before is still there.
    """
    try:
        with replacing(path) as part:
            part.write_bytes(data)
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"{path}: the file could not be written ({reason}).") from error


def write_json(path: Path, value: object) -> None:
    """Write a value as JSON, whole or not at all.

    Parameters
    ----------
    path : pathlib.Path
        The file; an existing one is replaced. Missing folders are made.
    value : object
        Anything that JSON can hold; nan and infinity are refused.

    Raises
    ------
    OutputError
        When it cannot be written.
    """
    text = json.dumps(value, indent=2, allow_nan=False)
    write_file(path, (text + "\n").encode())


def write_csv(path: Path, columns: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Write a table as CSV, whole or not at all.

    Parameters
    ----------
    path : pathlib.Path
        The file; an existing one is replaced. Missing folders are made.
    columns : iterable of str
        Their names, for the first line.
    rows : iterable of iterable
        Values in the order of the columns.

    Raises
    ------
    OutputError
        When it cannot be written.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_file(path, buffer.getvalue().encode())
