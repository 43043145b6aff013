"""What products are computed in: fp32, or bf16 where the processor has units for it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_inter2former.errors import SettingsError

__all__ = ["Precision", "attention", "encoder_precision", "products_in"]

Precision = Literal["bf16", "fp32"]


def encoder_precision(device: torch.device | str = "cpu") -> Precision:
    """Tell what an encoder computes in at inference, and a network that is trained.

    The products of an encoder's blocks, that is, and in training those of all layers; everything
    else is fp32, and so is all that an encoder hands on.

    Parameters
    ----------
    device : torch.device or str
        Where the network is; fp32 on all but the CPU.

    Returns
    -------
    str
        "bf16" on processors with AMX, "fp32" on others, or what the environment variable
        ``INTER2FORMER_PRECISION`` names. PyTorch multiplies in bf16 on every processor, but without
        AMX no faster.

    Raises
    ------
    SettingsError
        If ``INTER2FORMER_PRECISION`` names anything else.
    """
    wanted = os.environ.get("INTER2FORMER_PRECISION") or "auto"
    if wanted not in ("auto", "bf16", "fp32"):
        raise SettingsError(
            f"INTER2FORMER_PRECISION={wanted} is not known; unset it or choose auto, bf16 or fp32."
        )
    if torch.device(device).type != "cpu":
        return "fp32"
    if wanted == "auto":
        return "bf16" if _has_amx() else "fp32"
    return "bf16" if wanted == "bf16" else "fp32"


def products_in(precision: Precision) -> AbstractContextManager[object]:
    """Run linear layers and attention on the CPU in a precision, inside a ``with`` statement.

    Norms and softmax stay in fp32, and so does what products in bf16 are added to.
    """
    return torch.autocast("cpu", torch.bfloat16) if precision == "bf16" else nullcontext()


def attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Return softmax attention, in the precision round it, or in fp32 to be learned from.

    On CPUs, PyTorch goes back through attention in bf16 several times slower than in fp32.
    """
    if not (torch.is_grad_enabled() and torch.is_autocast_enabled("cpu")):
        return F.scaled_dot_product_attention(query, key, value)
    with torch.autocast("cpu", enabled=False):
        query, key, value = (x.float() for x in (query, key, value))
        return F.scaled_dot_product_attention(query, key, value)


def _has_amx() -> bool:
    """Whether the processor multiplies bf16 tiles, and PyTorch can; older ones do not tell."""
    capabilities: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("amx_bf16")) and torch.backends.mkldnn.is_available()
