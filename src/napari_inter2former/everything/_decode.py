"""First clicks, each on the piece of an encoded window round it.

Objects are small in the window at the zoom they are drawn at, so a click needs the tokens round
it only. A first click finds every pixel unknown, so all tokens are edge tokens and get full
attention (Inter2Former, section 3.4), whose cost grows with the square of their number: pieces are
decoded many times as fast as the window.

A click at one cell among many that look like it shows the network all of them. Only the one is
meant: only tokens that are connected with the click's are upsampled.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from threading import Barrier
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from napari_inter2former.kernels.parts import count_areas
from napari_inter2former.model import reference_mask as rm
from napari_inter2former.model.objects import STRIDE
from napari_inter2former.model.prompt_embedding import TokenBox
from napari_inter2former.model.upsampling import LOCALISATION_LOGIT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from napari_inter2former.model import Inter2Former
    from napari_inter2former.model.fast_decoder import DecodedPart
    from napari_inter2former.model.inter2former import ImageFeatures

__all__ = ["PIECE", "Piece", "decode_first_clicks", "encode", "propose_clicks"]

PIECE = 12
"""Tokens along each side of the piece that a click is decoded on."""
PATCH = 16
CENTRAL = 0.3
"""Positions that are nearer to their object's centre, in square roots of its area, are central."""
PERHAPS = -2.0
"""Below this logit of the foreground no object is looked for."""
LOCAL_LOGIT = 0.0
"""Tokens of the localisation branch above this may belong to the object."""

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


@torch.inference_mode()
def propose_clicks(
    model: Inter2Former, features: ImageFeatures, grid: Sequence[tuple[int, int]]
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return where objects seem to be, as far as the image tells without a click.

    Parameters
    ----------
    model : Inter2Former
        The network; one without an `ObjectHead` sees nothing.
    features : ImageFeatures
        Of the window, from `encode`.
    grid : sequence of (int, int)
        Row and column in pixels of the window, inside it.

    Returns
    -------
    seen : list of (int, int)
        A pixel near the middle of each object.
    others : list of (int, int)
        The clicks of `grid` that may lie on an object; where none is seen at all, as may be in
        images of a new kind, all of them.
    """
    if model.objects is None:
        return [], list(grid)
    height, width = features.shape
    maps = model.objects(features)[0].to("cpu", torch.float32).numpy()
    maps = maps[: -(-height // STRIDE), : -(-width // STRIDE)]  # without the padding
    foreground, distance = maps[..., 0], np.hypot(maps[..., 2], maps[..., 3])
    central = (foreground > 0) & (distance < CENTRAL)
    if not central.any():
        return [], list(grid)
    _, parts = cv2.connectedComponents(central.view(np.uint8), connectivity=8)
    order = np.lexsort((distance[central], parts[central]))
    _, first = np.unique(parts[central][order], return_index=True)
    middles = np.argwhere(central)[order[first]] * STRIDE + STRIDE // 2
    seen = [(r, c) for r, c in middles.clip(0, (height - 1, width - 1)).tolist()]
    return seen, [(r, c) for r, c in grid if foreground[r // STRIDE, c // STRIDE] > PERHAPS]


def decode_first_clicks(
    model: Inter2Former, features: ImageFeatures, clicks: Sequence[tuple[int, int]]
) -> list[Piece]:
    """Decode the first clicks of many objects, as many at a time as PyTorch has threads.

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
        In the order of `clicks`; the same for any number of threads.
    """
    threads = torch.get_num_threads()
    if threads == 1 or len(clicks) < 2 or features.decoder is None:
        return [_decode(model, features, click) for click in clicks]
    pool = _pool(threads, os.getpid())
    return list(pool.map(lambda click: _decode(model, features, click), clicks))


@lru_cache(1)
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    """Return threads with a processor each: a piece is too small to be shared by several.

    After a fork the threads of another process are none.
    """
    begun = Barrier(threads + 1)

    def begin() -> None:
        torch.set_num_threads(1)
        begun.wait()

    pool = ThreadPoolExecutor(threads, "everything", begin)
    for _ in range(threads):
        pool.submit(int)
    begun.wait()
    torch.set_num_threads(threads)  # of threads that begin later
    return pool


@torch.inference_mode()
def _decode(model: Inter2Former, features: ImageFeatures, click: tuple[int, int]) -> Piece:
    row, column = click
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
    frame = (r0, c0, r0 + height, c0 + width)
    reference = rm.new(height, width)
    rm.add_click(reference, row - r0, column - c0, positive=True)
    # What lies outside the image is no object.
    padding = (0, (right - left) * PATCH - width, 0, (bottom - top) * PATCH - height)
    reference = F.pad(reference, padding, value=int(rm.Label.POSSIBLE_BACKGROUND))
    token = row // PATCH - top, column // PATCH - left
    if piece.decoder is not None:
        part = piece.decoder.decode(model, piece, reference, lambda low: _near(low, token))
    else:
        part = model.decode_plain(piece, reference.to(features.tokens.device))
        part = _cropped(part, _near(part.low_resolution.cpu(), token))
    drawn = part.logits[: height - part.box.top * PATCH, : width - part.box.left * PATCH]
    logits = drawn.to("cpu", torch.float32).numpy()
    drawn_at = r0 + part.box.top * PATCH, c0 + part.box.left * PATCH
    box = (*drawn_at, drawn_at[0] + logits.shape[0], drawn_at[1] + logits.shape[1])
    iou = None
    if model.quality is not None:
        areas = torch.tensor(count_areas(logits), device=part.tokens.device)[:, None]
        quality = model.quality.predict(part.tokens[None], part.low_resolution[None], *areas)
        iou = float(quality.sigmoid())
    return Piece(logits, box, frame, iou)


def _near(low: Tensor, token: tuple[int, int]) -> TokenBox:
    """Return the box of the tokens that are connected with the click's, and their neighbours.

    Empty if there is no object at the click.
    """
    if low[token] <= LOCALISATION_LOGIT:
        return TokenBox(0, 0, 0, 0)
    possible = low.numpy() > LOCAL_LOGIT
    possible[token] = True
    _, parts, stats, _ = cv2.connectedComponentsWithStats(possible.view(np.uint8), connectivity=8)
    left, top, width, height = (int(v) for v in stats[parts[token], :4])
    h, w = possible.shape
    return TokenBox(
        max(top - 1, 0), max(left - 1, 0), min(top + height + 1, h), min(left + width + 1, w)
    )


def _cropped(part: DecodedPart, box: TokenBox) -> DecodedPart:
    """Return what was drawn in a box."""
    top, left = max(part.box.top, box.top), max(part.box.left, box.left)
    bottom, right = min(part.box.bottom, box.bottom), min(part.box.right, box.right)
    if top >= bottom or left >= right:
        return part._replace(logits=part.logits[:0, :0], box=TokenBox(0, 0, 0, 0))
    logits = part.logits[
        (top - part.box.top) * PATCH : (bottom - part.box.top) * PATCH,
        (left - part.box.left) * PATCH : (right - part.box.left) * PATCH,
    ]
    return part._replace(logits=logits, box=TokenBox(top, left, bottom, right))


def _span(at: int, tokens: int, length: int) -> tuple[int, int, int]:
    """Return first and last token of a piece round a pixel, and the piece's length in pixels."""
    count = min(PIECE, tokens)
    start = min(max(at // PATCH - count // 2, 0), tokens - count)
    return start, start + count, min((start + count) * PATCH, length) - start * PATCH
