"""Small layers shared by the encoder and the decoder. Tensors are channels-last, (B, H, W, C)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Conv(nn.Conv2d):
    """A 2-D convolution on channels-last tensors of shape (B, H, W, C).

    Initialised so that the scale of activations survives a rectifier (He et al.).
    """

    def reset_parameters(self) -> None:
        """Draw new weights."""
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu")
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve `x`."""
        return super().forward(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class GroupNorm(nn.GroupNorm):
    """GroupNorm with one group on channels-last tensors (B, H, W, C)."""

    def __init__(self, channels: int) -> None:
        super().__init__(1, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise `x` over positions and channels."""
        return super().forward(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def upsampled_convolution(x: Tensor, weight: Tensor) -> Tensor:
    """Repeat every pixel 2 x 2 times, then convolve with 3 x 3 kernels, in one low-resolution step.

    Each of the four output pixels under an input pixel sees at most 2 x 2 input pixels, through
    kernels that are sums of the given one's rows and columns. The large upsampled input is never
    made.

    Parameters
    ----------
    x : Tensor
        (B, h, w, C).
    weight : Tensor
        (D, C, 3, 3).

    Returns
    -------
    Tensor
        (B, 2 h, 2 w, D); the same as a convolution, padded by 1, of the upsampled input.
    """
    taps = x.new_tensor([[[1, 0, 0], [0, 1, 1], [0, 0, 0]], [[0, 0, 0], [1, 1, 0], [0, 0, 1]]])
    kernels = torch.einsum("ayi,dcij,bxj->abdcyx", taps, weight, taps)
    b, h, w, _ = x.shape
    d = len(weight)
    y = F.conv2d(x.permute(0, 3, 1, 2), kernels.flatten(0, 2), padding=1)
    y = y.permute(0, 2, 3, 1).view(b, h, w, 2, 2, d)
    return y.permute(0, 1, 3, 2, 4, 5).reshape(b, 2 * h, 2 * w, d)


def resize(x: Tensor, height: int, width: int) -> Tensor:
    """Resize (B, H, W, C) bilinearly."""
    y = F.interpolate(x.permute(0, 3, 1, 2), (height, width), mode="bilinear", align_corners=False)
    return y.permute(0, 2, 3, 1)


def shrink(x: Tensor, height: int, width: int) -> Tensor:
    """Resize (B, H, W, C) by averaging, without aliasing."""
    return F.adaptive_avg_pool2d(x.permute(0, 3, 1, 2), (height, width)).permute(0, 2, 3, 1)


class Rope(nn.Module):
    """Two-dimensional rotary position embedding.

    Parameters
    ----------
    head_dim : int
        Dimensions of a head; a multiple of 4.
    ratio : float
        Share of the rotated pairs that encode rows; the rest encode columns.
    theta : float
        Base of the geometric series of wavelengths.
    """

    def __init__(self, head_dim: int, ratio: float, theta: float) -> None:
        super().__init__()
        pairs = head_dim // 2
        rows = round(pairs * ratio)
        self.rows, self.columns = rows, pairs - rows
        self.theta = theta

    def table(self, height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return cosine and sine tables of shape (height * width, head_dim // 2)."""

        def angles(length: int, count: int) -> Tensor:
            exponent = torch.arange(count, device=device) / max(count, 1)
            return torch.arange(length, device=device)[:, None] / self.theta**exponent

        row = angles(height, self.rows)[:, None].expand(-1, width, -1)
        column = angles(width, self.columns)[None].expand(height, -1, -1)
        angle = torch.cat((row, column), -1).flatten(0, 1)
        return angle.cos(), angle.sin()


def rotate(x: Tensor, table: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate the pairs of `x`, (..., N, head_dim), by a table of `Rope`."""
    cos, sin = table
    a, b = x.chunk(2, -1)
    if torch.is_grad_enabled():
        return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)
    # At inference one tensor is written, in place.
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    first, second = out.chunk(2, -1)
    torch.mul(a, cos, out=first).addcmul_(b, sin, value=-1)
    torch.mul(b, cos, out=second).addcmul_(a, sin)
    return out
