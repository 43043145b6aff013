"""Muon for the network's weight matrices, AdamW for all else.

Muon (K. Jordan and others, "Muon: An optimizer for hidden layers in neural networks", 2024) moves
a matrix along its momentum with all singular values set to about one. `torch.optim.Muon` takes
matrices one by one, in bfloat16, which processors without units for it only emulate; here those
of one shape are taken together, in the loop's precision, and the processes of a run share the
work.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from napari_inter2former.training.parallel import add_up, own_share

OPTIMIZERS = ("muon", "adamw")
SMALLEST_SIDE = 16
"""Matrices with fewer rows or columns (embeddings, outputs, depthwise kernels) go to AdamW."""


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised, with decoupled weight decay.

    Parameters
    ----------
    parameters : iterable of Parameter
        Matrices (rows, columns), convolutions (rows, channels, height, width) that are taken as
        matrices of so many rows, or stacks of matrices (K, rows, columns).
    learning_rate : float
        On AdamW's scale: a step's root mean square is 0.2 times it, about that of a step of
        AdamW (J. Liu and others, "Muon is scalable for LLM training", 2025, section 2.2).
    weight_decay : float
        Per step, times the learning rate.
    momentum : float
        Decay per step of the gradients' moving average.
    """

    def __init__(
        self,
        parameters: Iterable[Parameter],
        learning_rate: float,
        weight_decay: float,
        momentum: float = 0.95,
    ) -> None:
        defaults = {"lr": learning_rate, "weight_decay": weight_decay, "momentum": momentum}
        super().__init__(parameters, defaults)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Take a step. `closure` is not called."""
        for group in self.param_groups:
            stacks = defaultdict[tuple[int, int], list[Parameter]](list)
            directions = {}
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                average = self.state[parameter].setdefault("exp_avg", torch.zeros_like(parameter))
                average.lerp_(parameter.grad, 1 - group["momentum"])
                stack = as_matrices(parameter.grad.lerp(average, group["momentum"]))  # Nesterov's
                directions[parameter] = stack
                stacks[stack.shape[1], stack.shape[2]].append(parameter)
            for (rows, columns), members in stacks.items():
                found = orthogonal_in_parts(torch.cat([directions[p] for p in members]))
                scale = 0.2 * max(rows, columns) ** 0.5
                sizes = [len(directions[p]) for p in members]
                for parameter, update in zip(members, found.split(sizes), strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.add_(update.view_as(parameter), alpha=-group["lr"] * scale)


def as_matrices(weights: Tensor) -> Tensor:
    """Return weights as a stack of matrices (K, rows, columns)."""
    return weights if weights.ndim == 3 else weights.flatten(1)[None]


def orthogonal_in_parts(stack: Tensor) -> Tensor:
    """Return `orthogonal(stack)`, of which each process computes a share."""
    share = own_share(len(stack))
    result = torch.zeros_like(stack)
    if len(stack[share]):
        result[share] = orthogonal(stack[share])
    add_up(result)
    return result


def orthogonal(stack: Tensor) -> Tensor:
    """Return matrices with the same singular vectors, and singular values near one.

    Five Newton-Schulz iterations with Muon's quintic, whose values end between about 0.7 and 1.2.

    Parameters
    ----------
    stack : Tensor
        Matrices (K, rows, columns).
    """
    upright = stack.shape[1] > stack.shape[2]
    x = stack.mT if upright else stack
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp_min(1e-12)
    for _ in range(5):
        gram = x @ x.mT
        quadratic = torch.baddbmm(gram, gram, gram, beta=-4.7750, alpha=2.0315)
        x = torch.baddbmm(x, quadratic, x, beta=3.4445)
    return x.mT if upright else x


def optimizers(
    parameters: Iterable[Parameter], kind: str, learning_rate: float, weight_decay: float
) -> list[torch.optim.Optimizer]:
    """Return the optimizers of a network's parameters.

    Parameters
    ----------
    parameters : iterable of Parameter
        All that is learned.
    kind : str
        ``"muon"``, or ``"adamw"`` for AdamW alone, as in the papers.
    learning_rate, weight_decay : float
        Of both. Biases and norms have no weight decay.
    """
    if kind not in OPTIMIZERS:
        raise ValueError(f"The optimizer must be one of {OPTIMIZERS}, not {kind!r}.")
    hidden, others, vectors = [], list[Parameter](), list[Parameter]()
    for parameter in parameters:
        if parameter.ndim <= 1:
            vectors.append(parameter)
        elif kind == "muon" and min(as_matrices(parameter).shape[1:]) >= SMALLEST_SIDE:
            hidden.append(parameter)
        else:
            others.append(parameter)
    groups = [
        {"params": others, "weight_decay": weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    adamw = torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.98), fused=True)
    return [Muon(hidden, learning_rate, weight_decay), adamw] if hidden else [adamw]


STATES = {Muon: ("exp_avg",), torch.optim.AdamW: ("exp_avg", "exp_avg_sq", "step")}
"""What each optimizer keeps of a parameter."""


def optimizer_state(
    used: Sequence[torch.optim.Optimizer], names: dict[Any, str]
) -> dict[str, dict[str, Tensor]]:
    """Return the state of optimizers by parameter name."""
    return {
        names[parameter]: {key: torch.as_tensor(value) for key, value in state.items()}
        for optimizer in used
        for parameter, state in optimizer.state.items()
    }


def restore_optimizers(
    used: Sequence[torch.optim.Optimizer],
    names: dict[Any, str],
    saved: dict[str, dict[str, Tensor]],
) -> None:
    """Put a saved state back into optimizers.

    A parameter whose state lacks something, as when it had another optimizer, begins afresh.
    """
    for optimizer in used:
        keys = STATES[type(optimizer)]
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                state = saved.get(names[parameter], {})
                if all(key in state for key in keys):
                    device = parameter.device
                    # Copies: tensors of a mapped file would keep Windows from replacing it.
                    optimizer.state[parameter] = {
                        key: state[key].to(device, copy=True) for key in keys
                    }
