"""Features on disk: found again, never trusted blindly, kept within their limits."""

from __future__ import annotations

import multiprocessing
import os
import time
import warnings

import numpy as np
import pytest
import torch

from napari_inter2former._files import OutputError
from napari_inter2former.errors import PromptError
from napari_inter2former.model.inter2former import ImageFeatures
from napari_inter2former.predictor import DiskCache, Predictor, precompute
from napari_inter2former.predictor._disk_cache import weights_key
from napari_inter2former.prompts import Click
from napari_inter2former.weights import load_model

from ..networks import smallest_model

IMAGE = np.random.default_rng(0).integers(0, 4096, (300, 260), dtype=np.uint16)
CLICKS = [Click(140, 120), Click(150, 100, False)]
KEY = "ab" * 16


@pytest.fixture(scope="module")
def model():
    return smallest_model()


def features(seed=0, size=8):
    torch.manual_seed(seed)
    shapes = ((1, 4, 4, 4), (1, 2, size, 3))
    return ImageFeatures(
        torch.rand(1, 2, 2, 6), [torch.rand(s) for s in shapes], (30, 28), [torch.rand(4)]
    )


def encodings(predictor, monkeypatch):
    calls = []
    real = predictor.model.encode
    monkeypatch.setattr(predictor.model, "encode", lambda image: calls.append(1) or real(image))
    return calls


def entries(folder):
    return sorted(folder.rglob("*.safetensors"))


def test_the_next_session_encodes_nothing(model, tmp_path, monkeypatch):
    first = Predictor(model, disk_cache=tmp_path)
    first.set_image(IMAGE)
    masks = [first.predict(CLICKS[:n]) for n in (1, 2)]
    assert entries(tmp_path)
    second = Predictor(model, disk_cache=DiskCache(tmp_path))
    calls = encodings(second, monkeypatch)
    second.set_image(IMAGE.copy())
    for n, mask in enumerate(masks, start=1):
        again = second.predict(CLICKS[:n])
        assert (again.box, again.score) == (mask.box, mask.score)
        np.testing.assert_array_equal(again.data, mask.data)
    assert not calls
    second.set_image(IMAGE[::-1])
    second.predict(CLICKS)
    assert calls


def test_other_weights_and_settings_find_nothing(model, tmp_path, monkeypatch):
    Predictor(model, disk_cache=tmp_path)
    assert not list(tmp_path.iterdir())  # nothing is written before it is needed
    other = smallest_model()
    with torch.no_grad():
        next(other.parameters()).add_(1)
    assert weights_key(other) != weights_key(model)
    assert weights_key(smallest_model(dpe=False)) != weights_key(other)
    assert weights_key(model) == weights_key(model)
    for number, network in enumerate((model, other), start=1):
        predictor = Predictor(network, disk_cache=tmp_path)
        predictor.set_image(IMAGE)
        predictor.prefetch(140, 120)
        assert len(entries(tmp_path)) == number
    calls = encodings(predictor, monkeypatch)
    predictor.set_image(IMAGE, normalization=predictor.normalization)
    predictor.prefetch(140, 120)
    assert not calls


def test_features_of_two_precisions_are_never_mixed(model, tmp_path, monkeypatch):
    on_disk, in_memory = Predictor(model, disk_cache=tmp_path), Predictor(model)
    calls = encodings(on_disk, monkeypatch)  # of both, as they share the model
    for number, precision in enumerate(("fp32", "bf16"), start=1):
        monkeypatch.setenv("INTER2FORMER_PRECISION", precision)
        for _ in range(2):
            for predictor in (on_disk, in_memory):
                predictor.set_image(IMAGE)
                predictor.prefetch(140, 120)
        assert len(calls) == 2 * number
        assert len(entries(tmp_path)) == number


