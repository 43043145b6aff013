"""The encoder: HRSAM++ without state-space layers, and its patch embeddings.

A ViT with plain and shifted attention windows, run on the image and on a smaller copy of it (the
anchor map), whose intermediate outputs are fused into one grid of tokens (Inter2Former, section
3.2; HRSAM's Flash Swin and multi-scale fusion).
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import ModelConfig
from .layers import Conv, Rope, resize, rotate, shrink
from .precision import Precision, attention, products_in


class LinearStem(nn.Module):
    """ViT's patch embedding: one linear map per patch of 16 x 16 pixels."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.project = Conv(3, config.encoder_dim, config.patch, config.patch)

    def forward(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Embed (B, H, W, 3); there are no finer features to return."""
        return self.project(image), []


class ResidualConv(nn.Module):
    """Normalise, activate, convolve, and add to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.conv = Conv(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Transform (B, H, W, channels)."""
        y: Tensor = x + self.conv(F.silu(self.norm(x)))
        return y


class ConvStem(nn.Module):
    """A convolutional patch embedding that also yields features at strides 1, 2, 4 and 8."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        channels = config.stem_channels
        self.first = Conv(3, channels[0], 3, padding=1)
        self.stages = nn.ModuleList(
            nn.Sequential(Conv(a, b, 3, 2, padding=1), *(ResidualConv(b) for _ in range(depth)))
            for (a, b), depth in zip(pairwise(channels), config.stem_depth, strict=True)
        )
        self.project = Conv(channels[-1], config.encoder_dim, 3, 2, padding=1)

    def forward(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Embed (B, H, W, 3); also return the features at strides 1, 2, 4, 8."""
        x = F.silu(self.first(image))
        levels = [x]
        for stage in self.stages:
            x = stage(x)
            levels.append(x)
        return self.project(F.silu(x)), levels


class Block(nn.Module):
    """A transformer block with attention inside windows.

    A grid that is longer than a window is cut into windows, shifted by half a window in every
    other block; what is missing in the outer windows is filled with a learned padding token.
    """

    def __init__(self, config: ModelConfig, shifted: bool) -> None:
        super().__init__()
        dim = config.encoder_dim
        self.heads, self.side, self.shifted = config.encoder_heads, config.window_tokens, shifted
        self.rope = Rope(dim // self.heads, config.rope_ratio, config.rope_theta)
        self.norm1 = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.padding = nn.Parameter(torch.zeros(dim))
        self.project = nn.Linear(dim, dim)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        """Transform tokens of shape (B, h, w, encoder_dim)."""
        x = x + self.project(self.attend(self.norm1(x)))
        y: Tensor = x + self.mlp(self.norm2(x))
        return y

    def attend(self, x: Tensor) -> Tensor:
        """Return windowed self-attention of (B, h, w, C), without the output projection."""
        b, h, w, c = x.shape
        rows, top, bottom = self.windows(h)
        columns, left, right = self.windows(w)
        qkv = self.qkv(x)
        if top or bottom or left or right:
            padding = self.qkv(self.padding)
            # Pad with zeros and add the padding token there: no copy per side.
            inside = F.pad(torch.ones_like(qkv[:1, ..., :1]), (0, 0, left, right, top, bottom))
            qkv = F.pad(qkv, (0, 0, left, right, top, bottom)) + (1 - inside) * padding
        p, q = qkv.shape[1] // rows, qkv.shape[2] // columns
        windows = qkv.view(b, p, rows, q, columns, 3, self.heads, c // self.heads)
        query, key, value = windows.permute(5, 0, 1, 3, 6, 2, 4, 7).flatten(1, 3).flatten(3, 4)
        table = self.rope.table(rows, columns, x.device)
        y = attention(rotate(query, table), rotate(key, table), value)
        y = y.view(b, p, q, self.heads, rows, columns, -1).permute(0, 1, 4, 2, 5, 3, 6)
        y = y.reshape(b, p * rows, q * columns, c)
        return y[:, top : top + h, left : left + w]

    def windows(self, length: int) -> tuple[int, int, int]:
        """Return the window length along an axis, and the padding before and after it."""
        if length <= self.side:
            return length, 0, 0
        before = self.side // 2 if self.shifted else 0
        return self.side, before, -(length + before) % self.side


class Encoder(nn.Module):
    """Image to tokens: `F = Encoder(I)`."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.anchor = config.anchor
        self.patch = config.patch
        dim, depth = config.encoder_dim, config.encoder_depth
        self.stem = ConvStem(config) if config.stem == "conv" else LinearStem(config)
        self.blocks = nn.ModuleList(Block(config, shifted=i % 2 == 1) for i in range(depth))
        self.every = depth // 4
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(4))
        self.merge = nn.ModuleList(nn.Linear(2 * dim, config.dim, bias=False) for _ in range(4))
        self.merge_norms = nn.ModuleList(nn.LayerNorm(config.dim) for _ in range(4))
        self.smooth = Conv(config.dim, config.dim, 3, padding=1, groups=config.dim)
        with torch.no_grad():
            self.smooth.weight[:, 0, 1, 1] += 1  # start near the identity
        self.norm = nn.LayerNorm(config.dim)

    def anchor_shape(self, height: int, width: int) -> tuple[int, int]:
        """Return the anchor map's size: whole tokens, at most half the image where that can be."""
        longest = max(height, width)
        scale = min(self.anchor, max(longest // 2, self.patch)) / longest

        def whole(length: int) -> int:
            return max(round(length * scale / self.patch), 1) * self.patch

        return whole(height), whole(width)

    def forward(self, image: Tensor, precision: Precision = "fp32") -> tuple[Tensor, list[Tensor]]:
        """Encode images.

        Parameters
        ----------
        image : Tensor
            float tensor (B, H, W, 3), roughly in [-1, 1]; H and W are multiples of 16.
        precision : {"fp32", "bf16"}
            Of the blocks' products; see `encoder_precision`.

        Returns
        -------
        tokens : Tensor
            (B, H / 16, W / 16, dim).
        levels : list of Tensor
            Features of a convolutional stem at strides 1, 2, 4, 8; empty for a linear one.
        """
        x, levels = self.stem(image)
        y, _ = self.stem(shrink(image, *self.anchor_shape(*image.shape[1:3])))
        h, w = x.shape[1:3]
        fused = torch.zeros((), device=x.device)
        for i, block in enumerate(self.blocks, start=1):
            with products_in(precision):
                x, y = block(x), block(y)
            if i % self.every == 0:
                j = i // self.every - 1
                norm = self.norms[j]
                both = torch.cat((norm(x), resize(norm(y), h, w)), -1)
                fused = fused + self.merge_norms[j](self.merge[j](both))
        return self.norm(self.smooth(fused)), levels
