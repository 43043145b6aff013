"""Whether the compiled extension is here, and which of its instruction sets is used."""

from __future__ import annotations

import os
import warnings
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from napari_inter2former.errors import SettingsError

if TYPE_CHECKING:
    from types import ModuleType


@cache
def _load() -> tuple[ModuleType | None, str]:
    try:
        return import_module("napari_inter2former.kernels._native"), ""
    except ImportError as error:
        return None, str(error)


def _disabled() -> bool:
    return os.environ.get("INTER2FORMER_NO_NATIVE", "") not in ("", "0")


def native() -> ModuleType | None:
    """Return the compiled module, or None where it is absent or disabled."""
    return None if _disabled() else _load()[0]


def required(instead: str) -> ModuleType:
    """Return the compiled module.

    Parameters
    ----------
    instead : str
        What can be used without it, for the message.

    Raises
    ------
    RuntimeError
        Without the compiled extension.
    """
    module = native()
    if module is None:
        raise RuntimeError(f"the compiled extension is not available; use {instead}")
    return module


def native_available() -> bool:
    """Whether the compiled extension is used.

    Returns
    -------
    bool
        False when it was not built, can't be loaded, or the environment
        variable ``INTER2FORMER_NO_NATIVE`` is set.
    """
    return native() is not None


def instruction_sets() -> tuple[str, ...]:
    """Instruction sets that the extension and this processor offer, fastest first.

    Returns
    -------
    tuple of str
        Of "avx512", "avx2" and "portable"; empty without the extension.
    """
    module = native()
    return () if module is None else tuple(module.instruction_sets())


def instruction_set() -> str:
    """Name the instruction set that the kernels use.

    Returns
    -------
    str
        "avx512", "avx2", "portable", or "none" without the extension.

    Raises
    ------
    SettingsError
        If ``INTER2FORMER_ISA`` names one that is not available here.
    """
    offered = instruction_sets()
    if not offered:
        return "none"
    wanted = os.environ.get("INTER2FORMER_ISA") or offered[0]
    if wanted not in offered:
        raise SettingsError(
            f"INTER2FORMER_ISA={wanted} is not available on this machine; "
            f"unset it or choose one of {', '.join(offered)}"
        )
    return wanted


@cache
def warn_if_absent() -> None:
    """Say once that the extension is missing; nothing where it is disabled on purpose."""
    module, reason = _load()
    if module is None and not _disabled():
        warnings.warn(
            "napari-inter2former runs without its C++ extension, so clicks are slower "
            f"({reason}). Reinstall the package with a C++ compiler or from a wheel, or set "
            "INTER2FORMER_NO_NATIVE=1 to accept this.",
            RuntimeWarning,
            stacklevel=3,
        )
