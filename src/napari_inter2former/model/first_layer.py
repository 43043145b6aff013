"""What the decoder's first layer needs of a window and no click changes.

Away from clicks and borders a token's prompt is that of one label, so its queries, keys and values
are known before the click. Before the first click everything is unknown, and every token attends to
every other: the most expensive attention there is. A first click changes few tokens. For all others
only the changed keys' terms of the softmax sums differ.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .layers import rotate
from .reference_mask import Label

MOST_CHANGED = 1 / 16
"""Share of changed tokens above which attention is computed anew."""

LARGEST_SHARE = 0.5
"""Share of a token's softmax weights on changed keys above which its attention is computed anew:
a difference of nearly equal sums would lose digits."""


@dataclass(frozen=True)
class FirstLayer:
    """Queries, keys and values by label, and the attention while everything is unknown.

    Attributes
    ----------
    qkv : dict of Tensor
        By label: (N, 3, heads, head_dim), not rotated, of all tokens where this is the label of
        all their surroundings.
    x : Tensor
        (N, dim), the layer's input tokens where everything is unknown.
    attended : Tensor
        (N, heads, head_dim), full attention where everything is unknown.
    log_sums : Tensor
        (N, heads), base-2 logarithms of its sums of softmax weights.
    rotated : Tensor
        (2, heads, N, head_dim), its rotated queries and keys.
    table : tuple of Tensor
        Cosines and sines of the rotary embedding, (N, head_dim / 2) each.
    """

    qkv: dict[int, Tensor]
    x: Tensor
    attended: Tensor
    log_sums: Tensor
    rotated: Tensor
    table: tuple[Tensor, Tensor]

    @property
    def nbytes(self) -> int:
        """Memory in bytes."""
        tensors = (*self.qkv.values(), self.x, self.attended, self.log_sums, self.rotated)
        return sum(t.numel() * t.element_size() for t in tensors)

    def changed(self, x: Tensor, slots: Tensor) -> Tensor | None:
        """Return which tokens differ from those of an unknown mask; None if none do, or many.

        Parameters
        ----------
        x : Tensor
            (N, dim), the layer's input tokens.
        slots : Tensor
            (N,), the labels that the compiled prompt embedding found: it suffices to compare
            tokens that are not unknown as far as they see.
        """
        tokens = (slots != int(Label.UNKNOWN)).nonzero()[:, 0]
        tokens = tokens[(x[tokens] != self.x[tokens]).any(1)]
        return tokens if 0 < len(tokens) <= MOST_CHANGED * len(slots) else None

    def attend(self, to_qkv: Any, project: Any, attention: Any, x: Tensor, changed: Tensor) -> None:
        """Add the attention to tokens (N, dim), in place, of which `changed` are not unknown.

        With the layer's packed linear layers.
        """
        threads = torch.get_num_threads()
        heads, dim = attention.heads, attention.head_dim
        new = torch.empty(len(changed), 3, heads, dim)
        to_qkv.run(x[changed].numpy(), new.view(len(changed), -1).numpy(), False, threads)
        turned = self.table[0][changed], self.table[1][changed]
        value = self.qkv[int(Label.UNKNOWN)][:, 2].transpose(0, 1)  # (heads, N, dim)
        query, key = self.rotated.unbind()
        new_query, new_key, new_value = new.permute(1, 2, 0, 3)
        scale = math.log2(math.e) / math.sqrt(dim)
        base = self.log_sums.T[..., None]
        both = torch.cat((key[:, changed], rotate(new_key, turned)), 1)
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
        keys, everything = key.clone(), value.clone()
        keys[:, changed] = both[:, len(changed) :]
        everything[:, changed] = new_value
        queries = query[:, rows]
        queries[:, torch.searchsorted(rows, changed)] = rotate(new_query, turned)
        y[:, rows] = F.scaled_dot_product_attention(queries[None], keys[None], everything[None])[0]
        out = y.transpose(0, 1).reshape(len(x), -1)
        project.run(out.numpy(), x.numpy(), True, threads)
