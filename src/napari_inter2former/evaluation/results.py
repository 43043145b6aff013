"""Figures of an evaluation: from curves of single objects to the JSON file."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from napari_inter2former._files import write_json
from napari_inter2former.evaluation.metrics import number_of_clicks

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from napari_inter2former.evaluation.pairs import Pair
    from napari_inter2former.evaluation.regions import Region
    from napari_inter2former.prompts import Click

__all__ = [
    "IOU_AT",
    "MAX_CLICKS",
    "THRESHOLDS",
    "DatasetResult",
    "EvaluationResult",
    "ObjectResult",
]

IOU_AT = (1, 3, 5, 10)
"""The IoU is reported after so many clicks."""

THRESHOLDS = (80, 85, 90, 95)
"""NoC is reported for these IoUs, in percent."""

MAX_CLICKS = 20
"""The protocol's limit; an object that never gets there counts so many clicks."""


@dataclass(slots=True)
class ObjectResult:
    """What the protocol saw on one object.

    Attributes
    ----------
    name : str
        ``IMAGE:NUMBER``.
    area : int
        Pixels of the object.
    ious : list of float
        The IoU after click 1, 2, ...; shorter than `max_clicks` when the protocol ended early.
    boundary_iou_5 : float or None
        The boundary IoU after five clicks.
    clicks : list of Click
        The clicks made.
    max_clicks : int
        The protocol's limit, which failures count as.
    encode_seconds : float
        Time of the encoding before the first click.
    click_seconds : list of float
        Time of each click.
    cold : bool
        Whether the image was new to the predictor, so that the encoding was really done.
    pair : Pair or None
        The object's image, where it is to be shown.
    truth, mask : Region or None
        The object, and the mask after five clicks (or the last one), where they are to be shown.
    """

    name: str = ""
    area: int = 0
    ious: list[float] = field(default_factory=list)
    boundary_iou_5: float | None = None
    clicks: list[Click] = field(default_factory=list)
    max_clicks: int = MAX_CLICKS
    encode_seconds: float = 0.0
    click_seconds: list[float] = field(default_factory=list)
    cold: bool = True
    pair: Pair | None = None
    truth: Region | None = None
    mask: Region | None = None

    def iou_at(self, clicks: int) -> float:
        """Return the IoU after so many clicks; nan beyond the protocol's limit."""
        if clicks > self.max_clicks or not self.ious:
            return math.nan
        return self.ious[min(clicks, len(self.ious)) - 1]

    def noc(self, percent: int) -> int:
        """Return the number of clicks to an IoU, in percent; failures count as the limit."""
        return number_of_clicks(self.ious, percent / 100, self.max_clicks)

    def failed(self, percent: int) -> bool:
        """Return whether no click reached an IoU, in percent."""
        return max(self.ious, default=0.0) < percent / 100


