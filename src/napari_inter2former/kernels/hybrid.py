"""A whole layer of HMoE at inference (Inter2Former, section 3.6), compiled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from ._extension import instruction_set, native, required
from .experts import as_array

T = TypeVar("T")

SAMPLED = 16
"""Of so many cache lines of a weight, one is looked at to notice changes nothing else tells of."""


class PackedHybridExperts:
    """The weights of one HMoE layer, packed once for this processor.

    A copy: later changes of the tensors are not seen. May be called from
    several threads at a time. Its plain twin is the layer in the model,
    `napari_inter2former.model.experts.HybridExperts`.

    Parameters
    ----------
    input_weight, input_bias : Tensor
        (d,), of the LayerNorm of the input.
    centroids : Tensor
        (E + 1, d), the shared expert's last (Eq. 16).
    bias : Tensor
        (E,), added to the scores when an expert is chosen.
    gate_up, norm_weight, norm_bias, down : Tensor
        As in `grouped_experts`, for E + 1 experts of which the last is the shared one.
    isa : str, optional
        Instruction set, one of `instruction_sets`; by default `instruction_set`.

    Raises
    ------
    ValueError
        For wrong shapes or dtypes (all are float32), or an unavailable instruction set.
    RuntimeError
        Without the compiled extension.
    """

    def __init__(
        self,
        input_weight: Tensor,
        input_bias: Tensor,
        centroids: Tensor,
        bias: Tensor,
        gate_up: Tensor,
        norm_weight: Tensor,
        norm_bias: Tensor,
        down: Tensor,
        *,
        isa: str | None = None,
    ) -> None:
        module = required("the layer itself")
        weights = (input_weight, input_bias, centroids, bias, gate_up, norm_weight, norm_bias, down)
        self._packed = module.PackedHybridExperts(
            *map(as_array, weights), isa=isa or instruction_set()
        )

    def __call__(
        self,
        tokens: Tensor,
        edge: Tensor,
        *,
        residual: bool = False,
        out: Tensor | None = None,
        threads: int | None = None,
    ) -> Tensor:
        """Apply the layer.

        The result is the same, bit for bit, whatever the number of threads and
        whatever the other tokens.

        Parameters
        ----------
        tokens : Tensor
            float32 (N, d), on the CPU.
        edge : Tensor
            bool (N,), the tokens that get a routed expert too.
        residual : bool
            Add the tokens to the result.
        out : Tensor, optional
            float32 (N, d), contiguous, not `tokens`: where to put the result.
        threads : int, optional
            Most threads to use; by default PyTorch's number.

        Returns
        -------
        Tensor
            (N, d).

        Raises
        ------
        ValueError
            For wrong shapes or dtypes.
        """
        if out is None:
            out = torch.empty(tokens.shape, dtype=torch.float32)
        threads = torch.get_num_threads() if threads is None else threads
        self._packed.run(as_array(tokens), as_array(edge), residual, out.numpy(), threads)
        return out


class WeightPacking(Generic[T]):
    """Keeps a module's weights packed for as long as they do not change.

    Neither copied nor saved with the module that holds it.
    """

    def __init__(self) -> None:
        self._kept: tuple[object, T] | None = None

    def kept(self, weights: Sequence[Tensor], pack: Callable[[], T]) -> T | None:
        """Return what `pack` makes of the weights, kept from the last time if they are the same.

        PyTorch counts most changes of a tensor. Those it does not (``tensor.data``, fused
        optimizers) alter whole tensors, so a sample of each one tells.

        Parameters
        ----------
        weights : sequence of Tensor
            All that the packing depends on.
        pack : callable
            Makes it.

        Returns
        -------
        T or None
            None where not all weights are float32 on the CPU.
        """
        if any(w.device.type != "cpu" or w.dtype != torch.float32 for w in weights):
            return None
        module = native()
        assert module is not None
        key = (instruction_set(), *(state(weight, module.fingerprint) for weight in weights))
        if self._kept is None or self._kept[0] != key:
            self._kept = key, pack()
        return self._kept[1]

    def usable(self, module: nn.Module) -> bool:
        """Whether a module is used in a way that compiled kernels can serve; forget it if not."""
        if module.training or torch.is_grad_enabled() or torch.is_autocast_enabled("cpu"):
            self.clear()
            return False
        return native() is not None

    def clear(self) -> None:
        """Free the packed weights."""
        self._kept = None

    def __reduce__(self) -> tuple[type[WeightPacking[T]], tuple[()]]:
        return type(self), ()


class HybridPacking(WeightPacking[PackedHybridExperts]):
    """Keeps an HMoE layer's weights packed."""

    def of(self, weights: Sequence[Tensor]) -> PackedHybridExperts | None:
        """Pack the arguments of `PackedHybridExperts`, unless they are those of the last time."""
        return self.kept(weights, lambda: PackedHybridExperts(*weights))


def state(weight: Tensor, fingerprint: Callable[[Any, int], int]) -> tuple[object, ...]:
    """Tell a weight from itself after a change."""
    counted = not weight.is_inference()
    version = weight._version if counted else 0
    sample = fingerprint(as_array(weight), SAMPLED if counted else 1)
    return tuple(weight.shape), weight.data_ptr(), version, sample
