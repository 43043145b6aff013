"""Write files whole or not at all."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from napari_inter2former.errors import Inter2FormerError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["OutputError", "write_file", "write_json"]


class OutputError(Inter2FormerError, OSError):
    """A result that could not be written; the message names the file and says why."""


def write_file(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, through a temporary file beside it.

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
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"{path}: the file could not be written ({reason}).") from error
    finally:
        if part.exists():
            part.unlink()


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