@dataclass
class DatasetResult:
    """The figures of one dataset.

    Attributes
    ----------
    objects : list of ObjectResult
        All objects.
    skipped : list of str
        One line for every file that could not be read, naming it.
    """

    objects: list[ObjectResult]
    skipped: list[str] = field(default_factory=list)

    @cached_property
    def iou_at(self) -> dict[int, float]:
        """Mean IoU after 1, 3, 5 and 10 clicks; nan beyond the protocol's limit."""
        return {k: _mean(o.iou_at(k) for o in self.objects) for k in IOU_AT}

    @cached_property
    def noc(self) -> dict[int, float]:
        """Mean number of clicks to an IoU of 80, 85, 90, 95 percent."""
        return {t: _mean(o.noc(t) for o in self.objects) for t in THRESHOLDS}

    @cached_property
    def nof(self) -> dict[int, int]:
        """Number of objects that never reached an IoU of 90 percent."""
        return {90: sum(o.failed(90) for o in self.objects)}

    @cached_property
    def boundary_iou_at(self) -> dict[int, float]:
        """Mean boundary IoU after 5 clicks; nan beyond the protocol's limit."""
        values = [o.boundary_iou_5 for o in self.objects]
        return {5: _mean(math.nan if value is None else value for value in values)}

    @cached_property
    def curve(self) -> list[float]:
        """Mean IoU after 1, 2, ... clicks; objects that need no more keep their last IoU."""
        most = min((o.max_clicks for o in self.objects), default=0)
        return [_mean(o.iou_at(k) for o in self.objects) for k in range(1, most + 1)]

    @cached_property
    def largest_drop(self) -> float:
        """The most by which a further click lowers the mean IoU; 0 when none does."""
        return max((a - b for a, b in pairwise(self.curve) if b < a), default=0.0)

    @cached_property
    def online_spc_ms(self) -> float:
        """Mean time of a click in milliseconds, the first encoding not counted in."""
        return 1e3 * _mean(second for o in self.objects for second in o.click_seconds)

    @cached_property
    def spc20_ms(self) -> float:
        """Mean time of a click in milliseconds over 20 clicks, the encoding counted in.

        From each image's first object, for the others find their features in the cache.
        """
        return 1e3 * _mean(
            o.encode_seconds / MAX_CLICKS + fmean(o.click_seconds)
            for o in self.objects
            if o.cold and o.click_seconds
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as the JSON file holds them; figures that do not exist are None."""
        figures: dict[str, Any] = _plain(
            {
                "objects": len(self.objects),
                "iou_at": self.iou_at,
                "noc": self.noc,
                "nof": self.nof,
                "boundary_iou_at": self.boundary_iou_at,
                "online_spc_ms": self.online_spc_ms,
                "spc20_ms": self.spc20_ms,
                "largest_drop": self.largest_drop,
                "curve": self.curve,
            }
        )
        return figures


@dataclass
class EvaluationResult:
    """The figures of several datasets.

    Attributes
    ----------
    datasets : dict of str to DatasetResult
        By name.
    weights_name : str
        Name of the weights.
    weights_sha256 : str or None
        Their hash; None for a model that was not loaded from a file.
    method : str
        ``"inter2former"``, or the name of a classical method, and whether boxes came first.
    """

    datasets: dict[str, DatasetResult]
    weights_name: str = ""
    weights_sha256: str | None = None
    method: str = "inter2former"

    def to_dict(self) -> dict[str, Any]:
        """Return what the JSON file holds.

        ``mean`` has the same keys as a dataset: means over the datasets, each counting alike,
        the sums of ``objects`` and ``nof``, and the maximum of ``largest_drop``. ``curve`` is
        the mean IoU after each click, and ``method`` what clicked masks were made by.
        """
        each = {name: result.to_dict() for name, result in self.datasets.items()}
        return {
            "datasets": each,
            "mean": _mean_of(list(each.values())),
            "weights": {"name": self.weights_name, "sha256": self.weights_sha256},
            "method": self.method,
        }

    def write(self, path: str | Path) -> None:
        """Write the JSON file, whole or not at all.

        Parameters
        ----------
        path : path-like
            The file; an existing one is replaced. Missing folders are made.

        Raises
        ------
        OutputError
            When it cannot be written.
        """
        write_json(Path(path), self.to_dict())


def _mean(values: Iterable[float]) -> float:
    values = list(values)
    return fmean(values) if values else math.nan


def _mean_of(results: list[dict[str, Any]]) -> dict[str, Any]:
    mean: dict[str, Any] = {}
    for key, first in results[0].items() if results else ():
        column = [result[key] for result in results]
        if isinstance(first, dict) and key == "nof":
            mean[key] = {inner: sum(c[inner] for c in column) for inner in first}
        elif isinstance(first, dict):
            mean[key] = {inner: _mean_or_none([c[inner] for c in column]) for inner in first}
        elif key == "objects":
            mean[key] = sum(column)
        elif key == "largest_drop":
            mean[key] = max(column)
        elif isinstance(first, list):
            mean[key] = [fmean(values) for values in zip(*column, strict=False)]
        else:
            mean[key] = _mean_or_none(column)
    return mean


def _mean_or_none(values: list[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return fmean(there) if len(there) == len(values) else None


def _plain(value: Any) -> Any:
    """Make keys strings and nan None, as JSON wants them."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
