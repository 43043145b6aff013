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
    from napari_inter2former.predictor import Predictor
    from napari_inter2former.prompts import Click

__all__ = ["click_object", "seams", "sizes"]

CLICKS = 3


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

    Returns
    -------
    list of Result
        ``seams/NAME``: ``centred`` and ``border`` are mean IoUs after one click, ``value`` their
        difference.
    """
    from napari_inter2former.data import SAMPLES
    from napari_inter2former.evaluation import next_click, object_regions
    from napari_inter2former.evaluation.regions import EMPTY
    from napari_inter2former.predictor import Mask
    from napari_inter2former.prompts import Click

    side = predictor.window
    step = side // 4
    shape = (8 * side, 8 * side)
    results = []
    for name in list(SAMPLES)[: 1 if quick else None]:
        image, labels = grey_sample(name)
        regions = object_regions(labels)
        chosen = [n for n, region in regions.items() if region.data.sum() >= 64]
        scores: dict[str, list[float]] = {"centred": [], "border": []}
        start = time.perf_counter()
        for number in chosen[: 6 if quick else 25]:
            truth = regions[number]
            click = next_click(truth, EMPTY, [])
            assert click is not None
            for where, shift in (("centred", 0), ("border", step // 2)):
                # The first window lies round the click, on a grid of a quarter of its side.
                place = 4 * side + shift
                origin = (place - int(click.row), place - int(click.column))
                picture = Endless(image.astype(np.uint8), shape, origin)
                predictor.set_image(picture)
                mask = predictor.predict([Click(place, place)])
                r, c = origin
                box = truth.box
                moved = Mask(truth.data, (box[0] + r, box[1] + c, box[2] + r, box[3] + c))
                scores[where].append(iou_of(mask, moved))
        means = {where: statistics.mean(values) for where, values in scores.items()}
        results.append(
            Result(
                suite="scale",
                name=f"seams/{name}",
                preset="tiny",
                size=shape[0],
                ms=1e3 * (time.perf_counter() - start) / (2 * len(scores["border"])),
                figures={
                    **means,
                    "objects": len(scores["border"]),
                    "value": means["border"] - means["centred"],
                },
            )
        )
    return results
