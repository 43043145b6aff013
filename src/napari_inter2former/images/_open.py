"""Open an image file, folder or address without reading its pixels."""

from __future__ import annotations

import os
import re
import warnings
import weakref
from collections.abc import Iterable
from contextlib import suppress
from html import unescape
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from napari_inter2former.errors import ImageError
from napari_inter2former.images._ome_zarr import find_zarr, open_zarr
from napari_inter2former.images._picture import read_picture
from napari_inter2former.images._samples import take_samples
from napari_inter2former.images._spacing import Spacing, spacing_of_imagej, spacing_of_ome
from napari_inter2former.images._stored import StoredImage

__all__ = ["open_image", "open_stored"]

TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def open_image(path: str | os.PathLike[str], series: int = 0) -> StoredImage:
    """Open an image of any size; pixels are read later, where they are needed.

    Parameters
    ----------
    path : path or str
        - TIFF, OME-TIFF and what else tifffile reads, such as scanners' slides, with their
          pyramids. Reading parts of compressed files needs zarr, most compressions imagecodecs:
          ``pip install "napari-inter2former[files]"``. Uncompressed files are memory-mapped.
        - OME-Zarr 0.4 and 0.5 and plain zarr arrays (formats 2 and 3), as a folder, a zip file or
          an address ``https://...`` (needs zarr; OME-Zarr needs yaozarrs as well).
        - PNG, JPEG and whatever else OpenCV reads; these are read at once.
    series : int
        Which image of a file that holds several.

    Returns
    -------
    StoredImage
        For ``Predictor.set_image`` or `as_image_source`; of a stack or series, with a plane:
        ``predictor.set_image(*stored.plane({"t": 3}))``.

    Warns
    -----
    UserWarning
        When transparency (an alpha channel) is left out, or images beside the first one are.

    Raises
    ------
    ImageError
        If there is no such file, it is no image, is damaged, or a package is missing; the message
        says what to do.

    Examples
    --------
    >>> predictor.set_image(open_image("slide.ome.tif"))  # doctest: +SKIP
    """
    stored = open_stored(path, series)
    if stored.alpha:
        text = f"The transparency (alpha channel) of {stored.name} is left out."
        # Said here, and not where it was called: Python tells it once, however often that is.
        warnings.warn(text, UserWarning, stacklevel=1)
    if stored.siblings and not series:
        text = (
            f"{stored.name} holds several images; only the first is opened. Others are opened "
            "in scripts, by open_image(path, series=1), or after saving them as files of their own."
        )
        warnings.warn(text, UserWarning, stacklevel=1)
    return stored


def open_stored(path: str | os.PathLike[str], series: int = 0) -> StoredImage:
    """Open an image; what `open_image` does, without a word about what is left out."""
    if "://" in str(path):
        return open_zarr(str(path), series)
    path = Path(path)
    if path.is_dir() or path.name.lower().endswith((".zarr", ".zarr.zip")):
        if not path.exists():
            raise ImageError(f"There is no file or folder {path}.")
        return open_zarr(path, series)
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError:
        start = b""  # `read_picture` knows the words
    if start in TIFF_STARTS:
        return _open_tiff(path, series)
    if series:
        raise ImageError(f"{path} holds one image; series {series} does not exist.")
    return _open_picture(path)


def _open_picture(path: Path) -> StoredImage:
    image, alpha = read_picture(path)
    axes = "yx" if image.ndim == 2 else "yxs"
    return StoredImage((image,), axes, path.name, alpha=alpha)


def _open_tiff(path: Path, series: int) -> StoredImage:
    try:
        opened = _Opened(tifffile.TiffFile(path))
    except Exception as error:  # tifffile raises many kinds on damaged files
        raise ImageError(f"{path} can't be read as TIFF: {error}. Is it complete?") from error
    try:
        count = len(opened.tiff.series)
        if not 0 <= series < count:
            raise ImageError(f"{path} holds {count} images; series {series} does not exist.")
        chosen = opened.tiff.series[series]
        # Of a pyramid the levels lie last; those of other files are no business of this one.
        last = [level.pages[-1] for level in chosen.levels[1:]]
        last = [page for page in last if page is not None and page.parent is opened.tiff]
        _check_complete(chain(opened.tiff.pages, last), path)
        _check_planes(chosen, opened.tiff.ome_metadata, path)
        if not _has_codec(chosen.keyframe):
            return _without_codec(path, opened, series)
        levels = [_tiff_level(opened, path, series, number) for number in range(len(chosen.levels))]
        lazy = any(isinstance(level, _TiffLevel) for level in levels)
        axes = _distinct(chosen.axes.lower())
        levels, axes, alpha = take_samples(levels, axes, chosen.keyframe)
        spacing = _spacing(opened.tiff, series)
        alike = [other for other in opened.tiff.series if other.shape == chosen.shape]
    except Exception as error:
        opened.close()
        if isinstance(error, ImageError):
            raise
        raise ImageError(f"{path} can't be read as TIFF: {error}. Is it complete?") from error
    if not lazy:
        opened.close()
    return StoredImage(tuple(levels), axes, path.name, spacing, alpha, len(alike) > 1)


