"""PyTorch, Qt and napari stay out until they are needed."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "module", ["errors", "prompts", "images", "predictor", "weights", "scripting"]
)
def test_importing_needs_neither_torch_nor_qt_nor_napari(module):
    code = (
        f"import sys, napari_inter2former.{module}\n"
        "print(*{'torch', 'qtpy', 'napari', 'safetensors'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
