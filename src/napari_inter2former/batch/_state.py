"""Whether an image on disk is still the one that it was."""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING

from napari_inter2former.errors import ImageError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["MOST_FILES", "image_state"]

MOST_FILES = 200_000
"""Files and folders of a zarr that are looked at: about a second's work on a local disk."""


def image_state(path: Path) -> list[int]:
    """Return numbers that change when an image is changed, in bounded time and without reading it.

    Of a file its size and its time of change. Of a zarr folder the number of files and folders in
    it, the sum of the files' sizes, and the newest time of change of any of them, so that chunks
    that were rewritten, added or taken away show. Of more than `MOST_FILES` the first ones are
    looked at, folders near the root before those inside them, each in the order of its names.

    Parameters
    ----------
    path : pathlib.Path
        A file or a folder.

    Returns
    -------
    list of int
        Files and folders, bytes, and nanoseconds.

    Raises
    ------
    ImageError
        If it can't be read.
    """
    try:
        stat = path.stat()
        if not path.is_dir():
            return [1, stat.st_size, stat.st_mtime_ns]
        count, size, newest = 0, 0, stat.st_mtime_ns
        folders = deque([os.fspath(path)])
        while folders and count < MOST_FILES:
            with os.scandir(folders.popleft()) as entries:
                named = sorted(entries, key=lambda entry: entry.name)
            for entry in named[: MOST_FILES - count]:
                stat = entry.stat()
                newest = max(newest, stat.st_mtime_ns)
                count += 1
                if entry.is_dir():
                    folders.append(entry.path)
                else:
                    size += stat.st_size
    except OSError as error:
        raise ImageError(f"{path} can't be read ({error.strerror or error}).") from error
    return [count, size, newest]
