"""Dynamic Local Upsampling (DLU): tokens to a mask, only where the object is (3.7)."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from .config import ModelConfig
from .layers import Conv, GroupNorm, upsampled_convolution
from .prompt_embedding import TokenBox

BACKGROUND_LOGIT = -100.0
"""Logit outside the box."""

LOCALISATION_LOGIT = -2.0
"""Low-resolution logits above this belong to the object's box."""

BOX_GROWTH = 1.4
"""Factor by which the object's box is grown."""

STRIDES = (8, 4, 2, 1)
"""Strides of the four upsampling steps."""


class LocalUpsampling(nn.Module):
    """Upsample tokens to mask logits in four steps, guided by edge features (Eq. 21 to 24).

    A step normalises, upsamples by 2, adds the edge features and convolves. Convolution is
    linear, so the edge features' share of it doesn't depend on the clicks: `edge_terms` computes
    it once per image.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim = config.dim
        inputs = (dim, *config.upsampling_channels)
        outputs = (*config.upsampling_channels, 1)
        norm = GroupNorm if config.norm == "group" else nn.LayerNorm
        self.locate = nn.Sequential(nn.Linear(dim, dim // 2), nn.GELU(), nn.Linear(dim // 2, 1))
        self.norms = nn.ModuleList(norm(c) for c in inputs)
        self.convs = nn.ModuleList(
            Conv(a, b, 3, padding=1) for a, b in zip(inputs, outputs, strict=True)
        )
        self.prompt_convs = nn.ModuleList()
        if config.prompt_skips:
            self.prompt_convs.extend(
                Conv(a, b, 3, padding=1, bias=False)
                for a, b in zip(reversed(config.prompt_channels), outputs, strict=False)
            )

    def low_resolution(self, tokens: Tensor) -> Tensor:
        """Return the localisation branch's logits (Eq. 21) for tokens (..., dim): (...).

        The tokens are detached: this branch learns to locate what the others draw.
        """
        logits: Tensor = self.locate(tokens.detach())[..., 0]
        return logits

    def edge_terms(self, edges: Sequence[Tensor]) -> list[Tensor]:
        """Return what edge features at strides 8, 4, 2, 1 add to the steps' convolutions."""
        return [conv(edge) for conv, edge in zip(self.convs, edges, strict=True)]

    def forward(self, tokens: Tensor, edges: Sequence[Tensor], prompts: Sequence[Tensor]) -> Tensor:
        """Upsample tokens.

        Parameters
        ----------
        tokens : Tensor
            (B, h, w, dim).
        edges : sequence of Tensor
            The same region's edge terms at strides s = 8, 4, 2, 1: (B / K, h * 16 / s, w * 16 / s,
            C), each for K grids of tokens in turn (the objects of one image).
        prompts : sequence of Tensor
            The same region's prompt embeddings (B, ...) at strides 8, 4, 2; ignored without
            prompt skips.

        Returns
        -------
        Tensor
            Logits (B, h * 16, w * 16).
        """
        x = tokens
        for i, (norm, conv, edge) in enumerate(zip(self.norms, self.convs, edges, strict=True)):
            assert isinstance(conv, Conv)
            x = upsampled_convolution(norm(x), conv.weight)
            if i < len(self.prompt_convs):
                x = x + self.prompt_convs[i](prompts[i])
            x = (x.reshape(len(edge), -1, *x.shape[1:]) + edge[:, None]).flatten(0, 1)
            if i < len(self.convs) - 1:
                x = F.silu(x)
        return x[..., 0]


def object_box(low_resolution: Tensor) -> TokenBox:
    """Return the grown box of the tokens that may belong to the object.

    Parameters
    ----------
    low_resolution : Tensor
        Logits (h, w) of the localisation branch.

    Returns
    -------
    TokenBox
        Empty if no token is above the threshold.
    """
    height, width = low_resolution.shape
    inside = low_resolution > LOCALISATION_LOGIT
    rows, columns = inside.any(1).nonzero(), inside.any(0).nonzero()
    if not len(rows):
        return TokenBox(0, 0, 0, 0)

    def grow(first: int, last: int, length: int) -> tuple[int, int]:
        margin = (last - first) * (BOX_GROWTH - 1) / 2
        return max(int(first - margin), 0), min(int(-(-(last + margin) // 1)), length)

    top, bottom = grow(int(rows[0]), int(rows[-1]) + 1, height)
    left, right = grow(int(columns[0]), int(columns[-1]) + 1, width)
    return TokenBox(top, left, bottom, right)


def paste(background: Tensor, part: Tensor, box: TokenBox, region: TokenBox, scale: int) -> Tensor:
    """Return a region's features: those of a box where it reaches, background elsewhere.

    Parameters
    ----------
    background : Tensor
        (C,) vector.
    part : Tensor
        (h, w, C) features of `box`, at `scale` positions per token.
    box, region : TokenBox
        Where the features are, and what is wanted.
    scale : int
        Positions per token along each axis.
    """
    height, width = region.bottom - region.top, region.right - region.left
    out = background.expand(height * scale, width * scale, -1).clone()
    common = TokenBox(*map(max, box[:2], region[:2]), *map(min, box[2:], region[2:]))
    if not common.empty:
        out[_inside(common, region).slices(scale)] = part[_inside(common, box).slices(scale)]
    return out


def _inside(box: TokenBox, frame: TokenBox) -> TokenBox:
    """Return `box` in the coordinates of `frame`."""
    top, left = frame[:2]
    return TokenBox(box.top - top, box.left - left, box.bottom - top, box.right - left)


def with_margin(box: TokenBox, height: int, width: int) -> TokenBox:
    """Grow a box by the one token that makes local upsampling exact inside it.

    The four 3x3 convolutions look 8 + 4 + 2 + 1 = 15 pixels around, less than one token.
    """
    return TokenBox(
        max(box.top - 1, 0),
        max(box.left - 1, 0),
        min(box.bottom + 1, height),
        min(box.right + 1, width),
    )


def crop_margin(logits: Tensor, box: TokenBox, region: TokenBox, patch: int) -> Tensor:
    """Cut the logits of `region` back to `box`."""
    return logits[_inside(box, region).slices(patch)]
