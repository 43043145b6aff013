"""``inter2former info``: what is installed, and what it will use."""

from __future__ import annotations

import json
import os
import platform
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from typing import Any

    from napari_inter2former.weights import ModelInfo

DESCRIPTION = """\
Show the version, the weights that can be used (with hash and main figures; all of them with
--json), the processor, the number of threads and the kernels in use. Paste the output into a bug
report."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    facts = collect()
    if arguments.json:
        print(json.dumps(facts, indent=2))
        return 0
    kernels = facts["kernels"]
    native = f"C++ extension, {kernels['instruction_set']}" if kernels["native"] else "PyTorch"
    print(f"napari-inter2former {facts['version']}")
    print(f"python     {facts['python']}, torch {facts['torch']}, {facts['system']}")
    print(f"processor  {facts['processor']}, {facts['cores']} cores, {facts['threads']} threads")
    print(f"kernels    {native}; encoder in {facts['encoder_precision']}")
    print(f"models     {facts['models_folder']} holds your own")
    print("weights" + ("" if facts["weights"] else "    none found"))
    for entry in facts["weights"]:
        print(f"  {entry['name']:<12} {entry['path']}")
        if "error" in entry:
            print(f"  {'':<12} not usable: {entry['error']}")
            continue
        print(f"  {'':<12} sha256 {entry['sha256']}")
        for name, figures in entry["figures"].items():
            reached = sorted(figures.get("iou_at", {}).items(), key=lambda pair: int(pair[0]))
            ious = ", ".join(f"{iou:.3f} after {count}" for count, iou in reached)
            print(f"  {'':<12} {name}: IoU {ious}")
    return 0


def collect() -> dict[str, Any]:
    """Gather everything that the command shows.

    Returns
    -------
    dict
        Of plain values, ready for JSON.
    """
    import torch

    from napari_inter2former import __version__, kernels
    from napari_inter2former.benchmark import processor
    from napari_inter2former.model import encoder_precision
    from napari_inter2former.weights import list_models, user_models_folder

    return {
        "version": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "system": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "kernels": {
            "native": kernels.native_available(),
            "instruction_set": kernels.instruction_set(),
        },
        "encoder_precision": encoder_precision(),
        "models_folder": str(user_models_folder()),
        "weights": [_entry(model) for model in list_models()],
    }


def _entry(model: ModelInfo) -> dict[str, Any]:
    from napari_inter2former.errors import WeightsError
    from napari_inter2former.weights import read_metadata

    entry: dict[str, Any] = {"name": model.name, "path": str(model.path)}
    try:
        metadata = read_metadata(model.path)
    # A damaged file is worth knowing of, and no reason to say nothing about the others.
    except WeightsError as error:
        return {**entry, "sha256": None, "figures": {}, "error": str(error)}
    return {**entry, "sha256": metadata["sha256"], "figures": metadata["figures"]}
