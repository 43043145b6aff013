"""An auxiliary task that teaches the encoder what objects are, before it is clicked at.

Each position predicts whether it lies on an object, whether on a border, and where its object's
centre is (in the spirit of Cellpose's and StarDist's targets). One crop teaches all its objects at
once, which a click can't. The head is part of networks that have an `ObjectHead`, and is dropped
after the training of others.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_inter2former.model.objects import STRIDE


class DenseTargets(NamedTuple):
    """What the head learns: bool maps (B, h, w), and offsets (B, h, w, 2)."""

    foreground: Tensor
    border: Tensor
    offsets: Tensor


def dense_targets(labels: Tensor) -> DenseTargets:
    """Compute the targets from label maps.

    Parameters
    ----------
    labels : Tensor
        int32 (B, H, W), 0 for background; sides are multiples of 4.

    Returns
    -------
    DenseTargets
        Offsets point to the centre of the object's visible part, in units of the square root of
        its area.
    """
    coarse = labels[:, STRIDE // 2 :: STRIDE, STRIDE // 2 :: STRIDE]
    x = coarse[:, None].float()
    border = (F.max_pool2d(x, 3, 1, 1) + F.max_pool2d(-x, 3, 1, 1) != 0)[:, 0]
    b, h, w = coarse.shape
    shift = torch.arange(b, device=labels.device)[:, None, None] * (int(labels.max()) + 1)
    _, index = torch.unique(coarse + shift, return_inverse=True)
    flat = index.flatten()
    rows = torch.arange(h, device=labels.device, dtype=torch.float32).view(1, h, 1).expand(b, h, w)
    columns = torch.arange(w, device=labels.device, dtype=torch.float32).expand(b, h, w)
    place = torch.stack((rows, columns), -1)
    area = torch.bincount(flat).float()
    centre = torch.stack([torch.bincount(flat, p.flatten()) for p in (rows, columns)], -1)
    centre = centre / area[:, None]
    offsets = (centre[index] - place) / area[index].sqrt()[..., None]
    return DenseTargets(coarse > 0, border, offsets)


def dense_loss(maps: Tensor, targets: DenseTargets) -> Tensor:
    """Return the auxiliary loss, a scalar."""
    foreground, border = targets.foreground, targets.border
    loss = F.binary_cross_entropy_with_logits(maps[..., 0], foreground.float())
    loss = loss + F.binary_cross_entropy_with_logits(maps[..., 1], border.float())
    if foreground.any():
        chosen = maps[foreground][:, 2:]
        loss = loss + F.smooth_l1_loss(chosen, targets.offsets[foreground], beta=0.1)
    return loss
