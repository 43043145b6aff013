"""Weights files: safetensors with everything about a model in the metadata.

A file holds the tensors, and the metadata ``format`` ("napari-inter2former"), ``version``,
``config``, ``normalization``, ``training`` and ``figures`` (JSON), and ``sha256`` of the tensors.
Tensors may be stored as half-precision floats; models run in single precision.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_inter2former._files import replacing
from napari_inter2former.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import Tensor

    from napari_inter2former.model import Inter2Former

__all__ = [
    "ModelInfo",
    "find_weights",
    "list_models",
    "load_model",
    "read_metadata",
    "save_weights",
    "user_models_folder",
]

FORMAT = "napari-inter2former"
VERSION = 1
SUFFIX = ".safetensors"
# Percentiles of each channel that become 0 and 1, unless a model says otherwise.
DEFAULT_NORMALIZATION = {"percentiles": [1.0, 99.8], "per": "channel"}
# A header is a few kilobytes; a foreign file must not make us allocate gigabytes.
_LARGEST_HEADER = 100 << 20


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model that can be loaded by name.

    Parameters
    ----------
    name : str
        What `load_model` takes.
    path : Path
        Of its weights.
    shipped : bool
        Whether it came with the package; otherwise it is in the user's folder.
    """

    name: str
    path: Path
    shipped: bool


def user_models_folder() -> Path:
    """Return the folder of the user's own models.

    ``$INTER2FORMER_HOME/models`` if that variable is set, else ``models`` in the platform's folder
    for user data. It need not exist.
    """
    home = os.environ.get("INTER2FORMER_HOME")
    if home:
        return Path(home).expanduser() / "models"
    import platformdirs

    return Path(platformdirs.user_data_dir("napari-inter2former", appauthor=False)) / "models"


def list_models() -> list[ModelInfo]:
    """List the models that can be loaded by name, shipped ones first.

    Returns
    -------
    list of ModelInfo
        A name is listed once; a shipped model hides one of the user's of the same name.
    """
    found: dict[str, ModelInfo] = {}
    for folder, shipped in _folders():
        if folder.is_dir():
            for path in sorted(folder.glob(f"*{SUFFIX}")):
                found.setdefault(path.stem, ModelInfo(path.stem, path, shipped))
    return list(found.values())


