"""Samples, clicks, losses and checkpoints."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from napari_inter2former.evaluation.datasets import DatasetError, Pair, find_pairs
from napari_inter2former.model import build_model
from napari_inter2former.model import reference_mask as rm
from napari_inter2former.training import augmentation, sampling
from napari_inter2former.training.augmentation import augment
from napari_inter2former.training.checkpoint import (
    Checkpoint,
    CheckpointError,
    load_checkpoint,
    save_checkpoint,
)
from napari_inter2former.training.clicks import add_clicks, draw_click, draw_grains, start
from napari_inter2former.training.faults import bend, lose, move, resize
from napari_inter2former.training.loop import (
    Trainer,
    TrainingOptions,
    intersection_over_union,
    object_boxes,
)
from napari_inter2former.training.losses import mask_loss, pool_targets
from napari_inter2former.training.pool import (
    TrainingImage,
    dataset_weights,
    make_dataset,
    read_pool,
)
from napari_inter2former.training.sampling import Batch, SamplingOptions, batches, draw_crop, warp
from napari_inter2former.training.synthetic import displacement
from napari_inter2former.training.targets import draw_targets

from ..networks import SMALLEST
from .conftest import draw_pair


def test_labels_are_renumbered_and_objects_measured(pool: Path) -> None:
    datasets, skipped = read_pool(pool, "train")
    assert [d.name for d in datasets] == ["discs", "others"]
    assert not skipped
    image = datasets[0].images[0]
    assert np.unique(image.labels).tolist() == [0, 1, 2, 3]  # the files hold 5, 6, 7
    for label, (row, column, area) in enumerate(image.objects, start=1):
        inside = image.labels == label
        assert area == inside.sum()
        assert inside[round(row), round(column)]
    assert dataset_weights(datasets, {}).sum() == pytest.approx(1)


def test_unusable_pairs_are_named_and_left_out(pool: Path) -> None:
    folder = pool / "discs" / "train"
    (folder / "0001_image.png").write_bytes(b"no picture")
    cv2.imwrite(str(folder / "0002_image.png"), np.zeros((50, 50), np.uint8))
    cv2.imwrite(str(folder / "0002_label.png"), np.zeros((50, 50), np.uint8))
    cv2.imwrite(str(folder / "0003_image.png"), np.zeros((50, 50), np.uint8))
    cv2.imwrite(str(folder / "0003_label.png"), np.ones((50, 51), np.uint8))
    dataset, skipped = make_dataset("discs", find_pairs(folder))
    assert len(dataset.images) == 1
    assert len(skipped) == 3
    for name, line in zip(("0001_image", "0002_label", "0003_label"), skipped, strict=True):
        assert name in line


def test_a_dataset_without_objects_is_refused(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a_image.png"), np.zeros((50, 50), np.uint8))
    cv2.imwrite(str(tmp_path / "a_label.png"), np.zeros((50, 50), np.uint8))
    with pytest.raises(DatasetError, match="nothing to train on"):
        make_dataset("empty", find_pairs(tmp_path))


def test_crops_keep_image_and_labels_together(pool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_inter2former.training.sampling.augment", lambda image, _: image)
    image = read_pool(pool, "train")[0][0].images[0]
    options = SamplingOptions(
        side=96,
        objects=3,
        smallest=12,
        largest=60,
        union=0,
        parts=0,
        background=0,
        superpixels=0,
    )
    rng = np.random.default_rng(0)
    for _ in range(20):
        crop = draw_crop(image, options, rng)
        if crop is None:
            continue
        pixels, targets, _ = crop
        assert pixels.shape == (96, 96, 3)
        assert targets.shape == (3, 96, 96)
        for target in targets:
            # Discs are brighter than everything else by far.
            inner = cv2.erode(target.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
            if inner.any():
                assert pixels[inner].mean() > 0.6


def test_superpixel_targets_leave_the_labels_of_the_real_objects(
    pool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_inter2former.training.sampling.augment", lambda image, _: image)
    image = read_pool(pool, "train")[0][0].images[0]
    options = SamplingOptions(side=96, superpixels=1, union=0, parts=0, background=0)
    rng = np.random.default_rng(0)
    for crop in (draw_crop(image, options, rng) for _ in range(10)):
        if crop is not None:
            pixels, targets, labels = crop
            assert set(np.unique(labels)) <= {0, 1, 2, 3}
            # What lies outside the image is no target.
            assert all((pixels.max(2)[target] > 0).mean() > 0.5 for target in targets)


def test_batches_have_the_promised_shapes(pool: Path) -> None:
    datasets, _ = read_pool(pool, "train")
    options = SamplingOptions(side=64, crops=2, objects=3, large=0)
    batch = next(batches(datasets, options, *np.random.default_rng(0).spawn(2)))
    assert batch.images.shape == (2, 64, 64, 3)
    assert batch.targets.shape == (6, 64, 64)
    assert batch.targets.flatten(1).any(1).all()
    assert 0 <= batch.images.min() <= batch.images.max() <= 1


def test_larger_batches_are_as_large_in_every_process(pool: Path) -> None:
    datasets, _ = read_pool(pool, "train")
    options = SamplingOptions(side=64, crops=4, objects=2, large=0.5)
    streams = [
        batches(datasets, options, np.random.default_rng(rank), np.random.default_rng(7))
        for rank in range(2)
    ]
    seen = set()
    for _ in range(12):
        first, second = (next(stream) for stream in streams)
        assert first.images.shape == second.images.shape
        count, side = first.images.shape[:2]
        assert count * side**2 <= 1.5 * 4 * 64**2
        seen.add(side)
    assert {64, 96, 128} >= seen > {64}


def test_emphasis_draws_a_dataset_more_often(pool: Path) -> None:
    datasets, _ = read_pool(pool, "train")
    plain = dataset_weights(datasets, {})
    more = dataset_weights(datasets, {datasets[0].name: 2.0})
    assert more[0] / more[1] == pytest.approx(2 * plain[0] / plain[1])


def test_augmentation_stays_in_range_and_changes_something() -> None:
    rng = np.random.default_rng(0)
    image = rng.random((40, 50, 3), dtype=np.float32)
    results = [augment(image, rng) for _ in range(60)]
    for result in results:
        assert result.shape == image.shape
        assert result.dtype == np.float32
        assert 0 <= result.min() <= result.max() <= 1
    assert sum(not np.array_equal(result, image) for result in results) > 40


def test_clicks_fall_deep_inside_the_larger_error() -> None:
    rng = np.random.default_rng(0)
    target, predicted = np.zeros((2, 60, 60), bool)
    target[10:50, 10:30] = True
    predicted[10:50, 10:16] = True  # misses 40 x 14
    predicted[20:24, 40:44] = True  # 4 x 4 too much
    for _ in range(30):
        click = draw_click(target, predicted, rng)
        assert click is not None
        row, column, positive = click
        assert positive
        assert target[row, column]
        assert not predicted[row, column]
        assert 19 <= column <= 26  # at least 7 / 1.7 pixels from both sides
    predicted[10:50, 10:30] = True
    click = draw_click(target, predicted, rng)
    assert click is not None
    assert not click[2]
    assert draw_click(target, target, rng) is None


def test_careless_clicks_fall_anywhere_in_the_error() -> None:
    rng = np.random.default_rng(0)
    target = np.zeros((60, 60), bool)
    target[10:50, 10:50] = True
    clicks = [draw_click(target, np.zeros_like(target), rng, careless=1) for _ in range(60)]
    places = np.array([click[:2] for click in clicks if click])
    assert target[places[:, 0], places[:, 1]].all()
    assert places.min() <= 12
    assert places.max() >= 47


def test_errors_are_seen_in_pixels_of_the_users_image() -> None:
    rng = np.random.default_rng(0)
    target = np.zeros((64, 64), bool)
    target[16:48, 16:48] = True
    predicted = target.copy()
    predicted[:, 46:48] = False  # half a pixel of four, which does not hold its middle
    predicted[:, 16] = False
    assert draw_click(target, predicted, rng, grain=1) is not None
    assert draw_click(target, predicted, rng, grain=4) is not None
    predicted[:, 46] = target[:, 46]
    assert draw_click(target, predicted, rng, grain=4) is None
    predicted[16:48, 44:48] = False  # a whole column of them
    row, column, positive = draw_click(target, predicted, rng, grain=4) or (0, 0, False)
    assert positive
    assert row % 4 == 2
    assert column == 46
    predicted[16:48, 12:16] = True  # one too many on the other side
    for grain in (1, 4):
        assert (draw_click(target, predicted, rng, grain=grain) or (0, 0, True))[2] is False


def test_small_objects_are_no_coarser_than_evaluated_ones() -> None:
    targets = torch.zeros(60, 64, 64, dtype=torch.bool)
    targets[:20, :12, :12] = True
    targets[20:40, :20, :20] = True
    targets[40:, :40, :40] = True
    grains = draw_grains(targets, np.random.default_rng(0))
    assert [set(grains[i : i + 20]) for i in (0, 20, 40)] == [{1}, {1, 2}, {1, 2, 4}]


@pytest.mark.parametrize(("fine", "pixels"), [(False, 81), (True, 9)])
def test_discs_of_the_simulated_user(fine: bool, pixels: int) -> None:
    target, predicted = torch.zeros(2, 1, 40, 40, dtype=torch.bool)
    target[:, 10:30, 10:30] = True
    predicted[:, 10:30, 10:25] = True  # misses five columns
    reference = rm.from_mask(predicted)
    add_clicks(reference, target, predicted, np.random.default_rng(0), fine=fine)
    said = reference == rm.Label.DEFINITE_FOREGROUND
    assert said.sum() <= pixels
    assert fine != bool((said & ~target).any())


def test_some_objects_start_with_a_faulty_mask() -> None:
    rng = np.random.default_rng(0)
    targets = torch.zeros(40, 64, 64, dtype=torch.bool)
    targets[:, 20:44, 16:40] = True
    reference, predicted = start(targets, 0.5, rng)
    there = predicted.flatten(1).any(1)
    assert 10 <= there.sum() <= 30
    assert (reference[~there] == rm.Label.UNKNOWN).all()
    assert torch.equal(reference[there], rm.from_mask(predicted[there]))
    ious = intersection_over_union(predicted[there], targets[there])
    assert (ious < 1).float().mean() > 0.8
    assert ious.mean() > 0.5
    assert (start(targets, 0, rng)[0] == rm.Label.UNKNOWN).all()


def test_some_objects_start_in_a_box() -> None:
    rng = np.random.default_rng(0)
    disc = np.hypot(*(np.mgrid[:64, :64] - 30)) < 12
    targets = torch.from_numpy(np.repeat(disc[None], 40, 0))
    reference, predicted = start(targets, 0.3, rng, boxed=0.5, fine=True)
    mask = predicted.flatten(1).any(1)
    corners = reference == rm.Label.DEFINITE_BACKGROUND
    boxed = corners.flatten(1).any(1)
    assert 5 <= boxed.sum() <= 30
    assert not (boxed & mask).any()
    assert not corners[boxed][:, 25:36, 25:36].any()
    for said in corners[boxed]:
        rows, columns = np.nonzero(said.numpy())
        assert rows.min() < 18 <= 42 < rows.max()
        assert columns.min() < 18 <= 42 < columns.max()


@pytest.mark.parametrize("fault", [resize, move, bend, lose])
def test_faults_keep_most_of_the_object_and_take_an_empty_mask(
    fault: Callable[[np.ndarray, np.random.Generator], np.ndarray],
) -> None:
    mask = np.zeros((50, 70), bool)
    mask[10:40, 20:55] = True
    for seed in range(10):
        changed = fault(mask, np.random.default_rng(seed))
        assert changed.shape == mask.shape
        assert changed.dtype == bool
        assert (changed & mask).sum() / (changed | mask).sum() > 0.3
        assert not fault(np.zeros_like(mask), np.random.default_rng(seed)).any()


@pytest.mark.parametrize("change", [change for change, _ in augmentation._CHANGES])
def test_every_change_of_appearance_keeps_shape_and_type(
    change: Callable[[np.ndarray, np.random.Generator], np.ndarray],
) -> None:
    rng = np.random.default_rng(0)
    image = rng.random((40, 50, 3), dtype=np.float32)
    for _ in range(5):
        changed = change(image, rng)
        assert changed.shape == image.shape
        assert changed.dtype == np.float32
        assert np.isfinite(changed).all()
        assert not np.array_equal(changed, image)


def test_elastic_crops_keep_image_and_labels_together(
    pool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_inter2former.training.sampling.augment", lambda image, _: image)
    image = read_pool(pool, "train")[0][0].images[0]
    options = SamplingOptions(side=96, smallest=25, elastic=1, superpixels=0)
    rng = np.random.default_rng(0)
    inner = []
    for crop in (draw_crop(image, options, rng) for _ in range(20)):
        if crop is not None:
            discs = cv2.erode((crop[2] > 0).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
            inner += crop[0][discs].mean(-1).tolist()
    assert np.mean(np.array(inner) > 0.55) > 0.99


def test_loss_is_smaller_for_better_masks_and_each_mask_counts_alone() -> None:
    targets = torch.zeros(2, 32, 32, dtype=torch.bool)
    targets[:, 8:20, 8:20] = True
    right = torch.where(targets, 5.0, -5.0)
    half = right.clone()
    half[0, 8:14] = -5
    assert (mask_loss(right, targets) < 0.1).all()
    assert mask_loss(half, targets)[0] > 1
    torch.testing.assert_close(mask_loss(half, targets)[1], mask_loss(right, targets)[1])


def test_boxes_hold_the_object_where_it_fits() -> None:
    targets = torch.zeros(1, 192, 192, dtype=torch.bool)
    targets[0, 150:180, 20:60] = True
    low = pool_targets(targets, 16)
    rng = np.random.default_rng(0)
    for _ in range(20):
        (box,) = object_boxes(low, 0.7, rng)
        assert (box.bottom - box.top, box.right - box.left) == (8, 8)
        assert targets[0][box.slices(16)].sum() == targets.sum()
    assert object_boxes(low, 1, rng)[0] == (0, 0, 12, 12)


def test_a_step_clicks_as_the_network_is_configured(
    pool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets, _ = read_pool(pool, "train")
    rng = np.random.default_rng(0)
    batch = next(batches(datasets, SamplingOptions(side=64, crops=1, objects=1), rng, rng))
    seen = []
    monkeypatch.setattr(rm, "add_click", lambda *values: seen.append(values[4]))
    for fine in (False, True):
        trainer = Trainer(build_model(replace(SMALLEST, fine_clicks=fine)), TrainingOptions())
        trainer.step(batch, 0, np.random.default_rng(1))
        assert set(seen) == {fine}
        seen.clear()


@pytest.mark.parametrize(("own", "weight"), [(True, 1.0), (True, 0.0), (False, 1.0)])
def test_the_head_that_sees_objects_learns_as_it_is_told(
    pool: Path, own: bool, weight: float
) -> None:
    datasets, _ = read_pool(pool, "train")
    rng = np.random.default_rng(0)
    batch = next(batches(datasets, SamplingOptions(side=64, crops=1, objects=1), rng, rng))
    model = build_model(replace(SMALLEST, object_head=own))
    trainer = Trainer(model, TrainingOptions(auxiliary=weight))
    head = model.objects or trainer.auxiliary
    assert (trainer.auxiliary is None) == own
    before = {k: v.clone() for k, v in head.state_dict().items()}
    assert (trainer.step(batch, 0, np.random.default_rng(1)).auxiliary > 0) == (weight > 0)
    after = head.state_dict()
    assert all((after[k] != before[k]).any() == (weight > 0) for k in after)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_step_learns_and_balances_experts(
    pool: Path, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTER2FORMER_PRECISION", precision)
    datasets, _ = read_pool(pool, "train")
    options = SamplingOptions(side=64, crops=2, objects=2, large=0)
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    trainer = Trainer(build_model(SMALLEST), TrainingOptions(learning_rate=3e-3, warm_up=5, box=1))
    before = {k: v.clone() for k, v in trainer.model.state_dict().items()}
    batch: Batch = next(batches(datasets, options, rng, rng))
    losses = [trainer.step(batch, 0, np.random.default_rng(1)).loss for _ in range(25)]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    after = trainer.model.state_dict()
    assert any((after[k] != before[k]).any() for k in after if k.endswith("experts.bias"))
    average = trainer.average.state_dict()
    assert any((average[k] != after[k]).any() for k in after)
    assert all(w.dtype in (torch.float32, torch.int64, torch.bool) for w in after.values())


def checkpoint() -> Checkpoint:
    """Return a small checkpoint."""
    weights = {"a": torch.arange(3.0)}
    moments = {"a": {"exp_avg": torch.ones(3), "step": torch.tensor(4.0)}}
    return Checkpoint(weights, {"a": torch.zeros(3)}, {}, moments, {"step": 4})


def test_checkpoints_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, checkpoint())
    back = load_checkpoint(path)
    assert back.progress == {"step": 4}
    assert torch.equal(back.model["a"], torch.arange(3.0))
    assert torch.equal(back.average["a"], torch.zeros(3))
    assert torch.equal(back.optimizer["a"]["exp_avg"], torch.ones(3))
    assert float(back.optimizer["a"]["step"]) == 4


def test_a_failed_write_leaves_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, checkpoint())
    before = path.read_bytes()

    def full_disk(tensors: object, file: Path, metadata: object) -> None:
        Path(file).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("napari_inter2former.training.checkpoint.save_file", full_disk)
    with pytest.raises(CheckpointError, match="the last one is untouched"):
        save_checkpoint(path, checkpoint())
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["c.safetensors"]


@pytest.mark.skipif(sys.platform == "win32", reason="limits file sizes as POSIX does")
def test_a_disk_that_fills_up_leaves_the_last_checkpoint(tmp_path: Path) -> None:
    import resource

    path = tmp_path / "c.safetensors"
    save_checkpoint(path, checkpoint())
    before = path.read_bytes()
    large = checkpoint()
    large.model["a"] = torch.zeros(100_000)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(CheckpointError, match="the last one is untouched"):
            save_checkpoint(path, large)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["c.safetensors"]


def test_damaged_and_foreign_checkpoints_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, checkpoint())
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(CheckpointError, match="can't be read as a checkpoint"):
        load_checkpoint(path)
    from napari_inter2former.weights import save_weights

    save_weights(path, build_model(SMALLEST))
    with pytest.raises(CheckpointError, match="no training checkpoint"):
        load_checkpoint(path)


def test_pool_with_one_image_more_is_found(pool: Path) -> None:
    draw_pair(pool / "discs" / "train", "0007", 7)
    assert len(read_pool(pool, "train")[0][0].images) == 3


def test_a_crop_of_a_part_is_that_of_the_whole() -> None:
    """What `warp` leaves out of the source has no effect, at its borders neither."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (300, 400, 3), dtype=np.uint8)
    labels = rng.integers(0, 9, (300, 400), dtype=np.int32)
    for _ in range(30):
        angle, zoom = rng.uniform(0, 6), rng.uniform(0.3, 2)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / zoom
        matrix = np.column_stack([turn, rng.uniform(-100, 400, 2)])
        found = warp(pixels, matrix, 96, None, cv2.INTER_LINEAR, 0)
        flags = cv2.WARP_INVERSE_MAP | cv2.INTER_LINEAR
        expected = cv2.warpAffine(pixels, matrix, (96, 96), flags=flags, borderValue=[0] * 3)
        assert np.abs(found.astype(int) - expected).mean() < 0.5
        numbers = warp(labels, matrix, 96, None, cv2.INTER_NEAREST, -1)
        flags = cv2.WARP_INVERSE_MAP | cv2.INTER_NEAREST
        expected = cv2.warpAffine(
            labels.astype(np.float32), matrix, (96, 96), flags=flags, borderValue=[-1] * 3
        )
        assert (numbers == expected).mean() > 0.99


