"""The first layer's attention before the first click, and what a first click changes of it.

Before the first click everything is unknown, so every token attends to every other: the most
expensive attention there is. A first click changes few tokens. For all others only the changed
keys' terms of the softmax sums differ.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .layers import rotate

if TYPE_CHECKING:
    from .fast_decoder import FastDecoder

MOST_CHANGED = 1 / 16
"""Share of changed tokens above which attention is computed anew."""

LARGEST_SHARE = 0.5
"""Share of a token's softmax weights on changed keys above which its attention is computed anew:
a difference of nearly equal sums would lose digits."""


@dataclass(frozen=True)
class UnknownAttention:
    """Full attention of one head or more, with the logarithm of its softmax sums.

    Attributes
    ----------
    x : Tensor
        (N, dim), the layer's input tokens.
    qkv : Tensor
        (N, 3, heads, head_dim), not rotated.
    attended : Tensor
        (N, heads, head_dim), their attention.
    log_sums : Tensor
        (N, heads), base-2 logarithms of the sums of softmax weights.
    table : list of Tensor
        Cosines and sines of the rotary embedding, (N, head_dim / 2) each.
    """

    x: Tensor
    qkv: Tensor
    attended: Tensor
    log_sums: Tensor
    table: list[Tensor]

    @property
    def nbytes(self) -> int:
        """Memory in bytes."""
        tensors = (self.x, self.qkv, self.attended, self.log_sums)
        return sum(t.numel() * t.element_size() for t in tensors)

    def changed(self, x: Tensor) -> Tensor | None:
        """Return the numbers of the tokens that differ from `x`; None if they are many."""
        if x.shape != self.x.shape:
            return None
        tokens = (x != self.x).any(1).nonzero()[:, 0]
        return tokens if 0 < len(tokens) <= MOST_CHANGED * len(x) else None

    def attend(
        self, decoder: FastDecoder, attention: Any, x: Tensor, changed: Tensor, threads: int
    ) -> None:
        """Add the attention to tokens (N, dim), in place, of which `changed` differ."""
        to_qkv, _, project = decoder.attentions[0]
        heads, dim = attention.heads, attention.head_dim
        new = torch.empty(len(changed), 3, heads, dim)
        to_qkv.run(x[changed].numpy(), new.view(len(changed), -1).numpy(), False, threads)
        cos, sin = self.table
        turned = cos[changed], sin[changed]
        query, key, value = self.qkv.permute(1, 2, 0, 3)  # (heads, N, dim) each
        new_query, new_key, new_value = new.permute(1, 2, 0, 3)
        query = rotate(query, (cos, sin))
        scale = math.log2(math.e) / math.sqrt(dim)
        base = self.log_sums.T[..., None]
        both = torch.cat((rotate(key[:, changed], turned), rotate(new_key, turned)), 1)
        weights = torch.exp2(torch.baddbmm(-base, query, both.mT, alpha=scale))
        old, now = weights.chunk(2, -1)
        lost = old.sum(-1, keepdim=True)
        values = torch.cat((-value[:, changed], new_value), 1)
        y = (self.attended.transpose(0, 1) + weights @ values) / (
            1 - lost + now.sum(-1, keepdim=True)
        )
        again = (lost[..., 0] > LARGEST_SHARE).any(0)
        again[changed] = True
        rows = again.nonzero()[:, 0]
        keys, everything = rotate(key, (cos, sin)), value.clone()
        keys[:, changed] = both[:, len(changed) :]
        everything[:, changed] = new_value
        query[:, changed] = rotate(new_query, turned)
        y[:, rows] = F.scaled_dot_product_attention(
            query[None, :, rows], keys[None], everything[None]
        )[0]
        out = y.transpose(0, 1).reshape(len(x), -1)
        project.run(out.numpy(), x.numpy(), True, threads)