def find_weights(name_or_path: str | os.PathLike[str]) -> Path:
    """Find a weights file by path or by name.

    Raises
    ------
    WeightsError
        If there is none; the message lists the names that exist.
    """
    path = Path(name_or_path).expanduser()
    if path.is_file():
        return path
    text = os.fspath(name_or_path)
    for folder, _ in _folders() if path.name == text else ():
        candidate = folder / f"{text}{SUFFIX}"
        if candidate.is_file():
            return candidate
    if path.suffix or path.name != text:
        what = "a folder, not a file" if path.is_dir() else "not there"
        raise WeightsError(f"The weights file {path} is {what}.")
    names = ", ".join(info.name for info in list_models()) or "none"
    raise WeightsError(
        f"There is no model called {text!r}. Models found: {names}. Give one of these names, the "
        f"path of a {SUFFIX} file, or put the file into {user_models_folder()}."
    )


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what a weights file says about its model, without loading it.

    Parameters
    ----------
    path : path
        Of the file.

    Returns
    -------
    dict
        ``version`` (int), ``config``, ``normalization``, ``training``, ``figures`` (dicts) and
        ``sha256`` (str).

    Raises
    ------
    WeightsError
        If the file is missing, truncated, no safetensors file, or not one of this package.
    """
    path = Path(path)
    stored = _header(path).get("__metadata__")
    if not isinstance(stored, dict) or stored.get("format") != FORMAT:
        raise WeightsError(
            f"{path} holds tensors, but is no model of napari-inter2former; its metadata do not "
            f"say format={FORMAT!r}. Use a model trained or fine-tuned with this package."
        )
    try:
        metadata: dict[str, Any] = {
            key: json.loads(stored[key])
            for key in ("config", "normalization", "training", "figures")
        }
        metadata["version"] = int(stored["version"])
        metadata["sha256"] = str(stored["sha256"])
        if not isinstance(metadata["config"], dict):
            raise TypeError("config is no object")
    except (KeyError, ValueError, TypeError) as error:
        raise WeightsError(
            f"The metadata of {path} are damaged ({error}); copy or download it again."
        ) from error
    if metadata["version"] > VERSION:
        raise WeightsError(
            f"{path} has the format version {metadata['version']}, and this version of "
            f"napari-inter2former reads up to {VERSION}; update napari-inter2former."
        )
    return metadata


def load_model(name_or_path: str | os.PathLike[str] = "tiny") -> Inter2Former:
    """Load a model.

    Parameters
    ----------
    name_or_path : str or path
        A path; or the name of a shipped model or of one in the user's folder.

    Returns
    -------
    Inter2Former
        On the CPU, single precision, in evaluation mode, with the attributes ``weights_sha256``
        and ``weights_name``.

    Raises
    ------
    WeightsError
        If there is no such file, or it is truncated, foreign, altered or from a newer version.
    """
    path = find_weights(name_or_path)
    metadata = read_metadata(path)
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from napari_inter2former.model import ModelConfig, build_model

    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"{path} can't be read ({error}); it is truncated or damaged. Copy or download it "
            "again."
        ) from error
    if _sha256(tensors) != metadata["sha256"]:
        raise WeightsError(
            f"The tensors of {path} do not match its checksum: the file was altered or damaged. "
            "Copy or download it again."
        )
    try:
        model = build_model(ModelConfig.from_dict(metadata["config"]))
        model.load_state_dict(
            {
                key: tensor.float() if tensor.is_floating_point() else tensor
                for key, tensor in tensors.items()
            }
        )
    except (RuntimeError, ValueError, TypeError) as error:
        raise WeightsError(
            f"The tensors of {path} do not fit its configuration, perhaps because it was written "
            f"by another version of napari-inter2former: {_short(error)}"
        ) from error
    model.weights_sha256 = metadata["sha256"]
    model.weights_name = path.stem
    return model.eval()


def save_weights(
    path: str | os.PathLike[str],
    model: Inter2Former,
    metadata: Mapping[str, Any] | None = None,
    *,
    half: bool = False,
) -> Path:
    """Write a model's weights; the file appears complete or not at all.

    Parameters
    ----------
    path : path
        Of the file; its folder is made if need be.
    model : Inter2Former
        With its ``config``.
    metadata : mapping, optional
        ``training``, ``figures`` and ``normalization``, each anything that JSON can hold.
    half : bool
        Store floating-point tensors in half precision.

    Returns
    -------
    Path
        Of the file.

    Raises
    ------
    WeightsError
        If the metadata have other keys or are nothing for JSON, or the file can't be written.
    """
    import torch
    from safetensors.torch import save

    path = Path(path)
    stored = _stored_metadata(metadata or {}, model)
    tensors: dict[str, Tensor] = {}
    for key, tensor in model.state_dict().items():
        value = tensor.detach().cpu()
        if half and value.is_floating_point():
            value = value.to(torch.float16)
            if not bool(torch.isfinite(value).all()):
                raise WeightsError(f"The tensor {key} does not fit half precision; use half=False.")
        tensors[key] = value.contiguous().clone()
    stored["sha256"] = _sha256(tensors)
    try:
        with replacing(path) as beside:
            beside.write_bytes(save(tensors, stored))
    except OSError as error:
        raise WeightsError(f"The weights can't be written to {path}: {error.strerror}.") from error
    return path


def _stored_metadata(metadata: Mapping[str, Any], model: Inter2Former) -> dict[str, str]:
    unknown = sorted(set(metadata) - {"training", "figures", "normalization"})
    if unknown:
        raise WeightsError(
            f"Unknown metadata: {', '.join(unknown)}; only training, figures and normalization are "
            "taken (the configuration and the checksum are added)."
        )
    values = {
        "config": model.config.to_dict(),
        "normalization": metadata.get("normalization", DEFAULT_NORMALIZATION),
        "training": metadata.get("training", {}),
        "figures": metadata.get("figures", {}),
    }
    try:
        texts = {key: json.dumps(value, sort_keys=True) for key, value in values.items()}
    except (TypeError, ValueError) as error:
        raise WeightsError(f"The metadata can't be written as JSON: {error}.") from error
    return {"format": FORMAT, "version": str(VERSION), **texts}


def _folders() -> Iterable[tuple[Path, bool]]:
    package = Path(__file__).resolve().parent
    yield package / "weights", True
    checkout = package.parent.parent
    if (checkout / "pyproject.toml").is_file():  # an editable install, or a checkout on sys.path
        yield checkout / "weights", True
    yield user_models_folder(), False


def _header(path: Path) -> dict[str, Any]:
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
            length = int.from_bytes(start, "little")
            header = file.read(length) if length <= min(size, _LARGEST_HEADER) else b""
    except OSError as error:
        raise WeightsError(f"{path} can't be opened: {error.strerror}.") from error
    try:
        parsed = json.loads(header)
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        # Only now: a good file may begin with the same byte as a pickle.
        if start[:4] == b"PK\x03\x04" or start[:1] == b"\x80":
            raise WeightsError(
                f"{path} is a pickle (a PyTorch checkpoint), which can run any code when it is "
                f"loaded, so it isn't. Use the {SUFFIX} file of a napari-inter2former model."
            )
        raise WeightsError(
            f"{path} is no {SUFFIX} file, or its start is damaged or cut off. Copy or download it "
            "again."
        )
    return parsed


def _sha256(tensors: Mapping[str, Tensor]) -> str:
    """Hash of names, dtypes, shapes and bytes, in the order of the names."""
    import torch

    digest = hashlib.sha256()
    for key in sorted(tensors):
        tensor = tensors[key].contiguous()
        digest.update(f"{key}:{tensor.dtype}:{tuple(tensor.shape)};".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _short(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else f"{text[:300]}..."
