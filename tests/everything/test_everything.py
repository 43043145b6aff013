from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_inter2former.errors import Inter2FormerError
from napari_inter2former.everything import (
    EverythingSettings,
    SettingsError,
    segment_everything,
    stream_everything,
)
from napari_inter2former.everything._blocks import HALO, Block, block_side, blocks_of
from napari_inter2former.everything._decode import Piece
from napari_inter2former.everything._find import find_objects
from napari_inter2former.everything._levels import _probes
from napari_inter2former.everything._merge import surviving
from napari_inter2former.everything._scores import least_score, lowest_score
from napari_inter2former.everything._shapes import cut_out, deepest
from napari_inter2former.images import Normalization, as_image_source
from napari_inter2former.images import _source as source_module
from napari_inter2former.predictor import Mask
from napari_inter2former.predictor._windows import Window
from napari_inter2former.training.auxiliary import dense_targets

AT_ONE = EverythingSettings(zoom=1)


def test_objects_are_found_and_background_is_not(fake, grid_of_discs, picture, worst_iou):
    truth = grid_of_discs((256, 300), 64, 24)
    result = segment_everything(picture(truth), fake, settings=AT_ONE)
    assert result.labels.shape == truth.shape
    assert result.labels.dtype == np.int32
    assert result.labels.max() == truth.max()
    assert worst_iou(result.labels, truth) > 0.95
    table = result.table
    assert list(table["label"]) == list(range(1, truth.max() + 1))
    assert min(table["score"]) > 0.9
    for i, number in enumerate(table["label"]):
        rows, columns = np.nonzero(result.labels == number)
        assert table["area"][i] == rows.size
        assert table["centroid-0"][i] == pytest.approx(rows.mean())
        assert table["centroid-1"][i] == pytest.approx(columns.mean())
        box = (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)
        assert tuple(table[f"bbox-{k}"][i] for k in range(4)) == box


def test_no_seams_between_blocks(fake, grid_of_discs, picture, worst_iou):
    """Discs on block borders are as good as others, and none is found twice or lost."""
    side = block_side(fake.config.window)
    truth = grid_of_discs((3 * side, 2 * side + 77), 75, 24)
    blocks = blocks_of(truth.shape, 0, side)
    assert len(blocks) > 9
    result = segment_everything(picture(truth), fake, settings=AT_ONE)
    assert result.labels.max() == truth.max()
    assert worst_iou(result.labels, truth) > 0.99


def test_what_is_seen_is_clicked_by_the_block_that_it_lies_in(fake, grid_of_discs, picture):
    """Discs smaller than the grid's meshes, none of which is lost, and few are clicked twice."""
    side = block_side(fake.config.window)
    truth = grid_of_discs((2 * side, 2 * side), 32, 8)
    image = picture(truth)
    wide = EverythingSettings(zoom=1, spacing=96)
    assert segment_everything(image, fake, settings=wide).labels.max() < truth.max() / 2
    fake.clicks = 0

    def objects(features):
        targets = dense_targets(torch.from_numpy(features.parts[None]))
        logits = [torch.where(x, 4.0, -4.0) for x in (targets.foreground, targets.border)]
        return torch.cat((torch.stack(logits, -1), targets.offsets), -1)

    fake.objects = objects
    assert segment_everything(image, fake, settings=wide).labels.max() == truth.max()
    # Each is clicked, and drawn again; those near borders of blocks by several.
    assert 2 * truth.max() <= fake.clicks < 3.2 * truth.max()


def test_nothing_is_looked_for_inside_objects_that_are_found(fake, discs, picture, monkeypatch):
    truth = discs((200, 200), [(100, 100, 75)])
    clicked = []
    decode = fake.decode

    def remembering(features, clicks):
        clicked.extend(clicks)
        return decode(features, clicks)

    monkeypatch.setattr(fake, "decode", remembering)
    settings = EverythingSettings(zoom=1, spacing=16)
    assert segment_everything(picture(truth), fake, settings=settings).labels.max() == 1
    grid = Block(Window(0, 0, 0, 200, 200), (0, 0, 200, 200)).clicks(16)
    assert sum(truth[click] for click in grid) > 60
    # The first few clicks go together, before anything is known.
    assert 0 < sum(truth[click] for click in clicked) < 20


