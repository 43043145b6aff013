"""HMoE's routed experts against the plain loop and against the published scheme (Fig. 3c).

The routed part of one layer as the paper measures it: of 4,096 tokens 1,024 are sorted by expert,
given to it, weighted, and added in their places; width 256, hidden width 64 per expert, float32.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_inter2former import kernels
from napari_inter2former.benchmark._result import Result
from napari_inter2former.benchmark._timing import matmul_rate, medians

__all__ = ["EXPERTS", "addmm", "loop", "problem", "run"]

TOKENS, ROUTED, WIDTH, HIDDEN = 4096, 1024, 256, 64
EXPERTS = (4, 8, 16, 32, 64)
GFLOP = 2 * ROUTED * 3 * HIDDEN * WIDTH * 1e-9

Weights = tuple[Tensor, Tensor, Tensor, Tensor]


def problem(experts: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Weights]:
    """Return tokens, the routed ones' rows, experts and shares, and the experts' weights."""
    generator = torch.Generator().manual_seed(experts)
    normal = partial(torch.randn, generator=generator)
    rows = torch.randperm(TOKENS, generator=generator)[:ROUTED].sort().values
    weights = (
        normal(experts, 2 * HIDDEN, WIDTH) * WIDTH**-0.5,
        torch.rand(experts, HIDDEN, generator=generator) + 0.5,
        normal(experts, HIDDEN),
        normal(experts, WIDTH, HIDDEN) * HIDDEN**-0.5,
    )
    index = torch.randint(0, experts, (ROUTED,), generator=generator)
    share = torch.rand(ROUTED, generator=generator)
    return normal(TOKENS, WIDTH), rows, index, share, weights


def _expert(x: Tensor, gate_up: Tensor, weight: Tensor, bias: Tensor, down: Tensor) -> Tensor:
    gate, up = F.linear(x, gate_up).chunk(2, -1)
    return F.linear(F.layer_norm(F.silu(gate).mul_(up), (HIDDEN,), weight, bias), down)


def loop(
    x: Tensor, rows: Tensor, index: Tensor, share: Tensor, weights: Weights, out: Tensor
) -> None:
    """Add the experts' weighted results to `out` in a plain loop over experts."""
    for e, expert in enumerate(zip(*(w.unbind() for w in weights), strict=True)):
        mine = (index == e).nonzero()[:, 0]
        places = rows.index_select(0, mine)
        result = _expert(x.index_select(0, places), *expert)
        out.index_add_(0, places, result.mul_(share.index_select(0, mine)[:, None]))


def addmm(
    x: Tensor,
    rows: Tensor,
    index: Tensor,
    share: Tensor,
    weights: Weights,
    out: Tensor,
    pool: ThreadPoolExecutor | None = None,
) -> None:
    """Do what `loop` does by the published scheme.

    Tokens are sorted by expert and each expert is one multiplication: the experts in parallel on
    the threads of `pool`, or without it one after another on PyTorch's threads.
    """
    order = index.argsort()
    counts = index.bincount(minlength=len(weights[0])).tolist()
    places = rows.index_select(0, order)
    groups = x.index_select(0, places).split(counts)
    experts = list(zip(groups, *(w.unbind() for w in weights), strict=True))
    if pool is None:
        results = _several(experts)
    else:
        # One part per thread: handing over every expert by itself would cost more.
        threads = torch.get_num_threads()
        results = [torch.empty(0)] * len(experts)
        parts = pool.map(_several, [experts[i::threads] for i in range(threads)])
        for i, part in enumerate(parts):
            results[i::threads] = part
    scaled = torch.cat(results).mul_(share.index_select(0, order)[:, None])
    out.index_add_(0, places, scaled)


@torch.inference_mode()
def _several(experts: list[tuple[Tensor, ...]]) -> list[Tensor]:
    return [_expert(*expert) for expert in experts]


@torch.inference_mode()
def run(quick: bool) -> list[Result]:
    """Measure the compiled experts for 4 to 64 experts.

    Raises
    ------
    RuntimeError
        Without the compiled extension, or if the results disagree.
    """
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        return [_measure(number, pool, quick) for number in ((8, 64) if quick else EXPERTS)]


def _measure(experts: int, pool: ThreadPoolExecutor, quick: bool) -> Result:
    x, rows, index, share, weights = problem(experts)
    packed = kernels.PackedExperts(*weights)
    out, expected = torch.zeros_like(x), torch.zeros_like(x)
    loop(x, rows, index, share, weights, expected)
    # In this order PyTorch's threads are awake for all but the first.
    calls: dict[str, Callable[[], object]] = {
        "parallel addmm": partial(addmm, x, rows, index, share, weights, out, pool),
        "addmm": partial(addmm, x, rows, index, share, weights, out),
        "compiled": partial(packed.add, x, rows, index, share, out),
        "loop": partial(loop, x, rows, index, share, weights, out),
    }
    for name, call in calls.items():
        out.zero_()
        call()
        if not torch.allclose(out, expected, rtol=1e-4, atol=1e-3):
            raise RuntimeError(f"{name} and the plain loop over experts disagree")
    ms = medians(calls, 0.5 if quick else 2.0, 20)
    best = min(ms["addmm"], ms["parallel addmm"])
    return Result(
        suite="kernels",
        name=f"hmoe/experts={experts}",
        preset="base",
        ms=ms["compiled"],
        reference="plain loop over experts",
        reference_ms=ms["loop"],
        gflop=GFLOP,
        rate=matmul_rate(),
        figures={
            "addmm_ms": ms["addmm"],
            "parallel_addmm_ms": ms["parallel addmm"],
            "addmm_ratio": ms["compiled"] / best,
        },
    )
