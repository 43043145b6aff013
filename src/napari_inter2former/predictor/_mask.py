"""The mask of one object, with its place in the image."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_inter2former.errors import PromptError

__all__ = ["Mask", "cropped_mask"]

Bools = npt.NDArray[np.bool_]
Box = tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class Mask:
    """The mask of one object.

    Parameters
    ----------
    data : array of bool, (h, w)
        The mask inside `box`, image pixels. Treat it as read-only.
    box : tuple of int
        (r0, c0, r1, c1) in image pixels, as tight as the mask allows; an empty mask has
        (r, c, r, c).
    score : float
        How good the mask is, 0 to 1: the intersection over union with the object that the network
        expects; of weights without that estimate the stability, which is that of the masks at the
        logits +1 and -1 (as in Segment Anything's mask generator). 0 for an empty mask.
    zoom : float
        Input pixels per image pixel at which the mask was drawn.
    """

    data: Bools
    box: Box
    score: float = 1.0
    zoom: float = 1.0

    @property
    def area(self) -> int:
        """Number of pixels in the mask."""
        return int(np.count_nonzero(self.data))

    @property
    def empty(self) -> bool:
        """Whether there is no pixel in the mask."""
        return self.box[0] == self.box[2] or self.box[1] == self.box[3]

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of `box` in an array of the image's shape."""
        return slice(self.box[0], self.box[2]), slice(self.box[1], self.box[3])

    def to_full(self, shape: tuple[int, ...]) -> Bools:
        """Paint the mask into an array of the image's shape.

        Parameters
        ----------
        shape : tuple of int
            (height, width); parts of the mask beyond it are cut.

        Returns
        -------
        array of bool, (height, width)
        """
        full = np.zeros(shape[:2], dtype=np.bool_)
        part = full[self.slices]
        part[...] = self.data[: part.shape[0], : part.shape[1]]
        return full

    @classmethod
    def from_full(cls, full: npt.NDArray[Any]) -> Mask:
        """Cut a mask out of an array of the image's shape.

        Parameters
        ----------
        full : array, (height, width)
            Boolean, or numbers of which all but 0 are the object.

        Returns
        -------
        Mask
            With score 1.

        Raises
        ------
        PromptError
            If `full` has not two axes.
        """
        full = np.asarray(full)
        if full.ndim != 2:
            raise PromptError(f"A mask must have the axes (rows, columns), not {full.shape}.")
        return cropped_mask(full.astype(np.bool_, copy=False), 0, 0, (0, 0), 1.0, 1.0)

    def digest(self) -> bytes:
        """Hash of the pixels and their place (not of score and zoom)."""
        h = hashlib.blake2b(repr((self.box, self.data.shape)).encode(), digest_size=16)
        h.update(np.packbits(self.data).tobytes())
        return h.digest()


def cropped_mask(
    data: Bools, row: int, column: int, anchor: tuple[int, int], score: float, zoom: float
) -> Mask:
    """Cut a mask to its bounding box.

    Parameters
    ----------
    data : array of bool, (h, w)
        A part of the image.
    row, column : int
        Where its first pixel lies in the image.
    anchor : tuple of int
        (row, column) where an empty mask is put.
    score, zoom : float
        Of the mask; an empty one gets score 0.
    """
    rows = np.flatnonzero(data.any(axis=1))
    if rows.size == 0:
        return Mask(np.zeros((0, 0), dtype=np.bool_), (*anchor, *anchor), 0.0, zoom)
    r0, r1 = int(rows[0]), int(rows[-1]) + 1
    columns = np.flatnonzero(data[r0:r1].any(axis=0))
    c0, c1 = int(columns[0]), int(columns[-1]) + 1
    box = (row + r0, column + c0, row + r1, column + c1)
    return Mask(np.ascontiguousarray(data[r0:r1, c0:c1]), box, score, zoom)
