"""Pictures of single objects: the image, the true outline, the mask's outline, the clicks."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from napari_inter2former.evaluation.protocol import SHOWN_AT
from napari_inter2former.images import as_image_source

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from numpy.typing import NDArray

    from napari_inter2former.evaluation.reading import Picture
    from napari_inter2former.evaluation.regions import Box, MaskLike
    from napari_inter2former.evaluation.results import DatasetResult, ObjectResult
    from napari_inter2former.prompts import Click

__all__ = ["Case", "draw_case", "draw_click", "encode_jpeg", "find_cases"]

SIDE = 320
"""Longer side of a picture in pixels."""

QUALITY = 82
"""Of the JPEG files: some 15 kB each."""

TRUTH, MASK = (255, 220, 0), (255, 0, 220)
POSITIVE, NEGATIVE = (60, 230, 60), (255, 60, 60)


class Case(NamedTuple):
    """One object as it is shown.

    Attributes
    ----------
    dataset, name : str
        The object: ``IMAGE:NUMBER``.
    clicks : int
        Clicks so far.
    iou : float
        Of the mask after these clicks.
    jpeg : bytes
        The picture.
    """

    dataset: str
    name: str
    clicks: int
    iou: float
    jpeg: bytes


def find_cases(name: str, result: DatasetResult, best: int, worst: int) -> dict[str, list[Case]]:
    """Draw a dataset's best and worst objects after five clicks.

    Parameters
    ----------
    name : str
        The dataset.
    result : DatasetResult
        Evaluated with ``keep=True``; other objects are passed over.
    best, worst : int
        How many of each, where there are enough.

    Returns
    -------
    dict of str to list of Case
        ``"best"`` and ``"worst"``, the extreme ones first. No two are of one image, as long as
        there are others.
    """
    shown = sorted(
        (o for o in result.objects if o.pair is not None and o.ious),
        key=lambda o: (o.iou_at(min(SHOWN_AT, o.max_clicks)), o.name),
    )
    lowest = _spread(shown, min(worst, len(shown)))
    taken = {id(o) for o in lowest}
    left = [o for o in reversed(shown) if id(o) not in taken]
    highest = _spread(left, min(best, len(left)))
    return {
        "best": [_case(name, o) for o in highest],
        "worst": [_case(name, o) for o in lowest],
    }


def draw_case(
    picture: Picture, truth: MaskLike, mask: MaskLike, clicks: Sequence[Click]
) -> NDArray[np.uint8]:
    """Draw one object.

    Parameters
    ----------
    picture : Picture
        The whole image.
    truth, mask : MaskLike
        The object, outlined in yellow, and the mask, outlined in magenta.
    clicks : sequence of Click
        Green dots are positive, red crosses negative.

    Returns
    -------
    ndarray of uint8, shape (h, w, 3)
        RGB, the longer side `SIDE` pixels.
    """
    source = as_image_source(picture.data, picture.channel_axis, picture.rgb)
    r0, c0, r1, c1 = _frame(truth, mask, clicks, source.shape)
    pixels = source.read(0, 0, *source.shape, 0)[r0:r1, c0:c1]
    scale = SIDE / max(r1 - r0, c1 - c0)
    size = (max(1, round((c1 - c0) * scale)), max(1, round((r1 - r0) * scale)))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    small = cv2.resize(np.ascontiguousarray(pixels), size, interpolation=way)
    drawn: NDArray[np.uint8] = np.clip(small * 255 + 0.5, 0, 255).astype(np.uint8)
    for region, colour in ((truth, TRUTH), (mask, MASK)):
        large = cv2.resize(_placed(region, (r0, c0, r1, c1)), size, interpolation=cv2.INTER_LINEAR)
        outlines, _ = cv2.findContours(
            (large > 0.5).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE
        )
        cv2.drawContours(drawn, outlines, -1, (0, 0, 0), 4, cv2.LINE_AA)
        cv2.drawContours(drawn, outlines, -1, colour, 2, cv2.LINE_AA)
    for click in clicks:
        at = (round((click.column - c0 + 0.5) * scale), round((click.row - r0 + 0.5) * scale))
        draw_click(drawn, at, click.positive, 4)
    return drawn


def draw_click(
    picture: NDArray[np.uint8], at: tuple[int, int], positive: bool, radius: int
) -> None:
    """Draw a click with black round it: a green dot if it is positive, a red cross if not.

    Parameters
    ----------
    picture : ndarray of uint8, shape (h, w, 3)
        RGB; drawn on in place.
    at : tuple of int
        Column and row in the picture, OpenCV's order.
    positive : bool
        Whether the click adds to the object.
    radius : int
        Of the dot; the cross is as large.
    """
    if positive:
        cv2.circle(picture, at, radius + 1, (0, 0, 0), cv2.FILLED, cv2.LINE_AA)
        cv2.circle(picture, at, radius, POSITIVE, cv2.FILLED, cv2.LINE_AA)
    else:
        side = 2 * radius + 3
        cv2.drawMarker(picture, at, (0, 0, 0), cv2.MARKER_TILTED_CROSS, side + 1, radius + 1)
        cv2.drawMarker(picture, at, NEGATIVE, cv2.MARKER_TILTED_CROSS, side, 2)


def encode_jpeg(picture: NDArray[np.uint8]) -> bytes:
    """Return an RGB picture as a JPEG file's content."""
    bgr = np.ascontiguousarray(picture[..., ::-1])
    # Halved colours would blur the outlines.
    sampling = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)
    options = (cv2.IMWRITE_JPEG_QUALITY, QUALITY, *sampling)
    written, data = cv2.imencode(".jpg", bgr, options)
    if not written:
        raise ValueError(f"A picture of shape {picture.shape} cannot be written as JPEG.")
    return bytes(data.tobytes())


