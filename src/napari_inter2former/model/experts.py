"""Hybrid Mixture of Experts (HMoE) (Inter2Former, 3.6)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_inter2former import kernels
from napari_inter2former.kernels import HybridPacking, PackedHybridExperts

from .config import ModelConfig

BALANCE_STEP = 1e-3
"""How far a step of training moves the balancing biases (DeepSeek-V3's scheme)."""


class HybridExperts(nn.Module):
    """HMoE: a shared expert for all tokens, one routed expert more for edge tokens.

    An expert is a SwiGLU with a LayerNorm before its last projection.
    """

    counts: Tensor
    bias: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim, hidden = config.dim, config.expert_hidden // config.experts
        total = config.experts + 1  # the shared expert is the last one
        self.norm = nn.LayerNorm(dim)
        self.centroids = nn.Parameter(torch.randn(total, dim) * dim**-0.5)
        self.gate_up = nn.Parameter(torch.randn(total, 2 * hidden, dim) * dim**-0.5)
        self.norm_weight = nn.Parameter(torch.ones(total, hidden))
        self.norm_bias = nn.Parameter(torch.zeros(total, hidden))
        self.down = nn.Parameter(torch.randn(total, dim, hidden) * hidden**-0.5 * 0.5)
        self.register_buffer("bias", torch.zeros(config.experts))
        self.register_buffer("counts", torch.zeros(config.experts), persistent=False)
        self._packing = HybridPacking()

    def route(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Choose a routed expert for each token (Eq. 16 to 18).

        Returns
        -------
        index : Tensor
            int64 (N,), the chosen expert. The balancing bias counts for the choice only.
        weight : Tensor
            (N, 1), the routed expert's share; the shared one gets the rest.
        """
        scores = torch.sigmoid(x @ self.centroids.T)
        index = (scores[:, :-1] + self.bias).argmax(-1)
        chosen = scores.gather(1, index[:, None])
        # Softmax over two scores is the sigmoid of their difference.
        return index, torch.sigmoid(chosen - scores[:, -1:])

    def forward(self, tokens: Tensor, edge: Tensor, *, residual: bool = False) -> Tensor:
        """Apply the experts; at inference on the CPU in float32 by the compiled layer.

        Parameters
        ----------
        tokens : Tensor
            (N, dim).
        edge : Tensor
            bool (N,).
        residual : bool
            Add the tokens to the result.

        Returns
        -------
        Tensor
            (N, dim), to be added to the tokens unless they are already.
        """
        packed = self._packed(tokens)
        if packed is not None:
            return packed(tokens, edge, residual=residual)
        update = self.plain(tokens, edge)
        return tokens + update if residual else update

    @property
    def weights(self) -> tuple[Tensor, ...]:
        """What `kernels.PackedHybridExperts` is made of, in its order."""
        return (
            self.norm.weight,
            self.norm.bias,
            self.centroids,
            self.bias,
            self.gate_up,
            self.norm_weight,
            self.norm_bias,
            self.down,
        )

    def _packed(self, tokens: Tensor) -> PackedHybridExperts | None:
        """Return the compiled layer where it may be used."""
        tensors = (tokens, *self.weights)
        wants_gradient = torch.is_grad_enabled() and any(t.requires_grad for t in tensors)
        if self.training or wants_gradient:
            self._packing.clear()
            return None
        if torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu"):
            return None
        if any(t.device.type != "cpu" or t.dtype != torch.float32 for t in tensors):
            return None
        if not kernels.native_available():
            kernels.warn_if_absent()
            return None
        return self._packing.of(self.weights)

    def plain(self, tokens: Tensor, edge: Tensor) -> Tensor:
        """Compute `forward` in differentiable PyTorch, without the residual."""
        x = self.norm(tokens)
        gate, up = (x @ self.gate_up[-1].T).chunk(2, -1)
        hidden = F.layer_norm(
            F.silu(gate) * up, self.norm_weight.shape[1:], self.norm_weight[-1], self.norm_bias[-1]
        )
        y = hidden @ self.down[-1].T
        chosen = edge.nonzero()[:, 0]
        if not len(chosen):
            return y
        routed_tokens = x[chosen]
        index, weight = self.route(routed_tokens)
        if self.training:
            with torch.no_grad():
                self.counts += torch.bincount(index, minlength=len(self.bias))
        routed = kernels.grouped_experts(
            routed_tokens,
            index,
            self.gate_up[:-1],
            self.norm_weight[:-1],
            self.norm_bias[:-1],
            self.down[:-1],
        )
        shared = y[chosen]
        return y.index_copy(0, chosen, (shared + weight * (routed - shared)).to(y.dtype))

    @torch.no_grad()
    def balance(self) -> None:
        """Move the balancing biases towards equal load, after a step of training."""
        self.bias += BALANCE_STEP * torch.sign(self.counts.mean() - self.counts)
        self.counts.zero_()
