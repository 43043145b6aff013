"""Training on several processes, one per GPU or CPU core, started by ``torchrun``."""

from __future__ import annotations

import os
from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor


def by_torchrun() -> bool:
    """Return whether ``torchrun`` started this process, among others."""
    return "RANK" in os.environ


def start_processes(device: str) -> tuple[int, int]:
    """Join the other processes, if ``torchrun`` started any.

    Parameters
    ----------
    device : str
        ``"cpu"`` or ``"cuda"``; decides how gradients travel.

    Returns
    -------
    rank, size : int
        This process's number and how many there are; (0, 1) without ``torchrun``.
    """
    if not by_torchrun():
        return 0, 1
    # Gradients travel between GPUs, and what the processes agree on between CPUs.
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.startswith("cuda") else "gloo")
    if device.startswith("cuda"):
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    return dist.get_rank(), dist.get_world_size()


def average_gradients(parameters: Iterable[Tensor]) -> None:
    """Replace each gradient by its mean over all processes. Does nothing in a single one."""
    if not dist.is_initialized():
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([g.flatten() for g in gradients])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    begin = 0
    for gradient in gradients:
        end = begin + gradient.numel()
        gradient.copy_(flat[begin:end].view_as(gradient))
        begin = end


def own_share(count: int) -> slice:
    """Return which of `count` equal pieces of work are this process's."""
    if not dist.is_initialized():
        return slice(count)
    return slice(dist.get_rank(), count, dist.get_world_size())


def add_up(values: Tensor) -> None:
    """Replace `values` by their sum over all processes, in place."""
    if dist.is_initialized():
        dist.all_reduce(values)


def agree(values: Tensor) -> Tensor:
    """Return the first process's values in all of them."""
    if dist.is_initialized():
        dist.broadcast(values, 0)
    return values
