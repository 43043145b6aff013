"""How well objects are drawn: from very large to very small, and wherever windows lie."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_inter2former.benchmark._large_images import Endless, grey_sample, iou_of, textures
from napari_inter2former.benchmark._result import Result

if TYPE_CHECKING:
    from napari_inter2former.benchmark._large_images import Scene
    from napari_inter2former.evaluation.regions import Region
    from napari_inter2former.predictor import Predictor
    from napari_inter2former.prompts import Click

__all__ = ["click_object", "compared", "ious_by_place", "seams", "sizes"]

CLICKS = 3
NEAR = 4
"""An object is centred if it lies so many input pixels from the middle, or nearer."""


def click_object(predictor: Predictor, scene: Scene, number: int) -> list[float]:
    """Click an object of a scene as the click protocol does; return the IoU after each click."""
    from napari_inter2former.evaluation import next_click
    from napari_inter2former.evaluation.regions import EMPTY

    truth = scene.truth(number)
    clicks: list[Click] = []
    mask: Any = EMPTY
    found = []
    for _ in range(CLICKS):
        click = next_click(truth, mask, clicks)
        if click is None:
            break
        clicks.append(click)
        mask = predictor.predict(clicks)
        found.append(iou_of(mask, truth))
    return found


def sizes(predictor: Predictor, quick: bool) -> list[Result]:
    """Draw an object of 5,000 pixels and one of 12 in the same image of 10,000 x 10,000.

    Returns
    -------
    list of Result
        ``iou/5000px/NAME`` and ``iou/12px/NAME``: ``value`` is the best IoU after at most three
        clicks, ``ious`` that after each.
    """
    scenes = textures((10_000, 10_000), ((5000.0, (4500.0, 4800.0)), (12.0, (8600.0, 8700.0))))
    results = []
    for name, scene in list(scenes.items())[: 1 if quick else None]:
        predictor.set_image(scene)
        for number, size in enumerate((5000, 12)):
            start = time.perf_counter()
            ious = click_object(predictor, scene, number)
            results.append(
                Result(
                    suite="scale",
                    name=f"iou/{size}px/{name}",
                    preset="tiny",
                    size=10_000,
                    ms=1e3 * (time.perf_counter() - start) / len(ious),
                    figures={"value": max(ious), "ious": [round(v, 4) for v in ious]},
                )
            )
    return results


def seams(predictor: Predictor, quick: bool) -> list[Result]:
    """Draw the same objects in the middle of windows, and where two windows are equally near.

    A mask turns out a little different wherever its object lies, so each is drawn at four places
    of either kind.

    Returns
    -------
    list of Result
        ``seams/NAME``: ``centred`` and ``border`` are mean IoUs after one click, ``value`` their
        difference, ``error`` its standard error over the objects. ``seams/all`` is of all objects.
    """
    from napari_inter2former.data import SAMPLES
    from napari_inter2former.evaluation import object_regions

    results = []
    of_all: list[dict[str, float]] = []
    start = time.perf_counter()
    for name in list(SAMPLES)[: 1 if quick else None]:
        begun = time.perf_counter()
        image, labels = grey_sample(name)
        regions = [r for r in object_regions(labels).values() if r.data.sum() >= 64]
        found = [ious_by_place(predictor, image, one) for one in regions[: 2 if quick else 25]]
        results.append(_result(name, found, 8 * predictor.window, begun))
        of_all += found
    return [*results, _result("all", of_all, 8 * predictor.window, start)]


def ious_by_place(predictor: Predictor, image: Any, truth: Region) -> dict[str, float]:
    """Click an object where it lies in the middle of a window, and where two are equally near.

    Parameters
    ----------
    predictor : Predictor
        Gets other images.
    image : array, (height, width)
        In grey, 0 to 255.
    truth : Region
        The object.

    Returns
    -------
    dict of str to float
        ``centred`` and ``border``: the mean IoU after one click over four places of either kind.
    """
    from napari_inter2former.evaluation import next_click
    from napari_inter2former.evaluation.regions import EMPTY
    from napari_inter2former.predictor import Mask
    from napari_inter2former.prompts import Click

    side = predictor.window
    click = next_click(truth, EMPTY, [])
    assert click is not None
    contrast = None
    means = {}
    # The first window lies round the click, on a grid of a quarter of its side.
    far = side // 4 // 2
    for where, (low, high) in (("centred", (-NEAR, NEAR)), ("border", (1 - far, far))):
        ious = []
        for row, column in ((low, low), (low, high), (high, low), (high, high)):
            at = 4 * side + row, 4 * side + column
            r, c = at[0] - int(click.row), at[1] - int(click.column)
            picture = Endless(image.astype(np.uint8), (8 * side, 8 * side), (r, c))
            # An image has one contrast, wherever its windows lie.
            predictor.set_image(picture, normalization=contrast)
            contrast = predictor.normalization
            mask = predictor.predict([Click(*at)])
            box = truth.box
            moved = Mask(truth.data, (box[0] + r, box[1] + c, box[2] + r, box[3] + c))
            ious.append(iou_of(mask, moved))
        means[where] = statistics.mean(ious)
    return means


def compared(found: list[dict[str, float]]) -> dict[str, float]:
    """Return the means of what `ious_by_place` gave, their difference and its standard error."""
    means = {where: statistics.mean(one[where] for one in found) for where in found[0]}
    differences = [one["border"] - one["centred"] for one in found]
    return {
        **means,
        "objects": len(found),
        "value": statistics.mean(differences),
        "error": statistics.stdev(differences) / len(found) ** 0.5,
    }


def _result(name: str, found: list[dict[str, float]], size: int, start: float) -> Result:
    return Result(
        suite="scale",
        name=f"seams/{name}",
        preset="tiny",
        size=size,
        ms=1e3 * (time.perf_counter() - start) / (8 * len(found)),
        figures=compared(found),
    )
