"""Run the click protocol on a predictor, object by object.

The predictor is used as any script would use it: the whole image is given to ``set_image``, and
the zoom is the predictor's own choice.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from napari_inter2former.evaluation.clicks import next_click
from napari_inter2former.evaluation.datasets import MIN_AREA, find_datasets, select_objects
from napari_inter2former.evaluation.metrics import boundary_iou, boundary_width, iou
from napari_inter2former.evaluation.regions import EMPTY, Region, object_regions
from napari_inter2former.evaluation.results import (
    IOU_AT,
    MAX_CLICKS,
    THRESHOLDS,
    DatasetResult,
    EvaluationResult,
    ObjectResult,
)
from napari_inter2former.prompts import box

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from typing import Any

    from numpy.typing import NDArray

    from napari_inter2former.evaluation.datasets import Pair
    from napari_inter2former.evaluation.layouts import Source
    from napari_inter2former.evaluation.regions import MaskLike
    from napari_inter2former.prompts import Click, Prompt

__all__ = [
    "SupportsPredict",
    "evaluate",
    "evaluate_dataset",
    "evaluate_image",
    "evaluate_object",
    "weights_of",
]


SHOWN_AT = 5
"""Pictures show the mask after so many clicks."""


class SupportsPredict(Protocol):
    """The part of `napari_inter2former.Predictor` that the evaluation uses."""

    @property
    def encode_seconds(self) -> float:
        """How long all encodings so far have taken."""

    def set_image(
        self, image: NDArray[Any], /, channel_axis: int | None = None, rgb: bool | None = None
    ) -> None:
        """Take a new image."""

    def predict(self, prompts: Sequence[Prompt], /) -> MaskLike:
        """Return the mask for all prompts of one object, in order."""

    def prefetch(self, row: float, column: float, /) -> None:
        """Encode what a first click there needs."""


def evaluate_object(
    predictor: SupportsPredict,
    truth: MaskLike,
    max_clicks: int = MAX_CLICKS,
    *,
    boundary: int = 1,
    name: str = "",
    keep: bool = False,
    before: Sequence[Prompt] = (),
) -> ObjectResult:
    """Click one object until the protocol ends.

    The protocol ends after `max_clicks`, when no error is left, or as soon as no further click
    can change a figure that is reported: after click 10 for objects that have reached the highest
    threshold by then.

    Parameters
    ----------
    predictor : SupportsPredict
        Its image has been set.
    truth : MaskLike
        The object.
    max_clicks : int
        At most so many clicks.
    boundary : int
        Width of the boundary IoU's band in pixels.
    name : str
        Kept in the result, to find the object again.
    keep : bool
        Whether to keep the object and its mask after `SHOWN_AT` clicks in the result.
    before : sequence of prompts
        What is said of the object before the first click. It counts as no click.

    Returns
    -------
    ObjectResult
        The curve, the clicks and the times.
    """
    result = ObjectResult(name=name, area=int(truth.data.sum()))
    mask: MaskLike = EMPTY
    clicks: list[Click] = []
    for count in range(1, max_clicks + 1):
        click = next_click(truth, mask, clicks)
        if click is None:
            break
        clicks.append(click)
        if count == 1:
            begin = time.perf_counter()
            predictor.prefetch(click.row, click.column)
            result.encode_seconds = time.perf_counter() - begin
        encoded = predictor.encode_seconds
        begin = time.perf_counter()
        mask = predictor.predict((*before, *clicks))
        taken = time.perf_counter() - begin
        # The zoom may have changed within this click; encodings are no time of the click.
        again = min(predictor.encode_seconds - encoded, taken)
        result.encode_seconds += again
        taken -= again
        result.click_seconds.append(taken)
        result.ious.append(iou(truth, mask))
        if keep and count <= SHOWN_AT:
            result.mask = Region(mask.data.copy(), mask.box)
        if count == 5:
            result.boundary_iou_5 = boundary_iou(truth, mask, boundary)
        if count >= IOU_AT[-1] and max(result.ious) >= THRESHOLDS[-1] / 100:
            break
    if len(clicks) < 5 and result.boundary_iou_5 is None and max_clicks >= 5:
        result.boundary_iou_5 = boundary_iou(truth, mask, boundary)
    if keep:
        result.truth = Region(truth.data, truth.box)
    result.clicks = clicks
    result.max_clicks = max_clicks
    return result


def evaluate_image(
    predictor: SupportsPredict,
    pair: Pair,
    numbers: Sequence[int],
    max_clicks: int = MAX_CLICKS,
    *,
    keep: bool = False,
    boxed: bool = False,
) -> list[ObjectResult]:
    """Evaluate objects of one image.

    Parameters
    ----------
    predictor : SupportsPredict
        Gets the whole image.
    pair : Pair
        The files.
    numbers : sequence of int
        Which objects, by their numbers in the label file.
    max_clicks : int
        At most so many clicks for each.
    keep : bool
        Whether the results keep what it takes to show them.
    boxed : bool
        Whether a box round each object comes before its first click.

    Returns
    -------
    list of ObjectResult
        In the order of `numbers`.

    Raises
    ------
    ImageError, DatasetError
        When the files cannot be read or do not belong together.
    """
    picture, labels = pair.read()
    regions = object_regions(labels)
    predictor.set_image(picture.data, channel_axis=picture.channel_axis, rgb=picture.rgb)
    boundary = boundary_width(picture.shape)
    results = []
    height, width = picture.shape
    for index, number in enumerate(numbers):
        r0, c0, r1, c1 = regions[number].box
        corners = max(r0 - 1, 0), max(c0 - 1, 0), min(r1, height - 1), min(c1, width - 1)
        result = evaluate_object(
            predictor,
            regions[number],
            max_clicks,
            boundary=boundary,
            name=f"{pair.name}:{number}",
            keep=keep,
            before=[box(*corners)] if boxed else [],
        )
        result.pair = pair if keep else None
        # Later objects of the image find features in the predictor's cache.
        result.cold = index == 0
        results.append(result)
    return results


def evaluate_dataset(
    predictor: SupportsPredict,
    source: str | Path | Source,
    max_objects: int | None = None,
    max_clicks: int = MAX_CLICKS,
    seed: int = 0,
    *,
    min_area: int = MIN_AREA,
    progress: Callable[[int], None] | None = None,
) -> DatasetResult:
    """Run the click protocol over a folder of pairs.

    Parameters
    ----------
    predictor : SupportsPredict
        For example ``Predictor(model)``, made anew when the model's weights have changed.
    source : path-like or Source
        A dataset, for example a folder with files ``*_image.*`` and ``*_label.*``.
    max_objects : int or None
        At most so many objects, spread over the images; None for all.
    max_clicks : int
        At most so many clicks for each. 5 is enough for the IoU after five clicks.
    seed : int
        Of the draw of the objects.
    min_area : int
        Smaller objects (in pixels) are left out.
    progress : callable, optional
        Called with the number of objects that each image has added.

    Returns
    -------
    DatasetResult
        Figures (``result.iou_at[5]``, ``result.noc[90]``) and the objects behind them.

    Raises
    ------
    DatasetError, ImageError
        When the folder is no dataset, or an image and its labels do not fit together.

    Examples
    --------
    >>> from napari_inter2former import Predictor
    >>> from napari_inter2former.evaluation import evaluate_dataset
    >>> result = evaluate_dataset(Predictor("tiny"), "data/val", max_objects=50)  # doctest: +SKIP
    >>> result.iou_at[5]  # doctest: +SKIP
    0.91
    """
    if max_clicks < 1:
        raise ValueError(f"At least one click is needed, not {max_clicks}.")
    selection = select_objects(source, max_objects, seed, min_area)
    objects: list[ObjectResult] = []
    for pair, numbers in selection.objects.items():
        objects += evaluate_image(predictor, pair, numbers, max_clicks)
        if progress is not None:
            progress(len(numbers))
    return DatasetResult(objects, selection.skipped)


def evaluate(
    predictor: SupportsPredict,
    root: str | Path,
    split: str = "val",
    max_objects: int | None = None,
    max_clicks: int = MAX_CLICKS,
    seed: int = 0,
) -> EvaluationResult:
    """Run the click protocol over one dataset or a folder of datasets.

    Parameters
    ----------
    predictor : SupportsPredict
        The model's name and hash are taken from ``predictor.model`` where it has them.
    root : path-like
        A dataset or a folder of datasets, see `find_datasets`.
    split : str
        The subfolder of split datasets.
    max_objects : int or None
        At most so many objects of each dataset; None for all.
    max_clicks : int
        At most so many clicks for each object.
    seed : int
        Of the draw of the objects.

    Returns
    -------
    EvaluationResult
        One entry for each dataset.

    Raises
    ------
    DatasetError, ImageError
        When there is no dataset, or an image and its labels do not fit together.
    """
    datasets = {
        name: evaluate_dataset(predictor, source, max_objects, max_clicks, seed)
        for name, source in find_datasets(root, split).items()
    }
    return EvaluationResult(datasets, *weights_of(predictor))


def weights_of(predictor: SupportsPredict) -> tuple[str, str | None]:
    """Return name and hash of a predictor's weights, as far as the model knows them."""
    model = getattr(predictor, "model", None)
    name = getattr(model, "weights_name", None) or "in memory"
    return str(name), getattr(model, "weights_sha256", None)