def test_crops_of_images_wider_than_opencv_takes() -> None:
    wide = np.zeros((40, 33_000), np.int32)
    wide[10:30, 32_000:32_020] = 1
    bend = displacement(96, 0.1, np.random.default_rng(0))
    matrix = np.array([[0.5, 0, 31_990], [0, 0.5, 0]])
    for each in (None, bend):
        assert (warp(wide, matrix, 96, each, cv2.INTER_NEAREST, -1) == 1).sum() > 1000


def test_most_targets_are_whole_and_of_the_size_that_the_predictor_draws(tmp_path: Path) -> None:
    """Also where large ones, long ones and small ones lie side by side."""
    labels = np.zeros((600, 600), np.int32)
    for i, (r, c) in enumerate(np.ndindex(12, 12), 1):
        height, width = ((45, 45), (12, 12), (45, 22))[i % 3]
        labels[50 * r + 2 : 50 * r + 2 + height, 50 * c + 2 : 50 * c + 2 + width] = i
    cv2.imwrite(str(tmp_path / "a.png"), (labels > 0).astype(np.uint8) * 200)
    cv2.imwrite(str(tmp_path / "a_label.png"), labels.astype(np.uint8))
    image = TrainingImage(Pair("a", tmp_path / "a.png", tmp_path / "a_label.png"))
    rng = np.random.default_rng(0)
    options = SamplingOptions(objects=4, union=0, parts=0, background=0, superpixels=0)
    cut_off, small, long, count = 0, 0, 0, 0
    for _ in range(80):
        crop = draw_crop(image, options, rng)
        assert crop is not None
        for target in crop[1]:
            rim = np.concatenate([target[0], target[-1], target[:, 0], target[:, -1]])
            cut_off += rim.any()
            small += target.sum() < 30**2
            long += max(target.any(0).sum(), target.any(1).sum()) > 0.7 * options.side
            count += 1
    assert cut_off < 0.3 * count
    assert small < 0.3 * count
    assert long < 0.2 * count


