"""The sample images that the package ships, with ground truth and recorded clicks.

Where they come from and under which licence: ``SOURCES.md`` beside this file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["SAMPLES", "Sample", "load_sample", "sample_folder"]

SAMPLES: dict[str, str] = {
    "nuclei_fluorescence": "Nuclei, fluorescence",
    "nuclei_tissue": "Nuclei, stained tissue",
    "nuclei_brightfield": "Nuclei, brightfield",
}
"""Name of every sample and what it shows, in the order in which they are offered."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample image.

    Attributes
    ----------
    name : str
        A key of `SAMPLES`.
    title : str
        What the image shows, for menus.
    image : ndarray of uint8, shape (H, W) or (H, W, 3)
        Grey or RGB.
    labels : ndarray of uint16, shape (H, W)
        Ground truth: 0 is background, 1..n are the objects.
    clicks_path : pathlib.Path
        Recorded clicks, a CSV file with the columns object, row, column, positive.
    """

    name: str
    title: str
    image: NDArray[np.uint8]
    labels: NDArray[np.integer[Any]]
    clicks_path: Path

    @property
    def rgb(self) -> bool:
        """Whether the image has colours."""
        return self.image.ndim == 3


def sample_folder() -> Path:
    """Return the folder of the shipped samples; it is a dataset that `evaluate` can read."""
    return Path(__file__).parent


def load_sample(name: str) -> Sample:
    """Read one sample.

    Parameters
    ----------
    name : str
        A key of `SAMPLES`.

    Returns
    -------
    Sample
        Image, ground truth and the path of the recorded clicks.

    Raises
    ------
    KeyError
        When there is no sample of this name.
    """
    from napari_inter2former.evaluation.reading import read_labels
    from napari_inter2former.images import read_image

    if name not in SAMPLES:
        msg = f"There is no sample {name!r}; the samples are {', '.join(SAMPLES)}."
        raise KeyError(msg)
    folder = sample_folder()
    return Sample(
        name=name,
        title=SAMPLES[name],
        image=read_image(folder / f"{name}_image.png"),
        labels=read_labels(folder / f"{name}_label.png"),
        clicks_path=folder / f"{name}_clicks.csv",
    )
