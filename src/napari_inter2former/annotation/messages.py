"""What the worker tells the window: plain data, no behaviour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_inter2former.annotation.found import FoundMask

__all__ = [
    "Encoded",
    "Encoding",
    "Failed",
    "Found",
    "Message",
    "ModelReady",
    "ModelsFound",
    "Predicted",
    "Scanned",
    "Searching",
]


@dataclass(frozen=True)
class ModelsFound:
    """The names of the models that can be loaded."""

    names: tuple[str, ...]


@dataclass(frozen=True)
class ModelReady:
    """A model is loaded."""

    name: str


@dataclass(frozen=True)
class Encoding:
    """The encoding of a place of the image has begun; `Encoded` or `Failed` follows."""

    image: int


@dataclass(frozen=True)
class Encoded:
    """A place of the image is encoded: clicks there are answered at once."""

    image: int
    seconds: float


@dataclass(frozen=True, eq=False)
class Predicted:
    """The mask of a request, and its picture: uint8, 0 outside, 1 inside, 2 on the rim."""

    request: int
    mask: Any
    picture: npt.NDArray[np.uint8]
    seconds: float


@dataclass(frozen=True)
class Scanned:
    """The largest number in a labels image; `target` is the caller's number for it."""

    target: int
    largest: int


@dataclass(frozen=True)
class Searching:
    """The search for all objects is under way: parts done, and their number."""

    search: int
    done: int
    total: int


@dataclass(frozen=True, eq=False)
class Found:
    """All objects of a part of the plane; pixels that several share belong to the first."""

    search: int
    masks: tuple[FoundMask, ...]


@dataclass(frozen=True)
class Failed:
    """A job failed.

    `job` is "model", "image", "predict", "scan", "models", "prefetch" or "everything"; `number` is
    that of the image, the request or the labels.
    """

    job: str
    reason: str
    number: int = 0


Message = (
    ModelsFound | ModelReady | Encoding | Encoded | Predicted | Scanned | Searching | Found | Failed
)