def _spacing(tiff: tifffile.TiffFile, series: int) -> Spacing:
    if not tiff.is_imagej:
        return spacing_of_ome(tiff.ome_metadata, series)
    tags = tiff.pages.first.tags
    values = {axis: tags.valueof(f"{axis.upper()}Resolution") for axis in "xy"}
    known = {axis: v for axis, v in values.items() if isinstance(v, tuple) and len(v) == 2}
    return spacing_of_imagej(tiff.imagej_metadata, known)


def _has_codec(page: Any) -> bool:
    """Whether tifffile can decode a page."""
    try:
        _ = tifffile.TIFF.DECOMPRESSORS[page.compression]
        _ = tifffile.TIFF.UNPREDICTORS[page.predictor]
    except KeyError:
        return False
    return True


def _without_codec(path: Path, opened: _Opened, series: int) -> StoredImage:
    """Read a picture now, by OpenCV, which has codecs for which tifffile needs imagecodecs."""
    chosen = opened.tiff.series[series]
    if series == 0 and len(chosen.pages) == 1:
        opened.close()
        with suppress(ImageError):
            return _open_picture(path)
    compression = chosen.keyframe.compression
    name = getattr(compression, "name", compression)
    raise ImageError(
        f"{path} is compressed by {name}, for which the package imagecodecs is needed: "
        'pip install "napari-inter2former[files]".'
    )


def _distinct(axes: str) -> str:
    """Tell apart the axes of a stack that tifffile knows nothing about: it calls each of them Q."""
    spare = iter("ijklmn")
    return "".join(next(spare) if axis in axes[:i] else axis for i, axis in enumerate(axes))


class _Opened:
    """A TIFF file that is closed when nobody needs it any more."""

    def __init__(self, tiff: tifffile.TiffFile) -> None:
        self.tiff = tiff
        self.close = weakref.finalize(self, tiff.close)


class _TiffLevel:
    """A level that zarr reads in parts; it keeps its file open."""

    def __init__(self, array: Any, opened: _Opened) -> None:
        self._array = array
        self._opened = opened
        self.shape = tuple(array.shape)
        self.ndim = len(self.shape)
        self.dtype = array.dtype
        self.chunks = array.chunks

    def __getitem__(self, key: Any) -> Any:
        """Read a region."""
        return self._array[key]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """Read all of it."""
        return np.asarray(self._array[...], dtype=dtype)


def _check_complete(pages: Iterable[Any], path: Path) -> None:
    """Refuse a file in which a page points beyond its end: a copy or download that broke off."""
    size = path.stat().st_size
    for page in pages:
        page = page.aspage() if hasattr(page, "aspage") else page
        end = max(
            (o + n for o, n in zip(page.dataoffsets, page.databytecounts, strict=False) if n),
            default=0,
        )
        if end > size:
            raise ImageError(
                f"{path} is cut short: it has {size} bytes and should have {end} or more. Its "
                "copying or download must have broken off; get it again."
            )


def _check_planes(series: Any, metadata: str | None, path: Path) -> None:
    """Refuse an image whose planes are in files that aren't there; tifffile would give zeros.

    Planes that were never recorded, as when a recording was stopped, are zeros indeed. (A single
    name may be that of the file itself, before it was renamed.)
    """
    named = {unescape(name) for name in re.findall(r'FileName="([^"]+)"', metadata or "")}
    gone = sorted(name for name in named if not (path.parent / name).exists())
    # What lies in one piece lacks no plane, and its pages need not be gone through.
    if len(named) < 2 or not gone or series.dataoffset is not None:
        return
    missing = sum(page is None for page in series.pages)
    if missing:
        raise ImageError(
            f"{path} is incomplete: {missing} of its {len(series.pages)} planes are missing. Put "
            f"these files beside it: {', '.join(gone)}."
        )


def _tiff_level(opened: _Opened, path: Path, series: int, number: int) -> Any:
    """Give an array that reads parts: memory-mapped, by zarr, or else, read now, in memory."""
    chosen = opened.tiff.series[series]
    level = chosen.levels[number]
    if level.dataoffset is not None:
        return tifffile.memmap(path, series=series, level=number, mode="r").reshape(level.shape)
    zarr = find_zarr()
    try:
        return _TiffLevel(zarr.open(chosen.aszarr(level=number), mode="r"), opened)
    except (AttributeError, ValueError):  # none, or tifffile is older than the zarr that is there
        return level.asarray()