def test_an_object_that_is_cut_off_is_drawn_again_round_its_middle(fake, discs, picture):
    """It is clicked at its rim, and nowhere else: its other end lies outside of that frame."""
    truth, click = discs((300, 300), [(150, 150, 70)]), (85, 150)
    pixels = np.repeat(picture(truth)[..., None] / 220, 3, axis=2).astype(np.float32)
    features = fake.encode(pixels)
    shape = cut_out(fake.decode(features, [click])[0], click, (300, 300))
    assert shape is not None
    assert shape.cut
    (found,) = find_objects(fake, features, [click])
    assert found.shape.area == np.count_nonzero(truth)


@pytest.mark.parametrize("radius", [6, 12, 80])
def test_the_zoom_follows_the_objects(fake, grid_of_discs, picture, worst_iou, radius):
    truth = grid_of_discs((160, 200) if radius < 20 else (800, 900), max(3 * radius, 40), radius)
    result = segment_everything(picture(truth), fake)
    assert worst_iou(result.labels, truth) > 0.8
    assert result.labels.max() == truth.max()


def test_objects_of_two_sizes(fake, discs, picture, worst_iou):
    truth = discs((500, 500), [(150, 150, 70), (380, 380, 80), (60, 400, 22), (420, 90, 22)])
    result = segment_everything(picture(truth), fake)
    assert worst_iou(result.labels, truth) > 0.9


def test_empty_images_have_no_objects(fake):
    result = segment_everything(np.zeros((100, 120), np.uint8), fake)
    assert not result.labels.any()
    assert result.table["label"].size == 0


@pytest.mark.parametrize("shape", [(1, 1), (7, 300), (300, 5), (17, 17)])
def test_small_and_thin_images(fake, shape):
    image = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    assert segment_everything(image, fake).labels.shape == shape


def test_a_region(fake, grid_of_discs, picture):
    truth = grid_of_discs((400, 400), 64, 24)
    region = (100, 120, 300, 280)
    result = segment_everything(picture(truth), fake, region=region, settings=AT_ONE)
    rows, columns = result.table["centroid-0"], result.table["centroid-1"]
    centres = [np.argwhere(truth == n).mean(axis=0) for n in range(1, truth.max() + 1)]
    sure = sum(100 < r < 300 and 120 < c < 280 for r, c in centres)
    perhaps = sum(80 < r < 320 and 100 < c < 300 for r, c in centres)
    assert 0 < sure <= len(rows) <= perhaps < truth.max()
    assert ((rows > 80) & (rows < 320) & (columns > 100) & (columns < 300)).all()
    whole = segment_everything(picture(truth), fake, settings=AT_ONE)
    assert (whole.labels[result.labels > 0] > 0).all()
    with pytest.raises(SettingsError, match="holds no pixel"):
        segment_everything(picture(truth), fake, region=(500, 0, 600, 10))


def test_what_the_search_for_the_zoom_looked_at_is_not_searched_again(
    fake, grid_of_discs, picture, tmp_path
):
    image = picture(grid_of_discs((300, 280), 70, 27))
    first = segment_everything(image, fake, settings=AT_ONE)
    alone, fake.encoded = fake.encoded, 0
    again = segment_everything(image, fake)
    assert (again.labels == first.labels).all()
    assert fake.encoded == alone
    fake.encoded = 0
    stream_everything(image, lambda *_: None, tmp_path / "work", fake)
    assert fake.encoded == alone


