"""Weights files: what goes in comes out, and what is wrong is said."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from napari_inter2former import weights
from napari_inter2former.errors import WeightsError
from napari_inter2former.predictor import Predictor
from napari_inter2former.prompts import Click

from ..networks import SMALLEST, smallest_model


@pytest.fixture(scope="module")
def model():
    return smallest_model()


@pytest.fixture
def path(model, tmp_path):
    metadata = {"training": {"images": ["a", "b"]}, "figures": {"iou@5": 0.9}}
    return weights.save_weights(tmp_path / "new" / "mine.safetensors", model, metadata)


def rewrite(path, change_tensors=lambda t: t, **metadata):
    """Write the file anew with other tensors or metadata."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        stored = json.loads(file.read(length))["__metadata__"]
    tensors = change_tensors(load_file(path))
    stored = {k: v for k, v in {**stored, **metadata}.items() if v is not None}
    save_file(tensors, path, stored)


def test_round_trip(model, path):
    loaded = weights.load_model(path)
    assert loaded.config == model.config
    assert loaded.weights_name == "mine"
    assert not loaded.training
    for key, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], tensor), key
    metadata = weights.read_metadata(path)
    assert metadata["training"] == {"images": ["a", "b"]}
    assert metadata["figures"] == {"iou@5": 0.9}
    assert metadata["normalization"]["percentiles"] == [1.0, 99.8]
    assert metadata["config"] == json.loads(json.dumps(SMALLEST.to_dict()))
    assert metadata["sha256"] == loaded.weights_sha256
    assert len(metadata["sha256"]) == 64
    assert [p.name for p in path.parent.iterdir()] == ["mine.safetensors"]


def test_half_precision_on_disk_is_single_in_memory(model, tmp_path):
    path = weights.save_weights(tmp_path / "half.safetensors", model, half=True)
    full = weights.save_weights(tmp_path / "full.safetensors", model)
    assert path.stat().st_size < 0.75 * full.stat().st_size
    loaded = weights.load_model(path)
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    predictor = Predictor(path)
    predictor.set_image(np.eye(40))
    predictor.predict([Click(3, 3)])


def test_models_are_found_by_name(path):
    with pytest.raises(WeightsError, match=r"no model called 'mine'.*safetensors"):
        weights.load_model("mine")
    folder = weights.user_models_folder()
    assert folder == Path(os.environ["INTER2FORMER_HOME"]) / "models"
    folder.mkdir()
    (folder / "mine.safetensors").write_bytes(path.read_bytes())
    assert weights.load_model("mine").weights_name == "mine"
    assert Predictor("mine").model.weights_name == "mine"
    info = {info.name: info for info in weights.list_models()}["mine"]
    assert info.path == folder / "mine.safetensors"
    assert not info.shipped
    with pytest.raises(WeightsError, match="mine"):
        weights.load_model("other")
    (folder / "mine-1.5.safetensors").write_bytes(path.read_bytes())
    assert weights.load_model("mine-1.5").weights_name == "mine-1.5"


def test_the_users_folder_without_the_variable(monkeypatch):
    monkeypatch.delenv("INTER2FORMER_HOME")
    assert weights.user_models_folder().parts[-2:] == ("napari-inter2former", "models")


@pytest.mark.parametrize(
    ("name", "message"),
    [("none.safetensors", "not there"), ("sub/tiny", "not there"), (".", "folder")],
)
def test_paths_that_are_no_file(tmp_path, name, message):
    with pytest.raises(WeightsError, match=message):
        weights.load_model(tmp_path / name)


def test_truncated_files(path):
    whole = path.read_bytes()
    (header,) = struct.unpack("<Q", whole[:8])
    for size in (0, 5, 8, 100, header, header + 8, header + 100, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(WeightsError, match="again"):
            weights.load_model(path)


def test_foreign_files(tmp_path):
    torch.save({"a": torch.ones(2)}, tmp_path / "new.pt")
    torch.save({"a": torch.ones(2)}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    for name in ("new.pt", "old.pt"):
        with pytest.raises(WeightsError, match="pickle"):
            weights.load_model(tmp_path / name)
    save_file({"a": torch.ones(2)}, tmp_path / "other.safetensors")
    save_file({"a": torch.ones(2)}, tmp_path / "other2.safetensors", {"format": "pt"})
    for name in ("other.safetensors", "other2.safetensors"):
        with pytest.raises(WeightsError, match="no model of napari-inter2former"):
            weights.load_model(tmp_path / name)
    (tmp_path / "text.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n" * 9)
    with pytest.raises(WeightsError, match=r"no \.safetensors"):
        weights.load_model(tmp_path / "text.safetensors")


def test_a_header_that_begins_like_a_pickle(model, path):
    whole = path.read_bytes()
    (length,) = struct.unpack("<Q", whole[:8])
    blanks = (0x80 - length) % 256
    header = struct.pack("<Q", length + blanks) + whole[8 : 8 + length] + b" " * blanks
    path.write_bytes(header + whole[8 + length :])
    assert path.read_bytes()[:1] == b"\x80"
    assert weights.load_model(path).config == model.config


def test_altered_files(path):
    whole = bytearray(path.read_bytes())
    whole[-3] ^= 1
    path.write_bytes(bytes(whole))
    with pytest.raises(WeightsError, match="checksum"):
        weights.load_model(path)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"version": "2"}, "update"),
        ({"version": "x"}, "damaged"),
        ({"config": "{"}, "damaged"),
        ({"config": "[1]"}, "damaged"),
        ({"sha256": None}, "damaged"),
        ({"config": '{"no_such_setting": 1}'}, "no_such_setting"),
        ({"config": '{"window": 64}'}, "do not fit"),
    ],
)
def test_bad_metadata(path, metadata, message):
    rewrite(path, **metadata)
    with pytest.raises(WeightsError, match=message):
        weights.load_model(path)


def test_missing_tensors(path):
    def without_first(tensors):
        return dict(list(tensors.items())[1:])

    tensors = without_first(load_file(path))
    rewrite(path, without_first, sha256=weights._sha256(tensors))
    with pytest.raises(WeightsError, match="do not fit"):
        weights.load_model(path)


def test_saving_refuses_what_it_cannot_keep(model, tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    with pytest.raises(WeightsError, match="Unknown metadata: author"):
        weights.save_weights(path, model, {"author": "x"})
    with pytest.raises(WeightsError, match="JSON"):
        weights.save_weights(path, model, {"training": {1, 2}})
    huge = smallest_model()
    with torch.no_grad():
        next(huge.parameters()).fill_(1e9)
    with pytest.raises(WeightsError, match="half"):
        weights.save_weights(path, huge, half=True)
    (tmp_path / "file").touch()
    with pytest.raises(WeightsError, match="can't be written"):
        weights.save_weights(tmp_path / "file" / "a.safetensors", model)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file"]


def test_a_failed_write_leaves_the_old_file(model, path, monkeypatch):
    before = path.read_bytes()

    def full_disk(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(weights.os, "fsync", full_disk)
    with pytest.raises(WeightsError, match="No space left"):
        weights.save_weights(path, model)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["mine.safetensors"]
