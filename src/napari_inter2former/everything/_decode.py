"""First clicks, each on the piece of an encoded window round it.

Objects are small in the window at the zoom they are drawn at, so a click needs the tokens round
it only. A first click finds every pixel unknown, so all tokens are edge tokens and get full
attention (Inter2Former, section 3.4), whose cost grows with the square of their number: pieces are
decoded many times as fast as the window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from napari_inter2former.model import reference_mask as rm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_inter2former.model import Inter2Former
    from napari_inter2former.model.inter2former import ImageFeatures

__all__ = ["PIECE", "Piece", "decode_first_clicks", "encode"]

PIECE = 12
"""Tokens along each side of the piece that a click is decoded on."""
PATCH = 16

Floats = npt.NDArray[np.float32]


class Piece(NamedTuple):
    """What a click drew.

    Attributes
    ----------
    logits : array of float32, (h, w)
        Inside `box`; background outside.
    box : tuple of int
        (r0, c0, r1, c1), pixels of the encoded window.
    frame : tuple of int
        The part of the window that the click was decoded on, likewise.
    iou : float or None
        Predicted IoU; None from a network without the head.
    """

    logits: Floats
    box: tuple[int, int, int, int]
    frame: tuple[int, int, int, int]
    iou: float | None = None


def encode(model: Inter2Former, pixels: Floats) -> ImageFeatures:
    """Encode a window.

    Parameters
    ----------
    model : Inter2Former
        The network.
    pixels : array of float32, (h, w, 3)
        In [0, 1].
    """
    device = next(model.parameters()).device
    tensor = torch.from_numpy(pixels).permute(2, 0, 1).unsqueeze(0).contiguous()
    return model.encode(tensor.to(device))


def decode_first_clicks(
    model: Inter2Former, features: ImageFeatures, clicks: Sequence[tuple[int, int]]
) -> list[Piece]:
    """Decode the first clicks of many objects.

    Parameters
    ----------
    model : Inter2Former
        The network.
    features : ImageFeatures
        Of the window, from `encode`.
    clicks : sequence of (int, int)
        Row and column in pixels of the window, inside it.

    Returns
    -------
    list of Piece
        In the order of `clicks`.
    """
    return [_decode(model, features, row, column) for row, column in clicks]


def _decode(model: Inter2Former, features: ImageFeatures, row: int, column: int) -> Piece:
    top, bottom, height = _span(row, features.tokens.shape[1], features.shape[0])
    left, right, width = _span(column, features.tokens.shape[2], features.shape[1])
    # What belongs to the window as a whole, such as its first layer, is left out.
    piece = type(features)(
        tokens=features.tokens[:, top:bottom, left:right].contiguous(),
        # Views: of the edge terms only the box of what is found is read.
        edges=[
            edge[:, top * s : bottom * s, left * s : right * s]
            for edge, s in zip(features.edges, (2, 4, 8, 16), strict=True)
        ],
        shape=(height, width),
        background=features.background,
        decoder=features.decoder,
    )
    r0, c0 = top * PATCH, left * PATCH
    reference = rm.new(height, width)
    rm.add_click(reference, row - r0, column - c0, positive=True)
    logits, box, iou = model.decode(piece, reference.to(features.tokens.device))
    return Piece(
        logits.to("cpu", torch.float32).numpy(),
        (r0 + box[0], c0 + box[1], r0 + box[2], c0 + box[3]),
        (r0, c0, r0 + height, c0 + width),
        iou,
    )


def _span(at: int, tokens: int, length: int) -> tuple[int, int, int]:
    """Return first and last token of a piece round a pixel, and the piece's length in pixels."""
    count = min(PIECE, tokens)
    start = min(max(at // PATCH - count // 2, 0), tokens - count)
    return start, start + count, min((start + count) * PATCH, length) - start * PATCH
