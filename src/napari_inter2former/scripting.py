"""Labels from clicks in one call: `segment` on arrays, `segment_layers` on napari layers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_inter2former.errors import Inter2FormerError, PromptError
from napari_inter2former.prompts import Click, Prompt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from napari_inter2former.images import Channels, Normalization
    from napari_inter2former.predictor import Mask, Predictor

__all__ = ["group_points", "paint", "segment", "segment_layers"]

Labels = npt.NDArray[np.int32]
_LARGEST_LABEL = int(np.iinfo(np.int32).max)


def segment(
    image: Any,
    clicks_by_object: Mapping[int, Iterable[Prompt]],
    model: Any = "tiny",
    *,
    channel_axis: int | None = None,
    rgb: bool | None = None,
    normalization: Normalization | None = None,
    channels: Channels | Iterable[str] | None = None,
    out: Any = None,
    progress: Callable[[int, Mask], None] | None = None,
) -> Labels:
    """Segment the objects of an image plane.

    Parameters
    ----------
    image, channel_axis, rgb, normalization, channels
        One plane; see `napari_inter2former.images.as_image_source`.
    clicks_by_object : mapping of int to prompts
        The prompts of each object, in order. The keys, 1 or more, become the labels.
    model : str, path, Inter2Former or Predictor
        What draws. A predictor keeps the image afterwards.
    out : array of int, (height, width), optional
        Gets the labels instead of a new array: zarr or anything else that slices like NumPy's, for
        images whose labels do not fit in memory. Only the boxes of masks are touched.
    progress : callable, optional
        Called with the label and the mask of each object as it is done.

    Returns
    -------
    array of int32, (height, width)
        Or `out`. 0 is background. Objects never overwrite each other, nor what is in `out`: the
        pixel goes to the one that comes first in `clicks_by_object`.

    Raises
    ------
    Inter2FormerError
        If `out` has another shape than the image, or a type too small for an object's number.
    ImageError, PromptError, WeightsError
        If the image, the clicks or the weights can't be used. Messages about clicks name the
        object.

    Examples
    --------
    >>> labels = segment(image, {1: [Click(40, 52)], 2: [Click(90, 17)]})  # doctest: +SKIP
    """
    predictor = _as_predictor(model)
    predictor.set_image(image, channel_axis, rgb, normalization, channels)
    shape = predictor.image_shape
    assert shape is not None
    objects = {_label(key): list(value) for key, value in clicks_by_object.items()}
    labels: Labels = np.zeros(shape, dtype=np.int32) if out is None else out
    if tuple(labels.shape) != shape:
        raise Inter2FormerError(
            f"The labels to write to have the shape {tuple(labels.shape)}, and the image {shape}."
        )
    kind, largest = np.dtype(labels.dtype), max(objects, default=0)
    if kind.kind in "iu" and largest > np.iinfo(kind).max:
        raise Inter2FormerError(
            f"Object {largest} has no place in labels of type {kind}, which ends at "
            f"{np.iinfo(kind).max}. Give labels of a larger type."
        )
    for label, prompts in objects.items():
        try:
            mask = predictor.predict(prompts)
        except PromptError as error:
            raise PromptError(f"Object {label}: {error}") from error
        paint(labels, mask, label)
        if progress is not None:
            progress(label, mask)
    return labels


def paint(labels: npt.NDArray[Any], mask: Mask, label: int) -> int:
    """Write a mask into labels where they are 0, inside its box only.

    Parameters
    ----------
    labels : array of int, (height, width)
        Anything that slices like NumPy's, in memory or not. Changed in place.
    mask : Mask
        Of the object.
    label : int
        Its value.

    Returns
    -------
    int
        Pixels of the mask that were left to other objects.
    """
    if mask.empty:
        return 0
    part = np.array(labels[mask.slices])
    free = mask.data & (part == 0)
    if free.any():
        part[free] = label
        labels[mask.slices] = part  # what is no NumPy array handed out a copy
    return mask.area - int(np.count_nonzero(free))


def segment_layers(image_layer: Any, points_layer: Any, model: Any = "tiny") -> Labels:
    """Segment a napari image layer with the clicks of a Points layer.

    Parameters
    ----------
    image_layer : napari.layers.Image
        2-D, or a stack or series whose planes are segmented one by one; RGB and multiscale too.
        Anything with ``data`` and optionally ``rgb``, ``multiscale`` and ``data_to_world`` works.
    points_layer : napari.layers.Points
        The clicks. Its features ``object`` (int, 1 or more) and ``positive`` (bool) tell which
        object a click belongs to and whether it marks the object or background. The order of the
        points is the order of the clicks. Without ``object`` every point is an object of its own;
        without ``positive`` all are positive.
    model : str, path, Inter2Former or Predictor
        What draws.

    Returns
    -------
    array of int32
        Labels in the image's shape (without colour channels). An object clicked in several planes
        is segmented in each and keeps its label. Earlier objects are never overwritten.

    Raises
    ------
    ImageError, PromptError, WeightsError
        If the image, the clicks or the weights can't be used.

    Examples
    --------
    >>> labels = segment_layers(viewer.layers["cells"], viewer.layers["Points"])  # doctest: +SKIP
    >>> viewer.add_labels(labels)  # doctest: +SKIP
    """
    data, multiscale = image_layer.data, bool(getattr(image_layer, "multiscale", False))
    rgb = bool(getattr(image_layer, "rgb", False))
    first = data[0] if multiscale else data
    shape = tuple(int(n) for n in (first.shape[:-1] if rgb else first.shape))
    if len(shape) < 2:
        raise Inter2FormerError(f"The image layer must have two axes or more, not {shape}.")
    points = _image_coordinates(image_layer, points_layer, len(shape))
    grouped = group_points(points, getattr(points_layer, "features", None), shape)
    predictor = _as_predictor(model)
    labels = np.zeros(shape, dtype=np.int32)
    for plane, objects in grouped.items():
        levels = [_plane(level, plane, shape) for level in (data if multiscale else [data])]
        where = "" if not plane else f"Plane {', '.join(map(str, plane))}: "
        try:
            labels[plane] = segment(levels, objects, predictor, rgb=rgb)
        except PromptError as error:
            raise PromptError(f"{where}{error}") from error
    return labels


def _plane(level: Any, plane: tuple[int, ...], shape: tuple[int, ...]) -> Any:
    """Cut a plane out of a level, which may be coarser along the stack as well."""
    from napari_inter2former.images import cut

    at = (i * int(n) // whole for i, n, whole in zip(plane, level.shape, shape, strict=False))
    return cut(level, (*at, *[None] * (len(level.shape) - len(plane))))


def group_points(
    points: npt.ArrayLike, features: Any, shape: tuple[int, ...]
) -> dict[tuple[int, ...], dict[int, list[Click]]]:
    """Group points by plane and object.

    Parameters
    ----------
    points : array-like, (n, ndim)
        In image pixels; all but the last two columns choose the plane, rounded.
    features : mapping of str to sequence, or None
        ``object`` and ``positive``, see `segment_layers`.
    shape : tuple of int
        Of the image, ndim numbers.

    Returns
    -------
    dict
        Plane to object to clicks, in the order of the points.

    Raises
    ------
    PromptError
        If there are no points, or they or their features don't fit.
    """
    array = np.asarray(points, dtype=np.float64)
    if array.size == 0:
        raise PromptError("The points layer is empty: add at least one point on an object.")
    if array.ndim != 2 or array.shape[1] != len(shape):
        raise PromptError(
            f"Points of shape {array.shape} do not fit an image with {len(shape)} axes."
        )
    if not np.isfinite(array).all():
        raise PromptError("The positions of the points must be finite.")
    objects = _column(features, "object", len(array))
    positives = _column(features, "positive", len(array))
    grouped: dict[tuple[int, ...], dict[int, list[Click]]] = {}
    for i, point in enumerate(array):
        plane = tuple(math.floor(value + 0.5) for value in point[:-2])
        if any(not 0 <= index < size for index, size in zip(plane, shape, strict=False)):
            raise PromptError(f"Point {i} lies in plane {plane}, outside the image {shape}.")
        label = i + 1 if objects is None else _label(objects[i])
        positive = True if positives is None else _positive(positives[i], i)
        click = Click(float(point[-2]), float(point[-1]), positive)
        grouped.setdefault(plane, {}).setdefault(label, []).append(click)
    return grouped


def _as_predictor(model: Any) -> Predictor:
    from napari_inter2former.predictor import Predictor

    return model if isinstance(model, Predictor) else Predictor(model)


def _image_coordinates(image_layer: Any, points_layer: Any, ndim: int) -> npt.NDArray[np.float64]:
    """Points in the image layer's pixels: the two layers may be scaled and moved differently."""
    points = np.asarray(points_layer.data, dtype=np.float64)
    if points.size == 0 or points.ndim != 2:
        return points
    if points.shape[1] > ndim:
        raise PromptError(
            f"The points have {points.shape[1]} coordinates and the image {ndim} axes; use a "
            "points layer made for this image."
        )
    to_world = getattr(points_layer, "data_to_world", None)
    to_data = getattr(image_layer, "world_to_data", None)
    if points.shape[1] == ndim and callable(to_world) and callable(to_data):
        points = np.array([to_data(to_world(point)) for point in points], dtype=np.float64)
    elif points.shape[1] < ndim:
        raise PromptError(
            f"The points have {points.shape[1]} coordinates, and the image {ndim} axes: which "
            "plane they belong to is unknown. Use a points layer with as many axes."
        )
    return points


def _column(features: Any, name: str, count: int) -> list[Any] | None:
    if features is None or name not in features:
        return None
    values = list(features[name])
    if len(values) != count:
        raise PromptError(f"There are {count} points and {len(values)} values of {name!r}.")
    return values


def _label(value: Any) -> int:
    try:
        label = int(value)
        if label != float(value) or not 1 <= label <= _LARGEST_LABEL:
            raise ValueError
    except (TypeError, ValueError, OverflowError) as error:
        raise PromptError(
            f"An object is a whole number from 1 to {_LARGEST_LABEL}, not {value!r}."
        ) from error
    return label


def _positive(value: Any, i: int) -> bool:
    if isinstance(value, str):
        known = {"true": True, "1": True, "false": False, "0": False}
        if value.strip().lower() in known:
            return known[value.strip().lower()]
    else:
        try:
            if value == 0 or value == 1:
                return bool(value)
        except (TypeError, ValueError):
            pass
    raise PromptError(f"The feature 'positive' of point {i} must be True or False, not {value!r}.")
