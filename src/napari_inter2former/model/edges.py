"""Edge features for the upsampling: CannyNet, or laterals of the convolutional stem (3.7)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import ModelConfig
from .layers import Conv

CANNY_THRESHOLDS = ((20, 60), (40, 120), (60, 180), (100, 200), (150, 300))
"""Hysteresis thresholds of the five Canny maps, on 8-bit images."""


def canny_maps(image: Tensor) -> Tensor:
    """Compute five binary Canny maps per image, l2-normalised over the maps (Eq. 23).

    Parameters
    ----------
    image : Tensor
        float tensor (B, H, W, 3) in [0, 1].

    Returns
    -------
    Tensor
        float tensor (B, H, W, 5).
    """
    if image.is_meta:  # shapes only
        return image.new_empty(*image.shape[:3], len(CANNY_THRESHOLDS))
    eight_bit = (image.detach().clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
    maps = np.stack(
        [
            np.stack([cv2.Canny(picture, low, high) for low, high in CANNY_THRESHOLDS], -1)
            for picture in eight_bit
        ]
    )
    return F.normalize(torch.from_numpy(maps).to(image.device).float() / 255, dim=-1)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut (ResNet's basic block)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(2))
        self.convs = nn.ModuleList(Conv(channels, channels, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """Transform (B, H, W, channels)."""
        y = self.convs[0](F.relu(self.norms[0](x)))
        z: Tensor = x + self.convs[1](F.relu(self.norms[1](y)))
        return z


class CannyNet(nn.Module):
    """Edge features from Canny maps: residual blocks at strides 1, 2, 4 and 8."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        channels = (*reversed(config.upsampling_channels), config.dim)
        self.first = Conv(len(CANNY_THRESHOLDS), channels[0], 3, padding=1)
        self.down = nn.ModuleList(Conv(a, b, 3, 2, padding=1) for a, b in pairwise(channels))
        self.stages = nn.ModuleList(
            nn.Sequential(ResidualBlock(c), ResidualBlock(c)) for c in channels
        )
        laterals = [nn.Linear(c, c) for c in channels]
        for lateral in laterals:
            nn.init.zeros_(lateral.weight)
            nn.init.zeros_(lateral.bias)
        self.laterals = nn.ModuleList(laterals)

    def forward(self, image: Tensor, levels: Sequence[Tensor]) -> list[Tensor]:
        """Return edge features at strides 8, 4, 2, 1 of images (B, H, W, 3) in [0, 1]."""
        x = self.first(canny_maps(image))
        features = []
        for i, (stage, lateral) in enumerate(zip(self.stages, self.laterals, strict=True)):
            x = stage(x if i == 0 else self.down[i - 1](x))
            features.append(lateral(x))
        return features[::-1]


class StemEdges(nn.Module):
    """Edge features from the convolutional stem: a norm and a linear map per level."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        outputs = (*reversed(config.upsampling_channels), config.dim)
        self.laterals = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(a), nn.Linear(a, b))
            for a, b in zip(config.stem_channels, outputs, strict=True)
        )

    def forward(self, image: Tensor, levels: Sequence[Tensor]) -> list[Tensor]:
        """Return edge features at strides 8, 4, 2, 1 from the stem's at 1, 2, 4, 8."""
        return [lateral(level) for lateral, level in zip(self.laterals, levels, strict=True)][::-1]

    def terms(self, levels: Sequence[Tensor], convs: nn.ModuleList) -> list[Tensor]:
        """Return what `convs` make of `forward`'s features, each pair of linear maps as one.

        The widest tensors of the image, the features between the two maps, are never made.

        Parameters
        ----------
        levels : sequence of Tensor
            The stem's features at strides 1, 2, 4, 8.
        convs : nn.ModuleList
            Of nn.Conv2d: 3 x 3 convolutions, padded by 1, for strides 8, 4, 2, 1.
        """
        terms = []
        for level, (norm, weight, bias, constant) in zip(
            levels, self.as_convolutions(convs), strict=True
        ):
            term = F.conv2d(norm(level).permute(0, 3, 1, 2), weight, bias, padding=1)
            term = term.permute(0, 2, 3, 1)
            correct_border(term, constant)
            terms.append(term)
        return terms[::-1]

    def as_convolutions(
        self, convs: nn.ModuleList
    ) -> list[tuple[nn.Module, Tensor, Tensor, Tensor]]:
        """Return, for strides 1, 2, 4, 8, the norm and the one convolution behind it.

        Returns
        -------
        list of tuple
            Norm, weight (D, C, 3, 3), bias (D,), and (3, 3, D): what each tap makes of the linear
            map's bias, for `correct_border`.
        """
        found = []
        for lateral, conv in zip(self.laterals, reversed(list(convs)), strict=True):
            assert isinstance(lateral, nn.Sequential)
            assert isinstance(conv, nn.Conv2d)
            assert conv.bias is not None
            norm, linear = lateral
            weight = torch.einsum("ocyx,ci->oiyx", conv.weight, linear.weight)
            taps = torch.einsum("ocyx,c->yxo", conv.weight, linear.bias)
            found.append((norm, weight, conv.bias + taps.sum((0, 1)), taps))
        return found


def correct_border(term: Tensor, taps: Tensor) -> None:
    """Take from a convolved constant what would lie beyond the border, in place.

    Parameters
    ----------
    term : Tensor
        (B, H, W, D), to which the sum of all taps was added.
    taps : Tensor
        (3, 3, D), what each tap makes of the constant.
    """
    rows, columns = taps.sum(1), taps.sum(0)
    term[:, 0] -= rows[0]
    term[:, -1] -= rows[2]
    term[:, :, 0] -= columns[0]
    term[:, :, -1] -= columns[2]
    for i, j in ((0, 0), (0, 2), (2, 0), (2, 2)):
        term[:, i and -1, j and -1] += taps[i, j]
