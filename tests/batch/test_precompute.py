"""Encoding ahead: images that fail are named, and so is a cache that keeps nothing."""

from __future__ import annotations

import pytest

from napari_inter2former.cli import main
from napari_inter2former.predictor import _disk_cache


@pytest.fixture
def cache(tmp_path, monkeypatch):
    path = tmp_path / "cache"
    monkeypatch.setattr(_disk_cache, "default_folder", lambda: path)
    return path


def test_an_empty_image_is_named_and_ends_nothing(folder, weights, cache, capsys):
    zarr = pytest.importorskip("zarr", minversion="3")
    zarr.create_array(folder / "b.zarr", shape=(0, 40), chunks=(8, 8), dtype="uint8")
    (folder / "b.tif").unlink()
    assert main(["precompute", str(folder), "--model", weights]) == 1
    printed = capsys.readouterr()
    assert "2 image(s) done" in printed.out
    assert str(folder / "b.zarr") in printed.err


def test_a_cache_that_keeps_nothing_is_no_success(folder, weights, cache, capsys):
    cache.write_text("in the way")
    assert main(["precompute", str(folder / "a.tif"), "--model", weights]) == 1
    printed = capsys.readouterr()
    assert "0 image(s) done" in printed.out
    assert f"{cache}: features can't be kept" in printed.err


def test_a_cache_can_not_be_less_than_empty(folder, weights, cache, monkeypatch, capsys):
    monkeypatch.setenv("INTER2FORMER_CACHE_GB", "-1")
    assert main(["precompute", str(folder), "--model", weights]) == 2
    assert "INTER2FORMER_CACHE_GB=-1 is negative" in capsys.readouterr().err
