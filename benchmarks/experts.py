"""Latency of HMoE's routed experts: compiled, plain loop, and one parallel addmm per expert.

``python benchmarks/experts.py`` prints a table: medians in milliseconds, reductions within one run,
and the share of this machine's fp32 matrix-multiply rate that the compiled experts reach.
"""

from __future__ import annotations

import argparse

import torch

from napari_inter2former import kernels
from napari_inter2former.benchmark import experts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    results = experts.run(options.quick)
    print(
        f"instruction set {kernels.instruction_set()}, {options.threads} thread(s), "
        f"matrix multiplication {1e3 * (results[0].rate or 0):.0f} GFLOP/s"
    )
    print(f"{'':20}    ms    loop  lower by   addmm  parallel  faster  share of rate")
    for result in results:
        figures = result.figures or {}
        share = result.tflops_share or 0
        print(
            f"{result.name:20}{result.ms:6.2f}{result.reference_ms:8.2f}"
            f"{1 - (result.ratio or 0):10.0%}{figures['addmm_ms']:8.2f}"
            f"{figures['parallel_addmm_ms']:10.2f}{1 / figures['addmm_ratio']:7.1f}x{share:12.0%}"
        )


if __name__ == "__main__":
    main()
