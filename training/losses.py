"""Losses: the normalised focal loss and its companions."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

COMMITMENT_WEIGHT = 0.25


def mask_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Half a normalised focal loss, a cross-entropy and a Dice loss.

    The normalised focal loss (RITM, gamma 2) keeps the focal loss's weights but lets them sum to
    one per mask, so that the gradient doesn't fade as masks get better. The cross-entropy
    calibrates, the Dice loss follows the IoU.

    Parameters
    ----------
    logits : Tensor
        (B, H, W).
    targets : Tensor
        bool (B, H, W).

    Returns
    -------
    Tensor
        (B,), one loss per mask.
    """
    logits = logits.flatten(1).float()
    truth = targets.flatten(1).float()
    entropy = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    probability = torch.sigmoid(logits)
    miss = (probability - truth).abs()  # 1 - p_t
    with torch.no_grad():
        weight = miss * miss
        weight = weight / weight.sum(1, keepdim=True).clamp_min(1e-6)
    focal = (weight * entropy).sum(1)
    overlap = 2 * (probability * truth).sum(1) + 1
    dice = 1 - overlap / (probability.sum(1) + truth.sum(1) + 1)
    return 0.5 * focal + entropy.mean(1) + dice


def pool_targets(targets: Tensor, patch: int) -> Tensor:
    """Return which tokens hold any of the object, bool (B, H / patch, W / patch)."""
    return F.max_pool2d(targets[:, None].float(), patch)[:, 0] > 0
