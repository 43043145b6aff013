"""Where objects lie, as far as the image tells without a click."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor, nn

from .layers import Conv

if TYPE_CHECKING:
    from .config import ModelConfig
    from .inter2former import ImageFeatures

STRIDE = 4
"""Pixels per position."""


class ObjectHead(nn.Module):
    """Predict of each position whether it lies on an object, on a border, and where the centre is.

    Parameters
    ----------
    config : ModelConfig
        Of the network whose features it sees.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.side = config.patch // STRIDE
        self.width = config.upsampling_channels[1]  # of the edge terms at stride 4
        self.expand = nn.Linear(config.dim, self.width * self.side**2)
        self.norm = nn.LayerNorm(self.width)
        self.mix = Conv(self.width, 32, 3, padding=1)
        self.out = nn.Linear(32, 4)

    def forward(self, features: ImageFeatures) -> Tensor:
        """Return foreground and border logits and two offsets, (B, H / 4, W / 4, 4).

        The offsets point to the object's centre, in units of the square root of its area.
        """
        b, h, w, _ = features.tokens.shape
        x = self.expand(features.tokens).view(b, h, w, self.side, self.side, self.width)
        x = x.permute(0, 1, 3, 2, 4, 5).reshape(b, h * self.side, w * self.side, self.width)
        x = F.silu(self.norm(x + features.edges[1]))
        maps: Tensor = self.out(F.silu(self.mix(x)))
        return maps
