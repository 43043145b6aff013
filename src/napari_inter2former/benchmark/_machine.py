"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

__all__ = ["describe", "processor"]

REFERENCE_TFLOPS = 0.25
"""Matrix-multiply rate that the published bounds are for; they scale with the measured one."""


def processor() -> str:
    """Return the processor's name, which Python itself knows on some systems only."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.lower().startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def describe() -> dict[str, Any]:
    """Return processor, threads, instruction sets and the measured matrix-multiply rate."""
    import torch

    from napari_inter2former import __version__, kernels
    from napari_inter2former.benchmark._timing import matmul_rate
    from napari_inter2former.model import encoder_precision

    rate = matmul_rate()
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torch_instruction_set": torch.backends.cpu.get_cpu_capability(),
        "kernels_instruction_set": kernels.instruction_set(),
        "encoder_precision": encoder_precision(),
        "version": __version__,
        "matmul_tflops": rate,
        "bound_scale": REFERENCE_TFLOPS / rate,
    }
