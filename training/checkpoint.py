"""Training state in one safetensors file: nothing is pickled, nothing is half-written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from napari_inter2former._files import replacing
from napari_inter2former.errors import Inter2FormerError
from napari_inter2former.model import ModelConfig

FORMAT = "napari-inter2former-training"


class CheckpointError(Inter2FormerError, ValueError):
    """A training checkpoint that can't be used."""


@dataclass
class Checkpoint:
    """Everything a run needs to go on.

    Attributes
    ----------
    model, average, auxiliary : dict of Tensor
        Weights, their exponential moving average, and those of an auxiliary head that is dropped.
    optimizer : dict
        The optimizers' state: per parameter name, its moments and its step.
    progress : dict
        JSON values: step, seconds, masks, configuration.
    """

    model: dict[str, Tensor]
    average: dict[str, Tensor]
    auxiliary: dict[str, Tensor]
    optimizer: dict[str, dict[str, Tensor]]
    progress: dict[str, Any]


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint beside `path`, then rename it, so that the last good one stays."""
    tensors = {f"model/{k}": v for k, v in checkpoint.model.items()}
    tensors |= {f"average/{k}": v for k, v in checkpoint.average.items()}
    tensors |= {f"auxiliary/{k}": v for k, v in checkpoint.auxiliary.items()}
    for name, state in checkpoint.optimizer.items():
        tensors |= {f"optimizer/{key}/{name}": value for key, value in state.items()}
    contiguous = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
    metadata = {"format": FORMAT, "progress": json.dumps(checkpoint.progress)}
    try:
        with replacing(path) as beside:
            save_file(contiguous, beside, metadata)
    except (SafetensorError, OSError) as error:  # the library has its own error for a full disk
        raise CheckpointError(
            f"The checkpoint {path} could not be written ({error}); the last one is untouched. "
            "Free some space and resume."
        ) from error


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises
    ------
    CheckpointError
        If the file is no checkpoint, or is damaged.
    """
    checkpoint = Checkpoint({}, {}, {}, {}, {})
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            foreign = metadata.get("format") != FORMAT
            if not foreign:
                checkpoint.progress = json.loads(metadata["progress"])
                for key in file.keys():  # noqa: SIM118 (a file handle, not a dict)
                    part, name = key.split("/", 1)
                    if part == "optimizer":
                        kind, name = name.split("/", 1)
                        checkpoint.optimizer.setdefault(name, {})[kind] = file.get_tensor(key)
                    else:
                        getattr(checkpoint, part)[name] = file.get_tensor(key)
    except (SafetensorError, OSError, ValueError, LookupError, AttributeError) as error:
        raise CheckpointError(f"{path} can't be read as a checkpoint: {error}.") from error
    if foreign:
        raise CheckpointError(f"{path} is no training checkpoint.")
    return checkpoint


def model_of(path: Path, checkpoint: Checkpoint) -> ModelConfig:
    """Return the configuration of a checkpoint's model.

    Parameters
    ----------
    path : Path
        Of the checkpoint, for the message.
    checkpoint : Checkpoint
        From `load_checkpoint`.

    Raises
    ------
    CheckpointError
        If this version of the package does not know it.
    """
    try:
        return ModelConfig.from_dict(checkpoint.progress["config"])
    except (ValueError, LookupError, TypeError) as error:
        raise CheckpointError(
            f"{path}: its model's configuration can't be used: {error}"
        ) from error


def restore(path: Path, module: torch.nn.Module, state: Mapping[str, Tensor]) -> None:
    """Put saved tensors back into a module.

    Parameters
    ----------
    path : Path
        Of the checkpoint, for the message.
    module : torch.nn.Module
        What they belong to.
    state : mapping of str to Tensor
        From `load_checkpoint`.

    Raises
    ------
    CheckpointError
        If they are of another configuration.
    """
    try:
        module.load_state_dict(dict(state))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise CheckpointError(
            f"{path}: its tensors do not fit the configuration ({reason}). It was written by "
            "another version; begin a new run, with --start-from if there are weights of it."
        ) from error
