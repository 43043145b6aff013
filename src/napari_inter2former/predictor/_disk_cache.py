"""Features of windows on disk, so that an image once seen is ready in the next session."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

from napari_inter2former import __version__
from napari_inter2former._files import OutputError, replacing
from napari_inter2former.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["DiskCache", "StoredFeatures", "default_folder", "weights_key"]

FORMAT = "napari-inter2former features 2"
ENDING = ".safetensors"
MAX_GB = 10
CACHE_GB = "INTER2FORMER_CACHE_GB"
MAX_DAYS = 30.0
LEFT_OVER_SECONDS = 24 * 3600.0
"""Unfinished files of this age belong to a process that crashed."""


def default_folder() -> Path:
    """Return the folder in the user's cache folder; it need not exist."""
    return Path(platformdirs.user_cache_path("napari-inter2former", appauthor=False)) / "features"


class DiskCache:
    """Keep features in files named by what they were computed from.

    The name is a hash of the window's normalised pixels, the encoder's precision, the network's
    configuration and weights and the version of this package, so an entry is never out of date.
    Several processes may share the folder: a file appears whole or not at all, and one that is cut
    short, changed or foreign is computed anew and replaced. A disk that is full or can't be written
    to costs a warning.

    Parameters
    ----------
    folder : path, optional
        By default one in the user's cache folder.
    max_bytes : int, optional
        Size of all entries together; those longest unused go first. By default 10 GiB, or as many
        as the environment variable ``INTER2FORMER_CACHE_GB`` says.
    max_days : float
        Entries unused for so many days go as well.
    read_only : bool
        Find what others have stored, and store nothing.

    Raises
    ------
    ValueError
        If a limit is negative, or the environment variable no such number (`SettingsError`).
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | None = None,
        max_bytes: int | None = None,
        max_days: float = MAX_DAYS,
        read_only: bool = False,
    ) -> None:
        if max_bytes is None:
            max_bytes = _chosen_bytes()
        if max_bytes < 0 or max_days < 0:
            raise ValueError("The limits of the cache on disk must be 0 or more.")
        self.folder = default_folder() if folder is None else Path(folder)
        self.max_bytes = max_bytes
        self.max_days = max_days
        self.read_only = read_only
        self._unchecked: int | None = None  # bytes written since the last cleaning; None: never
        self._failed = False

    def __contains__(self, key: str) -> bool:
        """Whether there is an entry of this name; it may still turn out to be damaged."""
        return self._path(key).is_file()

    def touch(self, key: str) -> bool:
        """Whether there is an entry of this name; it counts as used now."""
        try:
            os.utime(self._path(key))
        except OSError:
            return False
        return True

    def get(self, key: str, kind: type[Any]) -> Any | None:
        """Read features.

        Parameters
        ----------
        key : str
            As given to `put`.
        kind : type
            The dataclass that they are.

        Returns
        -------
        features or None
            None if there are none, or the file can't be trusted; then it is removed.
        """
        path = self._path(key)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        try:
            features = _unpack(data, key, kind)
        except Exception:  # noqa: BLE001 - a foreign file may break anything; it is never trusted
            with suppress(OSError):
                path.unlink()
            return None
        with suppress(OSError):
            os.utime(path)  # used now: cleaning looks at this
        return features

    def put(self, key: str, features: Any) -> None:
        """Store features; a disk that refuses is reported once, and the features are not kept."""
        if self.read_only:
            return
        try:
            self.write(key, features)
        except OSError as error:
            if not self._failed:
                self._failed = True
                warnings.warn(
                    f"Features can't be kept in {self.folder}: {error.strerror or error}. They are "
                    "computed anew in the next session.",
                    UserWarning,
                    stacklevel=2,
                )

    def write(self, key: str, features: Any) -> None:
        """Store features.

        Raises
        ------
        OSError
            If the disk refuses.
        """
        data = _pack(features, key)
        with replacing(self._path(key)) as part:
            part.write_bytes(data)
        if self._unchecked is None or self._unchecked + len(data) > self.max_bytes // 16:
            self.clean()
        else:
            self._unchecked += len(data)

    def clean(self) -> int:
        """Remove what is too old, and then what was unused longest until the rest fits.

        Returns
        -------
        int
            Bytes that are left.
        """
        self._unchecked = 0
        now = time.time()
        entries: list[tuple[float, int, Path]] = []
        for path, status in self._files():
            age = now - status.st_mtime
            if path.suffix != ENDING:
                # Somebody may be writing it at this moment.
                if path.name.endswith(".part") and age > LEFT_OVER_SECONDS:
                    _remove(path)
            elif age > self.max_days * 24 * 3600:
                _remove(path)
            else:
                entries.append((status.st_mtime, status.st_size, path))
        total = sum(size for _, size, _ in entries)
        for _, size, path in sorted(entries):
            if total <= self.max_bytes:
                break
            _remove(path)
            total -= size
        return total

    def clear(self) -> None:
        """Remove all entries."""
        for path, _ in self._files():
            if path.suffix == ENDING or path.name.endswith(".part"):
                _remove(path)

    @property
    def nbytes(self) -> int:
        """Size of all entries, in bytes."""
        return sum(status.st_size for path, status in self._files() if path.suffix == ENDING)

    def _path(self, key: str) -> Path:
        # Two hundred and fifty-six folders: none gets slow to list.
        return self.folder / key[:2] / f"{key}{ENDING}"

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        for path in self.folder.glob("[0-9a-f][0-9a-f]/*"):
            with suppress(OSError):  # another process may have removed it
                yield path, path.stat()


class StoredFeatures:
    """The features of one network in a `DiskCache`, by the content of the windows.

    Parameters
    ----------
    cache : DiskCache
        Where they are; networks may share it.
    model : Inter2Former
        Whose features they are.
    """

    def __init__(self, cache: DiskCache, model: Any) -> None:
        self.cache = cache
        self._model = model
        self._weights = weights_key(model)

    def __contains__(self, window: str) -> bool:
        """Whether there is an entry for a window of this content."""
        return self._key(window) in self.cache

    def touch(self, window: str) -> bool:
        """Whether there is an entry for a window of this content; it counts as used now."""
        return self.cache.touch(self._key(window))

    def get(self, window: str) -> Any | None:
        """Return features on the network's device, or None."""
        from napari_inter2former.model.inter2former import ImageFeatures

        features = self.cache.get(self._key(window), ImageFeatures)
        if features is None:
            return None
        return self._model.prepared(_on_device(features, _device(self._model)))

    def put(self, window: str, features: Any) -> None:
        """Store the features of a window of this content."""
        self.cache.put(self._key(window), features)

    def write(self, window: str, features: Any) -> None:
        """Store the features of a window of this content.

        Raises
        ------
        OutputError
            If they can't be kept.
        """
        refused = f"{self.cache.folder}: features can't be kept in this cache"
        if self.cache.read_only:
            raise OutputError(f"{refused}, which is only read from here.")
        try:
            self.cache.write(self._key(window), features)
        except OSError as error:
            raise OutputError(f"{refused} ({error.strerror or error}).") from error
        if window not in self:
            raise OutputError(f"{refused}: its limit is less than one window takes ({CACHE_GB}).")

    def _key(self, window: str) -> str:
        text = f"{window} {self._weights}"
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def weights_key(model: Any) -> str:
    """Name a network by its configuration, its weights and the version of this package.

    Returns
    -------
    str
        32 hexadecimal digits.
    """
    digest = hashlib.blake2b(f"{FORMAT} {__version__} {model.config!r}".encode(), digest_size=16)
    state = model.state_dict()
    for name in sorted(state):
        digest.update(name.encode())
        digest.update(_bytes(state[name]))
    return digest.hexdigest()