def test_small_objects_are_asked_for_where_there_are_no_others() -> None:
    labels = np.zeros((96, 96), np.int32)
    labels[40:50, 40:50] = 1
    labels[:, :20] = 2  # cut off
    pixels = np.zeros((96, 96, 3), np.uint8)
    options = SamplingOptions(objects=3, whole=1, union=0, parts=0, background=0)
    rng = np.random.default_rng(0)
    for number, least in ((1, 0), (1, 30)):
        targets = draw_targets(pixels, labels, options, rng, least)
        assert targets is not None
        assert all((target == (labels == number)).all() for target in targets)
    labels[40:50, 40:50] = 0
    targets = draw_targets(pixels, labels, options, rng, 30)
    assert targets is not None
    assert targets.sum() == 3 * 96 * 20


def test_a_rate_that_neither_warms_up_nor_falls() -> None:
    trainer = Trainer(build_model(SMALLEST), TrainingOptions(warm_up=0, decay_from=1))
    assert trainer.rate(0) == trainer.rate(0.99) == trainer.options.learning_rate


def test_an_object_goes_on_beyond_the_box_it_is_learned_in(monkeypatch) -> None:
    """Its reference mask has no border where the box ends."""
    trainer = Trainer(build_model(SMALLEST), TrainingOptions(previous=0, rehearsed=0))
    with torch.no_grad():
        trainer.named_parameters["upsampling.locate.2.bias"].fill_(20)
    seen = []
    real = rm.update
    monkeypatch.setattr(rm, "update", lambda r, m: seen.append(m.clone()) or real(r, m))
    targets = torch.zeros(1, 128, 128, dtype=torch.bool)
    targets[:, 50:70] = True
    batch = Batch(torch.rand(1, 128, 128, 3), targets, targets.int())
    trainer.step(batch, 0, np.random.default_rng(0))
    # All of what lies outside of the box is found to be object; one rim of the crop is outside.
    assert seen
    assert seen[0][0, :, 0].all() or seen[0][0, :, -1].all()


