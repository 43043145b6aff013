"""Dynamic Hybrid Attention (DHA) and BSQ attention (BSQA) (Inter2Former, 3.4 and 3.5)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import ModelConfig
from .layers import Rope, rotate
from .precision import attention
from .reference_mask import Label


def edge_tokens(reference: Tensor, patch: int) -> Tensor:
    """Find the tokens that get full attention (Eq. 4).

    A pixel is an edge where the 7x7 neighbourhood in the reference mask varies, or where the
    mask is unknown; a token is an edge token if one of its pixels is. Variance is non-zero exactly
    where the largest and the smallest label differ, and the 49-pixel neighbourhoods of a token's
    pixels overlap, so it suffices to compare both over the token and three pixels around it.

    Parameters
    ----------
    reference : Tensor
        uint8 tensor (B, H, W); H and W are multiples of `patch`.
    patch : int
        Side of a token in pixels.

    Returns
    -------
    Tensor
        bool tensor (B, H / patch, W / patch).
    """
    x = reference[:, None].float()
    largest = F.max_pool2d(x, patch + 6, patch, 3)
    smallest = -F.max_pool2d(-x, patch + 6, patch, 3)
    unknown = F.max_pool2d((reference[:, None] == int(Label.UNKNOWN)).float(), patch)
    return ((largest != smallest) | (unknown > 0))[:, 0]


class BinarySphericalQuantizer(nn.Module):
    """Binary Spherical Quantization of keys (Eq. 11 to 14)."""

    def __init__(self, heads: int, head_dim: int, bits: int) -> None:
        super().__init__()
        self.bits = bits
        scale = head_dim**-0.5
        self.project = nn.Parameter(torch.randn(heads, head_dim, bits) * scale)
        self.base = nn.Parameter(torch.randn(2, heads, bits, head_dim) * scale)

    def forward(self, key: Tensor) -> tuple[Tensor, Tensor]:
        """Quantise keys for training (Eq. 14), with a straight-through gradient.

        Parameters
        ----------
        key : Tensor
            (B, heads, N, head_dim).

        Returns
        -------
        quantised : Tensor
            (B, heads, N, head_dim).
        commitment : Tensor
            Mean squared quantisation error, a scalar.
        """
        unit = F.normalize(key @ self.project, dim=-1)
        sign = torch.where(unit > 0, 1.0, -1.0) / self.bits**0.5
        commitment = F.mse_loss(unit, sign)
        quantised = unit + (sign - unit).detach()
        share = quantised * (self.bits**0.5 / 2) + 0.5
        return share @ self.base[1] + (1 - share) @ self.base[0], commitment

    def codes(self, key: Tensor) -> Tensor:
        """Return each key's codebook entry, int64 (heads, N), for keys (heads, N, head_dim)."""
        powers = 2 ** torch.arange(self.bits, device=key.device)
        return ((key @ self.project > 0) * powers).sum(-1)

    def codebook(self) -> Tensor:
        """Return all quantised keys, (heads, 2 ** bits, head_dim), in the order of the codes."""
        index = torch.arange(2**self.bits, device=self.base.device)[:, None]
        share = (index >> torch.arange(self.bits, device=index.device) & 1).to(self.base.dtype)
        return share @ self.base[1] + (1 - share) @ self.base[0]


class VectorQuantizer(nn.Module):
    """Nearest-neighbour vector quantisation of keys (Eq. 7), the paper's ablation of BSQ."""

    def __init__(self, heads: int, head_dim: int, bits: int) -> None:
        super().__init__()
        self.entries = nn.Parameter(torch.randn(heads, 2**bits, head_dim) * head_dim**-0.5)

    def forward(self, key: Tensor) -> tuple[Tensor, Tensor]:
        """Quantise keys (B, heads, N, head_dim) for training; see the binary quantiser."""
        index = torch.cdist(key.detach(), self.entries.detach()).argmin(-1)
        heads = torch.arange(len(self.entries), device=key.device)[:, None]
        nearest = self.entries[heads, index]
        # The codebook moves to the keys, and the keys commit to their entries.
        loss = F.mse_loss(key, nearest.detach()) + F.mse_loss(nearest, key.detach())
        return key + (nearest - key).detach(), loss

    def codes(self, key: Tensor) -> Tensor:
        """Return each key's codebook entry, int64 (heads, N), for keys (heads, N, head_dim)."""
        return torch.cdist(key, self.entries).argmin(-1)

    def codebook(self) -> Tensor:
        """Return the codebook, (heads, entries, head_dim)."""
        return self.entries


