"""How good a decoded mask is: a predicted IoU, after the head of Segment Anything (section 3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .config import ModelConfig

HIDDEN = 64

SURE_LOGIT = 1.0
"""Logits above this are counted as sure, and those above its negative as likely."""


class IoUHead(nn.Module):
    """Predict the IoU of a mask with the object that is meant.

    It sees the tokens' mean over the mask and over everything, and of the mask its size and its
    stability. Nothing is learned through it by the rest of the network.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(2 * config.dim)
        self.mlp = nn.Sequential(
            nn.Linear(2 * config.dim + 2, HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, 1)
        )

    def forward(self, tokens: Tensor, low_resolution: Tensor, logits: Tensor) -> Tensor:
        """Predict.

        Parameters
        ----------
        tokens : Tensor
            (B, h, w, dim), after the decoder's layers.
        low_resolution : Tensor
            (B, h, w), logits of the localisation branch.
        logits : Tensor
            (B, H, W), mask logits of any box that holds the mask.

        Returns
        -------
        Tensor
            (B,), logits of the predicted IoU.
        """
        mask = logits.detach().flatten(1)
        return self.predict(
            tokens, low_resolution, (mask > -SURE_LOGIT).sum(1), (mask > SURE_LOGIT).sum(1)
        )

    def predict(
        self, tokens: Tensor, low_resolution: Tensor, likely: Tensor, sure: Tensor
    ) -> Tensor:
        """Predict from how many logits, (B,), are above -1 and 1; see `forward`."""
        return self.judge(self.inputs(tokens, low_resolution, likely, sure))

    def inputs(
        self, tokens: Tensor, low_resolution: Tensor, likely: Tensor, sure: Tensor
    ) -> Tensor:
        """Return all that is looked at, (B, 2 dim + 2); see `predict`."""
        x, low = tokens.detach().flatten(1, 2), low_resolution.detach().flatten(1)
        weight = torch.sigmoid(low)[:, None]
        pooled = (weight @ x)[:, 0] / weight.sum(2).clamp_min(1e-3)
        size = 0.5 * torch.log1p(likely.to(x.dtype))
        stability = sure / likely.clamp_min(1)
        return torch.cat([pooled, x.mean(1), torch.stack([size, stability], 1)], 1)

    def judge(self, inputs: Tensor) -> Tensor:
        """Predict from `inputs`."""
        context = self.norm(inputs[:, :-2])
        result: Tensor = self.mlp(torch.cat([context, inputs[:, -2:]], 1))
        return result[:, 0]