def test_a_round_trip_changes_nothing(tmp_path):
    cache = DiskCache(tmp_path)
    stored = features()
    cache.put(KEY, stored)
    got = cache.get(KEY, ImageFeatures)
    assert got.shape == (30, 28)
    assert torch.equal(got.tokens, stored.tokens)
    for name in ("edges", "background"):
        mine, theirs = getattr(got, name), getattr(stored, name)
        assert all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))
    assert KEY in cache
    assert cache.nbytes > 0
    cache.clear()
    assert KEY not in cache


@pytest.mark.parametrize(
    "damage", ["cut", "empty", "flipped", "foreign", "text", "other key", "header"]
)
def test_a_damaged_or_foreign_entry_is_never_trusted(tmp_path, damage):
    cache = DiskCache(tmp_path)
    cache.put(KEY, features())
    (path,) = entries(tmp_path)
    data = bytearray(path.read_bytes())
    if damage == "cut":
        data = data[: len(data) // 2]
    elif damage == "empty":
        data = bytearray()
    elif damage == "flipped":
        data[-3] ^= 0x40
    elif damage == "header":
        place = data.index(b"[30, 28]")
        data[place + 1] = ord("6")
    elif damage == "foreign":
        from safetensors.torch import save

        data = bytearray(save({"tokens": torch.rand(3)}))
    elif damage == "text":
        data = bytearray(b"not an entry at all, but long enough to be one")
    else:
        cache.put("ab" + "cd" * 15, features(1))
        data = bytearray(cache._path("ab" + "cd" * 15).read_bytes())
    path.write_bytes(data)
    assert cache.get(KEY, ImageFeatures) is None
    assert not path.exists()
    cache.put(KEY, features())
    assert cache.get(KEY, ImageFeatures) is not None


def test_a_broken_entry_is_computed_anew(model, tmp_path, monkeypatch):
    predictor = Predictor(model, disk_cache=tmp_path)
    predictor.set_image(IMAGE)
    mask = predictor.predict(CLICKS[:1])
    for path in entries(tmp_path):
        path.write_bytes(path.read_bytes()[:-10])
    again = Predictor(model, disk_cache=tmp_path)
    calls = encodings(again, monkeypatch)
    again.set_image(IMAGE)
    assert again.predict(CLICKS[:1]).box == mask.box
    assert calls


def test_the_longest_unused_goes_first_and_so_does_what_is_too_old(tmp_path):
    cache = DiskCache(tmp_path)
    keys = [f"{i:02x}" * 16 for i in range(4)]
    for age, key in enumerate(keys):
        cache.put(key, features(age))
        os.utime(cache._path(key), (time.time() - 1000 * (4 - age),) * 2)
    assert cache.get(keys[0], ImageFeatures) is not None  # used now
    one = cache.nbytes // 4
    part = tmp_path / "00" / ".x.safetensors.1234.part"
    part.write_bytes(b"half")
    small = DiskCache(tmp_path, max_bytes=2 * one + 10)
    assert small.clean() <= 2 * one + 10
    assert [key in small for key in keys] == [True, False, False, True]
    assert part.exists()  # somebody may be writing it
    os.utime(part, (time.time() - 2 * 24 * 3600,) * 2)
    os.utime(small._path(keys[3]), (time.time() - 40 * 24 * 3600,) * 2)
    DiskCache(tmp_path).clean()
    assert not part.exists()
    assert keys[3] not in small
    with pytest.raises(ValueError, match="0 or more"):
        DiskCache(tmp_path, max_bytes=-1)


def test_writing_keeps_the_bound(tmp_path):
    cache = DiskCache(tmp_path, max_bytes=20_000)
    for i in range(40):
        cache.put(f"{i:02x}" * 16, features(i, 64))
    assert cache.nbytes <= 20_000 + 20_000 // 16 + 4000


def test_a_disk_that_refuses_costs_one_warning(model, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    predictor = Predictor(model, disk_cache=blocked / "folder")
    predictor.set_image(IMAGE)
    with pytest.warns(UserWarning, match="can't be kept"):
        predictor.prefetch(140, 120)
    predictor.prefetch(10, 10)  # warnings are errors
    predictor.predict(CLICKS[:1])


def test_precompute_tells_that_nothing_can_be_kept(model, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    kept = DiskCache(tmp_path / "kept")
    for cache, reason in [
        (DiskCache(blocked / "folder"), "kept in this cache"),
        (DiskCache(tmp_path / "kept", read_only=True), "only read"),
        (DiskCache(tmp_path / "small", max_bytes=1), "its limit"),
    ]:
        predictor = Predictor(model, disk_cache=cache)
        predictor.set_image(IMAGE)
        with pytest.raises(OutputError, match=reason) as caught:
            precompute(predictor)
        assert str(cache.folder) in str(caught.value)
    # What is there already needs no room.
    predictor = Predictor(model, disk_cache=kept)
    predictor.set_image(IMAGE)
    assert precompute(predictor) > 0
    again = Predictor(model, disk_cache=DiskCache(tmp_path / "kept", read_only=True))
    again.set_image(IMAGE)
    assert precompute(again) == 0


def hammer(folder, seed):
    cache = DiskCache(folder, max_bytes=60_000)
    for i in range(30):
        key = f"{(i * (seed + 1)) % 7:02x}" * 16
        cache.put(key, features(int(key[:2], 16)))
        found = cache.get(key, ImageFeatures)
        expected = features(int(key[:2], 16)).tokens
        assert found is None or torch.equal(found.tokens, expected)
    return seed


def test_several_processes_share_a_folder(tmp_path):
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        assert pool.starmap(hammer, [(tmp_path, 0), (tmp_path, 1)]) == [0, 1]


def test_precompute_makes_every_first_click_ready(model, tmp_path, monkeypatch):
    predictor = Predictor(model, disk_cache=tmp_path)
    predictor.set_image(IMAGE)
    told = []
    count = precompute(predictor, progress=lambda done, total: told.append((done, total)))
    assert count == told[-1][0] == told[-1][1] == len(entries(tmp_path))
    assert precompute(predictor) == 0
    again = Predictor(model, disk_cache=tmp_path)
    calls = encodings(again, monkeypatch)
    again.set_image(IMAGE)
    for row in range(5, 300, 50):
        again.prefetch(row, (row * 7) % 260)
    assert not calls
    assert precompute(again, [2.0], (0, 0, 20, 20)) == len(calls) > 0
    with pytest.raises(PromptError, match="region"):
        precompute(again, region=(0, 0, 400, 10))
    with pytest.raises(ValueError, match="disk_cache=True"):
        precompute(Predictor(model))


def test_what_was_precomputed_is_there_in_the_widget(monkeypatch, tmp_path):
    pytest.importorskip("qtpy")
    from napari_inter2former._qt._dock import make_predictor

    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_, **__: tmp_path)
    first = Predictor("tiny", disk_cache=True)
    first.set_image(IMAGE)
    mask = first.predict(CLICKS[:1])
    kept = entries(tmp_path)
    assert kept
    predictor = make_predictor("tiny")
    calls = encodings(predictor, monkeypatch)
    predictor.set_image(IMAGE)
    np.testing.assert_array_equal(predictor.predict(CLICKS[:1]).data, mask.data)
    assert not calls
    # What is not there is encoded, and not stored unasked.
    predictor.set_image(IMAGE[::-1].copy())
    predictor.predict(CLICKS[:1])
    assert calls
    assert entries(tmp_path) == kept


def test_weights_that_were_trained_on_find_nothing_of_the_former_ones():
    model = load_model("tiny")
    before = weights_key(model)
    with torch.no_grad():
        next(model.parameters()).mul_(2)
    assert weights_key(model) != before


def test_off_by_default_and_in_the_users_folder(model, monkeypatch, tmp_path):
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_, **__: tmp_path)
    assert Predictor(model).disk_cache is None
    assert Predictor(model, disk_cache=True).disk_cache.folder == tmp_path / "features"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert DiskCache(tmp_path / "none").clean() == 0