def test_labels_that_change_are_read_again(tmp_path: Path) -> None:
    pair = Pair("a", tmp_path / "a.png", tmp_path / "a_masks.png")
    labels = np.zeros((60, 60), np.uint8)
    cv2.imwrite(str(pair.image), labels)
    for count in (1, 2):
        labels[5:20, 25 * count - 20 : 25 * count] = count
        cv2.imwrite(str(pair.label), labels)
        assert len(TrainingImage(pair).objects) == count


def test_an_object_of_distant_pieces_is_learned_and_crops_without_objects_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = np.zeros((1000, 1000), np.uint8)
    for row, column in ((20, 20), (20, 940), (940, 20), (940, 940)):
        labels[row : row + 40, column : column + 40] = 1
    image = np.where(labels, 200, 20).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "a_image.png"), image)
    cv2.imwrite(str(tmp_path / "a_label.png"), labels)
    dataset, _ = make_dataset("pieces", find_pairs(tmp_path))
    options = SamplingOptions(side=96, crops=2, synthetic=0, superpixels=0)
    source = batches([dataset], options, np.random.default_rng(0), np.random.default_rng(1))
    assert next(source).targets.flatten(1).any(1).all()
    monkeypatch.setattr(sampling, "draw_crop", lambda *_: None)
    with pytest.raises(DatasetError, match="no object well enough"):
        next(source)
    with pytest.raises(DatasetError, match="multiple of 32"):
        SamplingOptions(side=200)