def _chosen_bytes() -> int:
    """Return the size that the environment asks for, or the default."""
    wanted = os.environ.get(CACHE_GB) or str(MAX_GB)
    try:
        chosen = int(float(wanted) * 2**30)
    except (ValueError, OverflowError) as error:
        raise SettingsError(f"{CACHE_GB}={wanted} is no number of gigabytes.") from error
    if chosen < 0:
        raise SettingsError(f"{CACHE_GB}={wanted} is negative; give 0 or more gigabytes.")
    return chosen


def _stored(features: Any) -> list[str]:
    """Names of the fields that are kept; the others follow from these."""
    return [field.name for field in dataclasses.fields(features) if field.compare]


def _is_tensor(value: Any) -> bool:
    """Whether it is a tensor, without importing torch."""
    return hasattr(value, "untyped_storage")


def _pack(features: Any, key: str) -> bytes:
    from safetensors.torch import save

    tensors: dict[str, Any] = {}
    plain: dict[str, Any] = {}
    for name in _stored(features):
        value = getattr(features, name)
        if _is_tensor(value):
            tensors[name] = value
        elif isinstance(value, (list, tuple)) and value and _is_tensor(value[0]):
            plain[name] = len(value)
            tensors |= {f"{name}.{i}": item for i, item in enumerate(value)}
        else:
            plain[name] = {"value": value}
    # Views of other tensors must not share memory in the file.
    tensors = {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}
    metadata = {
        "format": FORMAT,
        "key": key,
        "fields": (fields := json.dumps(plain)),
        "digest": _digest(tensors, fields),
    }
    return bytes(save(tensors, metadata))


def _unpack(data: bytes, key: str, kind: type[Any]) -> Any:
    from safetensors.torch import load

    tensors = load(data)
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    metadata = header["__metadata__"]
    expected = {"format": FORMAT, "key": key, "digest": _digest(tensors, metadata["fields"])}
    if any(metadata[name] != value for name, value in expected.items()):
        raise ValueError("The entry is foreign or damaged.")
    plain = json.loads(metadata["fields"])
    values: dict[str, Any] = {}
    for name in _stored(kind):
        entry = plain.get(name)
        if entry is None:
            values[name] = tensors[name]
        elif isinstance(entry, int):
            values[name] = [tensors[f"{name}.{i}"] for i in range(entry)]
        else:
            value = entry["value"]
            values[name] = tuple(value) if isinstance(value, list) else value
    return kind(**values)


def _digest(tensors: dict[str, Any], fields: str) -> str:
    digest = hashlib.blake2b(fields.encode(), digest_size=16)
    for name in sorted(tensors):
        digest.update(f"{name} {tuple(tensors[name].shape)} {tensors[name].dtype}".encode())
        digest.update(_bytes(tensors[name]))
    return digest.hexdigest()


def _bytes(tensor: Any) -> Any:
    import torch

    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return memoryview(flat.view(torch.uint8).numpy()) if flat.numel() else b""


def _device(model: Any) -> Any:
    import torch

    first = next(iter(model.parameters()), None)
    return torch.device("cpu") if first is None else first.device


def _on_device(features: Any, device: Any) -> Any:
    """Move tensors, and lists of them, to a device."""
    if device.type == "cpu":
        return features
    moved: dict[str, Any] = {}
    for name in _stored(features):
        value = getattr(features, name)
        if _is_tensor(value):
            moved[name] = value.to(device)
        elif isinstance(value, list):
            moved[name] = [item.to(device) for item in value]
    return dataclasses.replace(features, **moved)


def _remove(path: Path) -> None:
    with suppress(OSError):  # gone already, or open in another process (Windows)
        path.unlink()