def test_size_and_score_limits(fake, discs, picture):
    truth = discs((256, 256), [(60, 60, 12), (60, 180, 30), (180, 100, 45)])
    image = picture(truth)
    areas = [np.count_nonzero(truth == n) for n in (1, 2, 3)]
    settings = EverythingSettings(zoom=1, min_area=areas[0] + 50, max_area=areas[2] - 50)
    result = segment_everything(image, fake, settings=settings)
    assert len(result.table["area"]) == 1
    assert result.table["area"][0] == pytest.approx(areas[1], rel=0.05)


@pytest.mark.parametrize(
    "wrong",
    [{"spacing": 8}, {"spacing": 40}, {"min_score": 1.5}, {"min_area": 0},
     {"min_area": 9, "max_area": 5}, {"zoom": 3.0}, {"zoom": 0.0}],
)  # fmt: skip
def test_settings_are_checked(wrong):
    with pytest.raises(Inter2FormerError):
        EverythingSettings(**wrong)


def test_progress_and_cancelling(fake, grid_of_discs, picture):
    image = picture(grid_of_discs((700, 500), 64, 20))
    seen: list[tuple[int, int]] = []
    segment_everything(image, fake, settings=AT_ONE, progress=lambda *n: seen.append(n))
    blocks = seen[-1][1]
    assert [done for done, total in seen if total] == list(range(blocks + 1))

    class Stopped(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise Stopped

    with pytest.raises(Stopped):
        segment_everything(image, fake, settings=AT_ONE, progress=stop)


def test_streamed_labels_are_the_same_and_runs_go_on(tmp_path, fake, grid_of_discs, picture):
    image = picture(grid_of_discs((500, 600), 70, 24))
    expected = segment_everything(image, fake)
    work = tmp_path / "work"
    written: list[np.ndarray] = []

    class Stopped(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if total and done == total // 2:
            raise Stopped

    with pytest.raises(Stopped):
        stream_everything(image, lambda *_: None, work, fake, progress=stop)
    parts = {path: path.stat().st_mtime_ns for path in work.glob("*.npz")}
    assert parts
    fake.encoded = 0
    table = stream_everything(image, lambda labels, _: written.append(labels[:, :]), work, fake)
    rest, fake.encoded = fake.encoded, 0
    assert (written[0] == expected.labels).all()
    for name, column in expected.table.items():
        np.testing.assert_array_equal(table[name], column)
    assert not work.exists()
    stream_everything(image, lambda *_: None, work, fake)
    assert 0 < rest < fake.encoded


def test_other_settings_start_anew(tmp_path, fake, grid_of_discs, picture):
    image = picture(grid_of_discs((500, 300), 70, 22))
    work = tmp_path / "work"

    def fail(*_: object) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        stream_everything(image, fail, work, fake, settings=AT_ONE)
    other = EverythingSettings(zoom=1, min_area=10**6)
    table = stream_everything(image, lambda *_: None, work, fake, settings=other)
    assert table["label"].size == 0


def test_the_better_of_two_masks_stays():
    square = np.ones((10, 10), np.bool_)
    masks = [
        Mask(square, (0, 0, 10, 10), 0.5),
        Mask(square, (1, 1, 11, 11), 0.9),
        Mask(square, (0, 8, 10, 18), 0.1),
        Mask(np.ones((3, 3), np.bool_), (4, 4, 7, 7), 0.8),
    ]
    assert surviving(masks) == [masks[1], masks[2]]


def test_the_middle_of_a_mask_is_its_deepest_pixel():
    mask = np.zeros((20, 60), np.bool_)
    mask[9:11] = True
    mask[3:16, 30:43] = True
    assert deepest(mask) == (9, 36)
    assert deepest(np.ones((1, 1), np.bool_)) == (0, 0)


def test_the_middle_does_not_depend_on_where_the_memory_lies():
    """OpenCV's precise distances do, in their last digits."""
    rng = np.random.default_rng(0)
    for _ in range(300):
        mask = np.zeros(rng.integers(8, 40, 2), np.bool_)
        mask[1:-1, 1:-1] = rng.random((mask.shape[0] - 2, mask.shape[1] - 2)) < 0.97
        found = set()
        for _ in range(12):
            kept = [np.empty(rng.integers(1, 5000), np.uint8) for _ in range(5)]
            found.add(deepest(mask))
            del kept
        assert len(found) == 1


def test_without_a_predicted_iou_certainty_is_the_score():
    logits = np.array([[3.0, 3.0, 0.5, 0.5, -2.0]], np.float32)
    box = (4, 4, 5, 9)
    sure = cut_out(Piece(logits, box, (0, 0, 50, 50)), (4, 5), (50, 50))
    assert sure is not None
    assert sure.score == 0.5
    told = cut_out(Piece(logits, box, (0, 0, 50, 50), 0.8), (4, 5), (50, 50))
    assert told is not None
    assert told.score == 0.8


@pytest.mark.parametrize("exponent", [-2, 0, 1, 3])
@pytest.mark.parametrize("shape", [(100, 100), (900, 300), (1025, 4001)])
def test_blocks_cover_the_image_once(shape, exponent):
    side = 512
    height, width = (-(-int(n * 2.0**exponent * 8) // 8) for n in shape)
    covered = np.zeros((height + 4, width + 4), np.uint8)
    for block in blocks_of(shape, exponent, side):
        window, (r0, c0, r1, c1) = block.window, block.core
        assert 0 <= r0 < r1 <= window.height <= side
        assert 0 <= c0 < c1 <= window.width <= side
        assert r0 in (0, HALO) or window.row == 0
        if exponent > 0:
            assert window.row % 2**exponent == window.column % 2**exponent == 0
        covered[window.row + r0 : window.row + r1, window.column + c0 : window.column + c1] += 1
    assert (covered[:height, :width] == 1).all()


@pytest.mark.parametrize(
    ("scores", "least"),
    [
        ([], 0.65),
        ([0.97, 0.4, 0.4, 0.4], 0.65),  # one good mask, and background
        ([0.45, 0.4, 0.36], 0.65),  # background alone
        ([0.7, 0.8] * 4 + [0.5] * 27, 0.49),  # a kind of image that the network is unsure of
        ([0.65] * 7 + [0.5] * 27, 0.35),
        ([0.65] * 5 + [0.5] * 27, 0.65),  # nearly all of it background
    ],
)
def test_what_is_kept_is_measured_by_what_is_sure(scores, least):
    assert least_score(EverythingSettings(), scores) == pytest.approx(least)
    assert least_score(EverythingSettings(min_score=0.5), scores) == 0.5
    assert lowest_score(EverythingSettings()) <= least
    assert lowest_score(EverythingSettings(min_score=0.5)) == 0.5


def test_choosing_zooms_reads_a_bounded_part_of_a_large_image(monkeypatch):
    """Where not all of an image can be looked at, some blocks of it are."""

    class Counting:
        shape, ndim, dtype = (6000, 6000), 2, np.dtype(np.uint16)
        largest = total = 0

        def __getitem__(self, key):
            rows, columns = (np.arange(*part.indices(6000)) for part in key)
            self.largest = max(self.largest, rows.size * columns.size)
            self.total += rows.size * columns.size
            stripes = (rows[:, None] // 20 + columns // 20) % 2 * 1000
            return np.where(columns < 3000, stripes, 100).astype(np.uint16)

    monkeypatch.setattr(source_module, "STORED_READ_PIXELS", 1 << 22)
    image = Counting()
    source = as_image_source(image, normalization=Normalization((0,), (1000,)))
    blocks = blocks_of(source.shape, 0, 448)
    chosen = _probes(source, blocks)
    assert len(chosen) == 2
    assert all(block.window.column < 3000 for block in chosen)
    assert image.largest <= 512**2
    assert image.total < 2 << 22  # what lies in chunks that are touched counts too
