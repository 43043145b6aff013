"""Grouped experts of HMoE (Inter2Former, section 3.6): compiled, and in plain PyTorch."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ._extension import instruction_set, native, required, warn_if_absent

LAYER_NORM_EPS = 1e-5

Weights = tuple[Tensor, Tensor, Tensor, Tensor]
"""Of experts; see `grouped_experts`."""


class PackedExperts:
    """The experts of one layer, packed once for this processor.

    A copy: later changes of the tensors are not seen. May be called from
    several threads at a time.

    Parameters
    ----------
    *weights : Tensor
        As for `grouped_experts`; float32, on the CPU.
    isa : str, optional
        Instruction set, one of `instruction_sets`; by default `instruction_set`.

    Raises
    ------
    ValueError
        For wrong shapes or dtypes, or an unavailable instruction set.
    RuntimeError
        Without the compiled extension.
    """

    def __init__(self, *weights: *Weights, isa: str | None = None) -> None:
        module = required("grouped_experts_plain")
        self._packed = module.PackedExperts(*map(as_array, weights), isa=isa or instruction_set())

    @property
    def isa(self) -> str:
        """The instruction set they are packed for."""
        return str(self._packed.isa)

    @property
    def nbytes(self) -> int:
        """Size of the packed copy in bytes."""
        return int(self._packed.nbytes)

    def __call__(self, x: Tensor, index: Tensor, *, threads: int | None = None) -> Tensor:
        """Apply expert ``index[t]`` to token ``x[t]``; see `grouped_experts`.

        The result is the same, bit for bit, whatever the number of threads and
        whatever the other tokens.
        """
        out = torch.empty(x.shape, dtype=torch.float32)
        threads = torch.get_num_threads() if threads is None else threads
        self._packed.run(as_array(x), as_array(index), out.numpy(), threads)
        return out

    def add(
        self,
        x: Tensor,
        tokens: Tensor,
        index: Tensor,
        scale: Tensor,
        out: Tensor,
        *,
        threads: int | None = None,
    ) -> None:
        """Add the weighted experts of some tokens: ``out[t] += scale[i] * expert(x[t])``.

        Sorting by expert (Eq. 19), gathering, weighting and scattering happen inside.

        Parameters
        ----------
        x : Tensor
            float32 (N, d), all tokens.
        tokens : Tensor
            int64 (n,), the tokens t to apply experts to, in ascending order.
        index : Tensor
            int64 (n,), their experts.
        scale : Tensor
            float32 (n,), their weights.
        out : Tensor
            float32 (N, d), contiguous; changed in place.
        threads : int, optional
            Most threads to use; by default PyTorch's number.

        Raises
        ------
        ValueError
            For wrong shapes or dtypes, or indices out of range or order.
        """
        threads = torch.get_num_threads() if threads is None else threads
        arrays = map(as_array, (x, tokens, index, scale))
        self._packed.add(*arrays, out.detach().numpy(), threads)


def grouped_experts(
    x: Tensor, index: Tensor, *weights: *Weights, threads: int | None = None
) -> Tensor:
    """Apply to each token the expert chosen for it (Inter2Former, Eq. 17 to 20).

    ``expert(x) = down @ LayerNorm(silu(gate @ x) * (up @ x))``, with eps 1e-5
    and no biases except LayerNorm's. Runs in the compiled extension for float32
    on the CPU when no gradient is asked for, and as `grouped_experts_plain`
    otherwise. The extension keeps packed copies of the weights it met last and
    recognises them by their contents, which costs one read of the weights;
    hold a `PackedExperts` where they are known not to change.

    Parameters
    ----------
    x : Tensor
        Floating point (N, d), one row per token; N may be 0.
    index : Tensor
        int64 (N,), the token's expert, in [0, E).
    *weights : Tensor
        ``gate_up`` (E, 2 h, d): the h gate rows, then the h up rows; ``norm_weight`` and
        ``norm_bias`` (E, h) of the LayerNorm; ``down`` (E, d, h).
    threads : int, optional
        Most threads that the extension may use; by default PyTorch's number.

    Returns
    -------
    Tensor
        (N, d), in the order of `x`.

    Raises
    ------
    ValueError
        For wrong shapes, dtypes or devices, or an index out of range.
    """
    _check(x, index, *weights)
    wants_gradient = torch.is_grad_enabled() and any(t.requires_grad for t in (x, *weights))
    on_cpu_in_float32 = x.device.type == "cpu" and all(
        t.dtype == torch.float32 for t in (x, *weights)
    )
    if wants_gradient or not on_cpu_in_float32:
        return grouped_experts_plain(x, index, *weights)
    isa = instruction_set()
    if isa == "none":
        warn_if_absent()
        return grouped_experts_plain(x, index, *weights)
    return _packed(weights, isa)(x, index, threads=threads)


def grouped_experts_plain(x: Tensor, index: Tensor, *weights: *Weights) -> Tensor:
    """Do what `grouped_experts` does, in differentiable PyTorch.

    The same parameters, result and errors, for every device and floating dtype.
    """
    _check(x, index, *weights)
    gate_up, norm_weight, norm_bias, down = weights
    experts, _, hidden = down.shape
    if not len(x):
        return x.clone()
    if int(index.min()) < 0 or int(index.max()) >= experts:
        raise ValueError(f"index must lie in [0, {experts})")
    order = torch.argsort(index, stable=True)  # Eq. 19
    counts = torch.bincount(index, minlength=experts).tolist()
    # unbind, not indexing: its backward pass writes each weight's gradient once.
    groups = zip(
        torch.split(x[order], counts),
        gate_up.unbind(),
        norm_weight.unbind(),
        norm_bias.unbind(),
        down.unbind(),
        strict=True,
    )
    results = []
    for tokens, gate_up_e, weight, bias, down_e in groups:
        if len(tokens):
            gate, up = F.linear(tokens, gate_up_e).chunk(2, -1)
            normal = F.layer_norm(F.silu(gate) * up, (hidden,), weight, bias, LAYER_NORM_EPS)
            results.append(F.linear(normal, down_e))
    return torch.cat(results)[torch.argsort(order)]


_PACKINGS_KEPT = 16
_packings: OrderedDict[object, PackedExperts] = OrderedDict()
_packings_lock = Lock()


def _packed(weights: Weights, isa: str) -> PackedExperts:
    """Pack the weights, or find their packing by what they contain.

    Their identity and PyTorch's version counts would not do: fused optimizers
    and ``tensor.data`` change weights without counting.
    """
    module = native()
    assert module is not None
    key = (isa, *((tuple(w.shape), module.fingerprint(as_array(w))) for w in weights))
    with _packings_lock:
        packed = _packings.pop(key, None) or PackedExperts(*weights, isa=isa)
        _packings[key] = packed  # the last one used is last
        if len(_packings) > _PACKINGS_KEPT:
            _packings.popitem(last=False)
    return packed


def as_array(tensor: Tensor) -> Any:
    """View a CPU tensor as a C-contiguous array."""
    return tensor.detach().contiguous().numpy()


def _check(x: Tensor, index: Tensor, *weights: *Weights) -> None:
    gate_up, norm_weight, norm_bias, down = weights
    if down.ndim != 3 or 0 in down.shape:
        raise ValueError(
            f"down must have shape (experts, width, hidden), none of them 0, not {_shape(down)}"
        )
    experts, width, hidden = down.shape
    expected = {
        "gate_up": (gate_up, (experts, 2 * hidden, width)),
        "norm_weight": (norm_weight, (experts, hidden)),
        "norm_bias": (norm_bias, (experts, hidden)),
        "x": (x, (len(x) if x.ndim else 0, width)),
        "index": (index, (len(x) if x.ndim else 0,)),
    }
    for name, (tensor, shape) in expected.items():
        if tensor.shape != shape:
            raise ValueError(f"{name} must have shape {shape}, not {_shape(tensor)}")
        if tensor.device != down.device:
            raise ValueError(f"{name} is on {tensor.device}, but down is on {down.device}")
    if index.dtype != torch.int64:
        raise ValueError(f"index must be int64, not {index.dtype}")
    dtypes = {tensor.dtype for tensor in (x, *weights)}
    mixed = len(dtypes) > 1 and not torch.is_autocast_enabled(x.device.type)
    if mixed or not all(dtype.is_floating_point for dtype in dtypes):
        raise ValueError(
            "x and the weights must have one floating dtype, not "
            + ", ".join(sorted(map(str, dtypes)))
        )


def _shape(tensor: Tensor) -> tuple[int, ...]:
    return tuple(tensor.shape)