def codebook_attention(query: Tensor, codebook: Tensor, codes: Tensor, value: Tensor) -> Tensor:
    """Attend to quantised keys in linear time (Eq. 8 and 9).

    Parameters
    ----------
    query : Tensor
        (heads, M, head_dim).
    codebook : Tensor
        (heads, S, head_dim).
    codes : Tensor
        int64 (heads, N), the codebook entry of each key.
    value : Tensor
        (heads, N, head_dim).

    Returns
    -------
    Tensor
        (heads, M, head_dim), equal to softmax attention over ``codebook[codes]``.
    """
    heads, size, dim = codebook.shape
    flat = (codes + torch.arange(heads, device=codes.device)[:, None] * size).flatten()
    sums = value.new_zeros(heads * size, dim).index_add_(0, flat, value.flatten(0, 1))
    counts = torch.bincount(flat, minlength=heads * size).view(heads, size)
    used = counts.any(0)  # codes that are empty in every head cost nothing
    counts = counts[:, used].to(value.dtype)
    logits = query @ codebook[:, used].transpose(1, 2) * dim**-0.5
    logits = logits.masked_fill(counts[:, None] == 0, -torch.inf)
    weights: Tensor = (logits - logits.amax(-1, keepdim=True)).exp()
    total = (weights * counts[:, None]).sum(-1, keepdim=True)
    return weights @ sums.view(heads, size, dim)[:, used] / total


class HybridAttention(nn.Module):
    """DHA: full attention for edge tokens, BSQA for the rest (Eq. 5)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.heads, self.head_dim = config.attention_heads, config.head_dim
        self.mode = config.attention
        inner = self.heads * self.head_dim
        self.norm = nn.LayerNorm(config.dim)
        self.qkv = nn.Linear(config.dim, 3 * inner)
        self.project = nn.Linear(inner, config.dim)
        self.rope = Rope(self.head_dim, config.rope_ratio, config.rope_theta)
        kind = BinarySphericalQuantizer if config.quantizer == "bsq" else VectorQuantizer
        self.quantizer = kind(self.heads, self.head_dim, config.code_bits)

    def split(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values, each (..., heads, N, head_dim)."""
        qkv = self.qkv(self.norm(tokens)).unflatten(-1, (3, self.heads, self.head_dim))
        query, key, value = qkv.movedim(-3, 0).transpose(-3, -2)
        return query, key, value

    def choose(self, edge: Tensor) -> Tensor:
        """Return which tokens get full attention in this configuration."""
        if self.mode == "full":
            return torch.ones_like(edge)
        return torch.zeros_like(edge) if self.mode == "quantized" else edge

    def forward(self, tokens: Tensor, edge: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Attend by both schemes in full and choose (training, and the plain twin).

        Parameters
        ----------
        tokens : Tensor
            (B, N, dim).
        edge : Tensor
            bool (B, N).
        grid : tuple of int
            Height and width of the token grid, N = height * width.

        Returns
        -------
        update : Tensor
            (B, N, dim), to be added to the tokens.
        commitment : Tensor
            The quantiser's loss, a scalar.
        """
        query, key, value = self.split(tokens)
        edge = self.choose(edge)[:, None, :, None]
        commitment = tokens.new_zeros(())
        y = value.new_zeros(())
        if self.mode != "full":
            quantised, commitment = self.quantizer(key)
            y = attention(query, quantised, value)
        if self.mode != "quantized":
            table = self.rope.table(*grid, tokens.device)
            full = attention(rotate(query, table), rotate(key, table), value)
            y = torch.where(edge, full, y)
        return self.project(y.transpose(1, 2).flatten(2)), commitment

    def dynamic(self, tokens: Tensor, edge: Tensor, grid: tuple[int, int]) -> Tensor:
        """Attend by each token's own scheme only, at inference; `forward` without a batch.

        Returns
        -------
        Tensor
            (N, dim), to be added to the tokens.
        """
        query, key, value = self.split(tokens)
        full = self.choose(edge).nonzero()[:, 0]
        others = (~self.choose(edge)).nonzero()[:, 0]
        y = torch.empty_like(query)
        if len(full):
            cos, sin = self.rope.table(*grid, tokens.device)
            rotated = rotate(query[:, full], (cos[full], sin[full]))
            y[:, full] = F.scaled_dot_product_attention(
                rotated[None], rotate(key, (cos, sin))[None], value[None]
            )[0]
        if len(others):
            y[:, others] = codebook_attention(
                query[:, others], self.quantizer.codebook(), self.quantizer.codes(key), value
            )
        update: Tensor = self.project(y.transpose(0, 1).flatten(1))
        return update
