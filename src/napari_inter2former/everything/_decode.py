"""Many first clicks at once: a piece of an encoded window round each, decoded in batches.

A first click finds every pixel unknown, so all tokens are edge tokens and get full attention
(Inter2Former, section 3.4): there is nothing for the dynamic scheme to leave out, and clicks can
share one batch. Objects are small in the window at the zoom they are drawn at, so a click needs
the tokens round it only, and clicks at the same place of their pieces share the prompt embedding.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_inter2former.model import Inter2Former
from napari_inter2former.model import reference_mask as rm
from napari_inter2former.model.layers import rotate, upsampled_convolution
from napari_inter2former.model.prompt_embedding import TokenBox
from napari_inter2former.model.upsampling import crop_margin, object_box, with_margin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_inter2former.model.inter2former import ImageFeatures

__all__ = ["PIECE", "Piece", "decode_first_clicks", "encode"]

PIECE = 12
"""Tokens along each side of the piece that a click is decoded on."""
CHUNK = 16
"""Clicks in a batch; more are no faster, and need more memory."""

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
    """

    logits: Floats
    box: tuple[int, int, int, int]
    frame: tuple[int, int, int, int]


@torch.inference_mode()
def encode(model: Inter2Former, pixels: Floats) -> ImageFeatures:
    """Encode a window.

    Parameters
    ----------
    model : Inter2Former
        The network.
    pixels : array of float32, (h, w, 3)
        In [0, 1].
    """
    height, width = pixels.shape[:2]
    patch = model.config.patch
    device = next(model.parameters()).device
    image = torch.from_numpy(pixels).to(device).permute(2, 0, 1)[None]
    padded = F.pad(image, (0, -width % patch, 0, -height % patch), mode="replicate")
    # Not `model.encode`: it prepares single clicks on the whole window as well.
    features = model.encode_batch(padded.permute(0, 2, 3, 1).contiguous())
    return replace(features, shape=(height, width), background=model.prompt.background())


