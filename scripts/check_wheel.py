"""Check a freshly built wheel without PyTorch: what is in it, and that the extension loads."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path


def main() -> int:
    """Check the installed package; return 0 or raise."""
    spec = importlib.util.find_spec("napari_inter2former")
    assert spec is not None
    assert spec.submodule_search_locations
    package = Path(spec.submodule_search_locations[0])
    for name in ("py.typed", "napari.yaml", "training/__init__.py", "weights"):
        assert (package / name).exists(), f"{name} is missing from the wheel"
    # By its path: the package around it imports PyTorch, which is not installed here.
    (library,) = [
        path for path in (package / "kernels").glob("_native*") if path.suffix in {".so", ".pyd"}
    ]
    native_spec = importlib.util.spec_from_file_location("_native", library)
    assert native_spec is not None
    assert native_spec.loader is not None
    native = importlib.util.module_from_spec(native_spec)
    native_spec.loader.exec_module(native)
    print(library.name, *native.instruction_sets())
    return 0


if __name__ == "__main__":
    sys.exit(main())
