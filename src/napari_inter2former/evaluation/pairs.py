"""An image file and where the labels of its objects are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_inter2former.errors import Inter2FormerError
from napari_inter2former.evaluation.reading import Picture, read_labels, read_picture

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["DatasetError", "Pair"]


class DatasetError(Inter2FormerError, ValueError):
    """A dataset that cannot be used; the message names the folder or file and says why."""


@dataclass(frozen=True)
class Pair:
    """An image file and where its labels are.

    Attributes
    ----------
    name : str
        Unlike that of any other pair of the dataset.
    image, label : pathlib.Path
        The image file, and the file or folder of its labels.
    reader : callable
        Reads the labels: takes `label`, returns integers of shape (H, W), 0 for background. It
        can be sent to another process.
    """

    name: str
    image: Path
    label: Path
    reader: Callable[[Path], NDArray[np.integer[Any]]] = read_labels

    def read(self) -> tuple[Picture, NDArray[np.integer[Any]]]:
        """Read both.

        Returns
        -------
        image : Picture
            The image.
        labels : ndarray of an integer type, shape (H, W)
            The labels, of the image's size.

        Raises
        ------
        ImageError
            When one of them cannot be read.
        DatasetError
            When their sizes differ.
        """
        labels = self.reader(self.label)
        picture = read_picture(self.image)
        if picture.shape != labels.shape:
            high, wide = picture.shape
            raise DatasetError(
                f"{self.label}: the labels have {labels.shape[0]} x {labels.shape[1]} pixels, "
                f"but the image {self.image.name} has {high} x {wide}. "
                "Image and labels must have the same size."
            )
        return picture, labels