@torch.inference_mode()
def decode_first_clicks(
    model: Inter2Former, features: ImageFeatures, clicks: Sequence[tuple[int, int]]
) -> list[Piece]:
    """Decode the first click of many objects.

    Each answer equals that of ``model.decode`` with one positive click on the same piece of the
    window, up to rounding.

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
    height, width = features.shape
    grid = features.tokens.shape[1:3]
    side = (min(PIECE, grid[0]), min(PIECE, grid[1]))
    patch = model.config.patch
    frames = [
        TokenBox(top, left, top + side[0], left + side[1])
        for top, left in (
            (_start(r // patch, side[0], grid[0]), _start(c // patch, side[1], grid[1]))
            for r, c in clicks
        )
    ]
    pieces: list[Piece] = []
    for first in range(0, len(clicks), CHUNK):
        chosen = frames[first : first + CHUNK]
        at = [
            (r - frame.top * patch, c - frame.left * patch)
            for (r, c), frame in zip(clicks[first : first + CHUNK], chosen, strict=True)
        ]
        for frame, (logits, box) in zip(chosen, _decode(model, features, chosen, at), strict=True):
            top, left = frame.top * patch, frame.left * patch
            r0, c0 = top + box.top * patch, left + box.left * patch
            # The window was padded to whole tokens; what lies beyond it is no object.
            logits = logits[: max(height - r0, 0), : max(width - c0, 0)]
            h, w = logits.shape
            bottom, right = min(frame.bottom * patch, height), min(frame.right * patch, width)
            pieces.append(Piece(logits, (r0, c0, r0 + h, c0 + w), (top, left, bottom, right)))
    return pieces


def _start(token: int, side: int, length: int) -> int:
    return min(max(token - side // 2, 0), length - side)


def _decode(
    model: Inter2Former,
    features: ImageFeatures,
    frames: Sequence[TokenBox],
    clicks: Sequence[tuple[int, int]],
) -> list[tuple[Floats, TokenBox]]:
    """Decode one batch; `clicks` are pixels of the frames, the boxes tokens of the frames."""
    patch = model.config.patch
    height, width = frames[0].bottom - frames[0].top, frames[0].right - frames[0].left
    # Clicks on a grid mostly lie at the same place of their frames.
    places = list(dict.fromkeys(clicks))
    which = torch.tensor([places.index(click) for click in clicks])
    references = torch.stack([rm.new(height * patch, width * patch) for _ in places])
    for reference, (row, column) in zip(references, places, strict=True):
        rm.add_click(reference, row, column, positive=True)
    *fine, prompt = model.prompt(references.to(features.tokens.device))
    x = torch.stack([features.tokens[0][frame.slices()] for frame in frames]) + prompt[which]
    x = _attend(model, x)
    terms = [
        conv(level) for conv, level in zip(model.upsampling.prompt_convs, fine[::-1], strict=False)
    ]
    low = model.upsampling.low_resolution(x)
    found = [
        object_box(low[i]) if model.config.dlu else TokenBox(0, 0, height, width)
        for i in range(len(frames))
    ]
    answers: list[tuple[Floats, TokenBox]] = [
        (np.zeros((0, 0), np.float32), TokenBox(0, 0, 0, 0))
    ] * len(frames)
    # Regions of one shape are upsampled together.
    regions = [with_margin(box, height, width) for box in found]
    shapes: dict[tuple[int, int], list[int]] = {}
    for i, region in enumerate(regions):
        if not found[i].empty:
            shape = (region.bottom - region.top, region.right - region.left)
            shapes.setdefault(shape, []).append(i)
    for items in shapes.values():
        logits = _upsample(model, features, x, terms, which, items, frames, regions)
        for i, drawn in zip(items, logits, strict=True):
            inside = crop_margin(drawn, found[i], regions[i], patch)
            answers[i] = (inside.to("cpu", torch.float32).numpy(), found[i])
    return answers


def _attend(model: Inter2Former, x: Tensor) -> Tensor:
    """Apply the decoder layers to tokens (B, h, w, dim) that are all edge tokens."""
    batch, height, width, dim = x.shape
    x = x.view(batch, height * width, dim)
    edge = torch.ones(batch, height * width, dtype=torch.bool, device=x.device)
    for layer in model.layers:
        attention: Any = layer.attention
        if attention.mode == "quantized":
            x = layer(x, edge, (height, width))[0]
            continue
        query, key, value = attention.split(x)
        table = attention.rope.table(height, width, x.device)
        y = F.scaled_dot_product_attention(rotate(query, table), rotate(key, table), value)
        x = x + attention.project(y.transpose(1, 2).flatten(2))
        x = x + layer.experts(x.flatten(0, 1), edge.flatten()).view_as(x)
    return x.view(batch, height, width, dim)


def _upsample(
    model: Inter2Former,
    features: ImageFeatures,
    x: Tensor,
    terms: Sequence[Tensor],
    which: Tensor,
    items: Sequence[int],
    frames: Sequence[TokenBox],
    regions: Sequence[TokenBox],
) -> Tensor:
    """DLU on regions of one shape, each of its own place in the window."""
    upsampling = model.upsampling
    y = torch.stack([x[i][regions[i].slices()] for i in items])
    steps = zip(upsampling.norms, upsampling.convs, features.edges, strict=True)
    for n, (norm, conv, edge) in enumerate(steps):
        scale = 2 << n
        y = upsampled_convolution(norm(y), conv.weight)
        if n < len(terms):
            y = y + torch.stack([terms[n][which[i]][regions[i].slices(scale)] for i in items])
        inside = [_shifted(regions[i], frames[i]) for i in items]
        y = y + torch.stack([edge[0][box.slices(scale)] for box in inside])
        if n < len(upsampling.convs) - 1:
            y = F.silu(y)
    return y[..., 0]


def _shifted(box: TokenBox, frame: TokenBox) -> TokenBox:
    """Return a box of a frame in the window's tokens."""
    top, left = frame[:2]
    return TokenBox(box.top + top, box.left + left, box.bottom + top, box.right + left)