def _case(dataset: str, result: ObjectResult) -> Case:
    assert result.pair is not None
    assert result.truth is not None
    assert result.mask is not None
    count = min(SHOWN_AT, len(result.ious))
    picture, _ = result.pair.read()
    drawn = draw_case(picture, result.truth, result.mask, result.clicks[:count])
    return Case(dataset, result.name, count, result.ious[count - 1], encode_jpeg(drawn))


def _spread(ordered: Sequence[ObjectResult], count: int) -> list[ObjectResult]:
    """Take the first ones, one of an image before a second of any."""
    seen: set[Any] = set()
    first: list[ObjectResult] = []
    again: list[ObjectResult] = []
    for each in ordered:
        image = each.pair.name if each.pair else None
        (again if image in seen else first).append(each)
        seen.add(image)
    return (first + again)[:count]


def _frame(truth: MaskLike, mask: MaskLike, clicks: Iterable[Click], shape: tuple[int, int]) -> Box:
    """Return what the picture shows: all of it, with some surroundings."""
    boxes = [region.box for region in (truth, mask) if region.data.size]
    boxes += [(int(c.row), int(c.column), int(c.row) + 1, int(c.column) + 1) for c in clicks]
    r0, c0 = min(b[0] for b in boxes), min(b[1] for b in boxes)
    r1, c1 = max(b[2] for b in boxes), max(b[3] for b in boxes)
    margin = max(8, (max(r1 - r0, c1 - c0)) // 4)
    return (
        max(0, r0 - margin),
        max(0, c0 - margin),
        min(shape[0], r1 + margin),
        min(shape[1], c1 + margin),
    )


def _placed(region: MaskLike, frame: Box) -> NDArray[np.float32]:
    full = np.zeros((frame[2] - frame[0], frame[3] - frame[1]), np.float32)
    if region.data.size:
        r0, c0, r1, c1 = region.box
        full[r0 - frame[0] : r1 - frame[0], c0 - frame[1] : c1 - frame[1]] = region.data
    return full
