"""Dynamic Prompt Embedding (DPE): the reference mask as prompt tokens (Inter2Former, 3.3)."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import ModelConfig
from .layers import Conv
from .reference_mask import Label


class TokenBox(NamedTuple):
    """A half-open box on the token grid."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def empty(self) -> bool:
        """Whether the box holds no token."""
        return self.top >= self.bottom or self.left >= self.right

    def slices(self, scale: int = 1) -> tuple[slice, slice]:
        """Return the box as slices of a grid that is `scale` times as fine."""
        return (
            slice(self.top * scale, self.bottom * scale),
            slice(self.left * scale, self.right * scale),
        )


class PromptEmbedding(nn.Module):
    """Embed a reference mask through four stride-2 convolutions (Eq. 1 to 3).

    The plane outside the mask counts as possible background, so the embedding of a part of the
    mask equals that part of the whole embedding, wherever the rest is possible background.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.patch = config.patch
        self.embed = nn.Embedding(len(Label), len(Label))
        with torch.no_grad():
            self.embed.weight.copy_(torch.eye(len(Label)))
        channels = (len(Label), *config.prompt_channels, config.dim)
        self.convs = nn.ModuleList(Conv(a, b, 3, 2, padding=1) for a, b in pairwise(channels))

    def forward(self, reference: Tensor) -> list[Tensor]:
        """Embed whole reference masks (the plain twin of `dynamic`).

        Parameters
        ----------
        reference : Tensor
            uint8 tensor (B, H, W); H and W are multiples of 16.

        Returns
        -------
        list of Tensor
            (B, H / s, W / s, C) at strides s = 2, 4, 8 and 16, the last one with `dim` channels.
        """
        # One token of possible background above and to the left stands for the plane outside;
        # the convolutions look at no pixel beyond the last one on the other two sides.
        x = F.pad(reference, (self.patch, 0, self.patch, 0), value=int(Label.POSSIBLE_BACKGROUND))
        labels = torch.arange(len(Label), device=reference.device, dtype=torch.uint8)
        x = (x[..., None] == labels).to(self.embed.weight.dtype)
        first, *others = self.convs
        assert isinstance(first, Conv)
        # Embedding, then convolution, as one convolution of the one-hot labels.
        weight = torch.einsum("oeyx,le->olyx", first.weight, self.embed.weight)
        x = F.conv2d(x.permute(0, 3, 1, 2), weight, first.bias, stride=2, padding=1)
        levels = [F.relu(x.permute(0, 2, 3, 1))]
        for conv in others:
            levels.append(F.relu(conv(levels[-1])))
        margins = (self.patch // 2, self.patch // 4, self.patch // 8, 1)
        return [y[:, m:, m:] for y, m in zip(levels, margins, strict=True)]

    def background(self) -> list[Tensor]:
        """Return the vectors that stand for possible background at strides 2, 4, 8 and 16."""
        side = 2 * self.patch
        plane = torch.full((1, side, side), Label.POSSIBLE_BACKGROUND, dtype=torch.uint8)
        return [y[0, -1, -1] for y in self(plane.to(self.embed.weight.device))]

    def dynamic(self, reference: Tensor, box: TokenBox) -> list[Tensor]:
        """Embed only the part of a reference mask inside `box`.

        Parameters
        ----------
        reference : Tensor
            uint8 tensor (H, W); H and W are multiples of 16.
        box : TokenBox
            The box outside which every pixel is possible background, from `prompt_box`.

        Returns
        -------
        list of Tensor
            The embedding of the box at strides 2, 4, 8 and 16, without batch dimension.
        """
        return [y[0] for y in self(reference[box.slices(self.patch)][None])]


def prompt_box(reference: Tensor, patch: int) -> TokenBox:
    """Return the box of all pixels that are not possible background, grown by one token.

    Parameters
    ----------
    reference : Tensor
        uint8 tensor (H, W); H and W are multiples of `patch`.
    patch : int
        Side of a token in pixels.
    """
    height, width = reference.shape
    active = reference != int(Label.POSSIBLE_BACKGROUND)
    rows = active.any(1).nonzero()
    if not len(rows):
        return TokenBox(0, 0, 0, 0)
    columns = active[int(rows[0]) : int(rows[-1]) + 1].any(0).nonzero()
    return TokenBox(
        max(int(rows[0]) // patch - 1, 0),
        max(int(columns[0]) // patch - 1, 0),
        min(int(rows[-1]) // patch + 2, height // patch),
        min(int(columns[-1]) // patch + 2, width // patch),
    )
