"""Compiled kernels, and a plain PyTorch twin of each.

Everything works without the compiled extension, more slowly. Two environment
variables choose: ``INTER2FORMER_NO_NATIVE=1`` leaves the extension alone, and
``INTER2FORMER_ISA`` names the instruction set (``avx512``, ``avx2`` or
``portable``) instead of the fastest that the processor has. The encoder's
precision is the model's choice: `napari_inter2former.model.encoder_precision`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._extension import instruction_set, instruction_sets, native_available, warn_if_absent

if TYPE_CHECKING:
    from .experts import PackedExperts, grouped_experts, grouped_experts_plain
    from .hybrid import HybridPacking, PackedHybridExperts

__all__ = [
    "HybridPacking",
    "PackedExperts",
    "PackedHybridExperts",
    "grouped_experts",
    "grouped_experts_plain",
    "instruction_set",
    "instruction_sets",
    "native_available",
    "warn_if_absent",
]


def __getattr__(name: str) -> object:
    """Import what needs PyTorch when it is first asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import experts, hybrid

    return getattr(hybrid if "Hybrid" in name else experts, name)
