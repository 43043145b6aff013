"""Run mypy on the package as it is installed, ``training`` in its place.

The checkout keeps the training code in a folder of its own, which is installed
as ``napari_inter2former.training``; mypy can be told of no such mapping, so the
sources are copied to ``build/types`` in that shape, and its messages name the
files that you edit. Further arguments go to mypy.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LAYOUT = ROOT / "build" / "types"
PACKAGE = LAYOUT / "napari_inter2former"
SOURCES = {PACKAGE / "training": ROOT / "training", PACKAGE: ROOT / "src" / "napari_inter2former"}


def lay_out() -> None:
    """Copy the sources in their installed shape; unchanged files keep mypy's cache valid."""
    shutil.rmtree(LAYOUT, ignore_errors=True)
    for target, source in SOURCES.items():
        for path in source.rglob("*"):
            if path.suffix in {".py", ".pyi", ".typed"} and "__pycache__" not in path.parts:
                copy = target / path.relative_to(source)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, copy)


def main(arguments: list[str]) -> int:
    """Check, print mypy's messages with the checkout's paths, return its exit status."""
    lay_out()
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *arguments, "-p", "napari_inter2former"],
        cwd=ROOT,
        env={**os.environ, "MYPYPATH": str(LAYOUT)},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    output = done.stdout
    for target, source in SOURCES.items():
        for old in (str(target), str(target.relative_to(ROOT))):
            output = output.replace(old, str(source.relative_to(ROOT)))
    print(output, end="")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
