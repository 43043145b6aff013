"""Latency of HMoE's routed experts: compiled, plain loops, and one parallel addmm per expert.

``python benchmarks/experts.py`` prints a table: medians in milliseconds and ratios within one run,
for 1,024 routed tokens, width 256 and hidden width 64 per expert (Inter2Former, Fig. 3c), with the
share of this machine's fp32 matrix-multiply rate that the compiled path reaches.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_inter2former import kernels

TOKENS, ROUTED, WIDTH, HIDDEN = 4096, 1024, 256, 64


def loop(x: Tensor, index: Tensor, *weights: Tensor) -> Tensor:
    """The usual loop over experts, with a mask for each."""
    y = torch.zeros_like(x)
    for e, (gate_up, weight, bias, down) in enumerate(zip(*weights, strict=True)):
        mine = index == e
        gate, up = F.linear(x[mine], gate_up).chunk(2, -1)
        y[mine] = F.linear(F.layer_norm(F.silu(gate) * up, (HIDDEN,), weight, bias), down)
    return y


def medians(functions: dict[str, Callable[[], object]], seconds: float) -> dict[str, float]:
    """Median milliseconds of each, measured in turn so that all meet the same disturbances."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(next(iter(times.values()))) < 5:
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - start)
    return {name: 1e3 * statistics.median(values[1:]) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3, help="per number of experts")
    parser.add_argument("--experts", type=int, nargs="+", default=[4, 8, 16, 32, 64])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    print(f"instruction set {kernels.instruction_set()}, {options.threads} thread(s)")
    print("experts  packed  native   twin   loop  packed/loop  GFLOP/s  matmul  share")

    square = torch.randn(1024, 1024)
    flops = 2 * ROUTED * 3 * HIDDEN * WIDTH
    for experts in options.experts:
        x = torch.randn(TOKENS, WIDTH)[torch.randperm(TOKENS)[:ROUTED]]
        index = torch.randint(0, experts, (ROUTED,))
        weights = (
            torch.randn(experts, 2 * HIDDEN, WIDTH) * WIDTH**-0.5,
            torch.rand(experts, HIDDEN) + 0.5,
            torch.randn(experts, HIDDEN),
            torch.randn(experts, WIDTH, HIDDEN) * HIDDEN**-0.5,
        )
        packed = kernels.PackedExperts(*weights)
        torch.testing.assert_close(packed(x, index), loop(x, index, *weights), rtol=1e-4, atol=1e-4)
        with torch.inference_mode():
            ms = medians(
                {
                    "packed": lambda p=packed, x=x, i=index: p(x, i),
                    "native": lambda a=(x, index, *weights): kernels.grouped_experts(*a),
                    "twin": lambda a=(x, index, *weights): kernels.grouped_experts_plain(*a),
                    "loop": lambda a=(x, index, *weights): loop(*a),
                    "matmul": lambda: square @ square,
                },
                options.seconds,
            )
        rate = flops / ms["packed"] * 1e-6
        matmul = 2 * 1024**3 / ms["matmul"] * 1e-6
        print(
            f"{experts:7d} {ms['packed']:7.2f} {ms['native']:7.2f} {ms['twin']:6.2f} "
            f"{ms['loop']:6.2f} {ms['packed'] / ms['loop']:12.2f} {rate:8.1f} {matmul:7.1f} "
            f"{rate / matmul:6.0%}"
        )


if __name__ == "__main__":
    main()
