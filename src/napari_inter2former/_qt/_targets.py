"""Labels layers that receive accepted objects: choosing, checking, numbering, writing."""

from __future__ import annotations

from itertools import count
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary

import numpy as np
import numpy.typing as npt
from napari.layers import Image, Labels

from napari_inter2former._qt._own_layers import MARK, transform_of
from napari_inter2former._sparse import SparseLabels
from napari_inter2former.annotation.labelling import Ids, LabelEdit, plan_write
from napari_inter2former.annotation.objects import Write
from napari_inter2former.annotation.planes import Plane, StackLayout
from napari_inter2former.errors import Inter2FormerError

__all__ = [
    "LabelsRefusedError",
    "array_of",
    "check_labels",
    "ids_of",
    "is_unused",
    "layer_of",
    "new_labels",
    "read_box",
    "reserve",
    "set_ids",
    "token_of",
    "write_edit",
]

AT_ONCE = 1 << 20
"""More pixels than these are too many for napari's own undo, which keeps the place of each."""
LARGE_PLANE = 1 << 28
"""Planes of more bytes have a pyramid: napari would copy all of one for display."""
LARGE_STACK = 1 << 30
"""Of a stack of more bytes only the blocks that were written to are kept."""

# Shared by all open widgets, so that two of them never give the same number twice.
_ids: WeakKeyDictionary[Labels, Ids] = WeakKeyDictionary()
_reserved: WeakKeyDictionary[Labels, int] = WeakKeyDictionary()
_tokens: WeakKeyDictionary[Labels, int] = WeakKeyDictionary()
_layers: WeakValueDictionary[int, Labels] = WeakValueDictionary()
_counter = count(1)


class LabelsRefusedError(Inter2FormerError):
    """A Labels layer that can't receive objects of this image; the message says why."""


def array_of(layer: Labels) -> Any:
    """Return the array that objects are written to: the finest level of a sparse layer."""
    return layer.data[0] if layer.multiscale else layer.data


def token_of(layer: Labels) -> int:
    """Return a number that names the layer, whatever it is called."""
    if layer not in _tokens:
        _tokens[layer] = next(_counter)
        _layers[_tokens[layer]] = layer
    return _tokens[layer]


def layer_of(token: object) -> Labels | None:
    """Find the layer of a token, while it exists."""
    return _layers.get(token) if isinstance(token, int) else None


def ids_of(layer: Labels) -> Ids | None:
    """Return the layer's numbering; None until its labels have been counted."""
    ids = _ids.get(layer)
    return ids if ids is not None and ids.dtype == np.dtype(array_of(layer).dtype) else None


def set_ids(layer: Labels, largest: int) -> Ids:
    """Start the layer's numbering above its largest label, and above what was given out before."""
    before = _ids.get(layer)
    ids = Ids(array_of(layer).dtype, largest)
    ids.reserve(_reserved.get(layer, 0))
    if before is not None:
        ids.reserve(before.next - 1)
    _ids[layer] = ids
    return ids


def reserve(layer: Labels, number: int) -> None:
    """Never give this number to an object: the user paints with it.

    That holds from before the first stroke on, and for a layer that isn't counted yet.
    """
    _reserved[layer] = max(number, _reserved.get(layer, 0))
    ids = ids_of(layer)
    if ids is not None:
        ids.reserve(number)


def check_labels(layer: Labels, layout: StackLayout) -> None:
    """Refuse a layer that can't receive objects.

    Raises
    ------
    LabelsRefusedError
        If it has another shape than the image, is multiscale, or is read-only.
    """
    if layer.metadata.get(MARK) == "preview":
        raise LabelsRefusedError("That layer only shows the current object. Choose another one.")
    data = array_of(layer)
    if layer.multiscale and not isinstance(data, SparseLabels):
        raise LabelsRefusedError(
            f"'{layer.name}' is multiscale and can't be written to. Choose 'New labels layer'."
        )
    if tuple(data.shape) != layout.annotation_shape:
        have = " x ".join(map(str, data.shape))
        want = " x ".join(map(str, layout.annotation_shape))
        raise LabelsRefusedError(
            f"'{layer.name}' has another shape ({have}) than the image ({want}). "
            "Choose 'New labels layer', or a layer of the image's shape."
        )
    if hasattr(data, "dask") or (isinstance(data, np.ndarray) and not data.flags.writeable):
        raise LabelsRefusedError(
            f"'{layer.name}' can't be written to. Duplicate it, or choose 'New labels layer'."
        )


def new_labels(image: Image, layout: StackLayout) -> Labels:
    """Make an empty int32 Labels layer over the image; of a large image a sparse one.

    napari's own tools don't paint in layers with a pyramid, so only planes that need one get it.
    """
    shape = layout.annotation_shape
    # Whichever axes are shown.
    pyramid = 4 * np.prod(sorted(shape)[-2:], dtype=np.float64) > LARGE_PLANE
    sparse = pyramid or 4 * np.prod(shape, dtype=np.float64) > LARGE_STACK
    data = SparseLabels(shape) if sparse else np.zeros(shape, dtype=np.int32)
    layer = Labels(
        data.levels() if isinstance(data, SparseLabels) and pyramid else data,
        multiscale=pyramid,
        name=f"{image.name} objects",
        **transform_of(image, layout),
    )
    set_ids(layer, 0)
    return layer


def is_unused(layer: Labels) -> bool:
    """Whether nothing was ever put into a layer that `new_labels` made."""
    ids, data = ids_of(layer), array_of(layer)
    if ids is None or ids.next > 1:
        return False
    return not (data.largest() if isinstance(data, SparseLabels) else np.any(data))


def read_box(
    layer: Labels, plane: Plane, box: tuple[int, int, int, int]
) -> npt.NDArray[np.integer[Any]]:
    """Labels inside a box of a plane, (h, w)."""
    return np.asarray(array_of(layer)[plane.region(box)])


def write_edit(layer: Labels, write: Write) -> None:
    """Do or undo an edit, within its box, through napari's own editing where that is possible.

    napari's undo of the Labels layer then knows about it as well. It does not edit the several
    levels of sparse layers, and very large objects take it long.
    """
    edit, data = write.edit, array_of(layer)
    assert isinstance(edit, LabelEdit)
    view = read_box(layer, write.plane, edit.box)
    due, values = plan_write(view, edit, write.forward)
    if isinstance(data, SparseLabels) or np.count_nonzero(due) > AT_ONCE:
        if isinstance(data, np.ndarray):
            view[due] = values  # in place
        else:
            view = np.require(view, requirements="W")
            view[due] = values
            data[write.plane.region(edit.box)] = view
        layer.refresh(extent=False)
    else:
        rows, columns = np.nonzero(due)
        layer.data_setitem(write.plane.indices(rows + edit.box[0], columns + edit.box[1]), values)
