"""Importing PyTorch in a thread beside the window's."""

from __future__ import annotations

import os

from napari_inter2former._processors import processors

__all__ = ["warm_up"]


def warm_up(threads: int | None = None) -> None:
    """Import PyTorch without stopping other threads for long, and set this thread's threads.

    Importing PyTorch maps hundreds of megabytes of libraries while it holds the interpreter's
    lock, which freezes the window for up to a second. Mapping them through `ctypes` first, which
    lets go of the lock, leaves the import a few short steps. Where that isn't possible (Windows),
    the plain import does it.
    """
    import sys

    if "torch" not in sys.modules:
        _map_libraries()
    import torch

    if threads is None:
        wanted = os.environ.get("OMP_NUM_THREADS", "")
        threads = int(wanted) if wanted.isdigit() and int(wanted) > 0 else processors()
    # PyTorch keeps this setting per thread, so the caller's own thread is left alone.
    torch.set_num_threads(threads)


def _map_libraries() -> None:
    import ctypes
    import importlib.util
    import sys
    from pathlib import Path

    spec = importlib.util.find_spec("torch")
    if spec is None or not spec.submodule_search_locations or sys.platform == "win32":
        return
    try:
        dlopen = ctypes.CDLL(None).dlopen
        dlopen.restype, dlopen.argtypes = ctypes.c_void_p, [ctypes.c_char_p, ctypes.c_int]
    except (OSError, AttributeError):
        return
    suffix = ".dylib" if sys.platform == "darwin" else ".so"
    folder = Path(spec.submodule_search_locations[0]) / "lib"
    for name in ("libtorch_cpu", "libtorch_python"):
        dlopen(str(folder / f"{name}{suffix}").encode(), os.RTLD_NOW | os.RTLD_LOCAL)
