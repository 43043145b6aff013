from __future__ import annotations

import cv2
import numpy as np
import pytest
import tifffile

from napari_inter2former.errors import ImageError
from napari_inter2former.evaluation import (
    DatasetError,
    find_datasets,
    find_pairs,
    read_labels,
    read_picture,
    select_objects,
)


def folders(root, split="val"):
    return {name: source.folder for name, source in find_datasets(root, split).items()}


def test_one_dataset(dataset):
    assert folders(dataset) == {"squares": dataset}
    assert [pair.name for pair in find_pairs(dataset)] == ["a", "b", "c"]


def test_a_split_dataset_and_its_split_have_the_same_name(tmp_path, squares, write_pair):
    write_pair(tmp_path / "nuclei" / "val", "a", squares)
    write_pair(tmp_path / "nuclei" / "train", "b", squares)
    expected = {"nuclei": tmp_path / "nuclei" / "val"}
    assert folders(tmp_path / "nuclei") == expected
    assert folders(tmp_path / "nuclei" / "val") == expected
    assert folders(tmp_path / "nuclei", "train") == {"nuclei": tmp_path / "nuclei" / "train"}


def test_a_part_that_a_dataset_lacks_is_not_made_up(tmp_path, squares, write_pair):
    write_pair(tmp_path / "val", "a", squares)
    write_pair(tmp_path / "train", "b", squares)
    with pytest.raises(DatasetError, match=r"parts \(train, val\).*'vall'"):
        find_datasets(tmp_path, "vall")


def test_a_folder_of_datasets(tmp_path, squares, write_pair):
    write_pair(tmp_path / "b" / "val", "1", squares)
    write_pair(tmp_path / "a", "1", squares)
    write_pair(tmp_path / "train_only" / "train", "1", squares)
    (tmp_path / "notes").mkdir()
    (tmp_path / "index.csv").write_text("no dataset")
    assert folders(tmp_path) == {"a": tmp_path / "a", "b": tmp_path / "b" / "val"}


def test_nothing_there(tmp_path):
    with pytest.raises(DatasetError, match="no such folder"):
        find_datasets(tmp_path / "missing")
    with pytest.raises(DatasetError, match=r"no dataset found.*_label"):
        find_datasets(tmp_path)
    with pytest.raises(DatasetError, match="no files"):
        select_objects(tmp_path)


def test_an_image_without_labels_is_named(dataset):
    (dataset / "b_label.png").unlink()
    with pytest.raises(DatasetError, match=r"b_image\.png"):
        find_pairs(dataset)


def test_labels_without_an_image_are_named(dataset):
    (dataset / "b_image.png").unlink()
    with pytest.raises(DatasetError, match=r"b_label\.png"):
        find_pairs(dataset)


def test_two_files_of_one_name(dataset, squares):
    tifffile.imwrite(dataset / "b_label.tif", squares)
    with pytest.raises(DatasetError, match=r"b_label\.png is there too"):
        find_pairs(dataset)


def test_sizes_must_match(dataset, squares):
    cv2.imwrite(str(dataset / "b_label.png"), squares[:-1])
    with pytest.raises(
        DatasetError, match=r"b_label\.png: .* 79 x 100 .* b_image.png has 80 x 100"
    ):
        select_objects(dataset)


def test_small_objects_are_left_out(dataset):
    numbers = select_objects(dataset).objects.values()
    assert all(sorted(each) == [1, 4, 9] for each in numbers)
    assert sorted(next(iter(select_objects(dataset, min_area=1).objects.values()))) == [1, 4, 5, 9]


@pytest.mark.parametrize(("most", "shares"), [(2, [1, 1]), (4, [1, 1, 2]), (99, [3, 3, 3])])
def test_objects_are_spread_over_the_images(dataset, most, shares):
    selection = select_objects(dataset, most, seed=3)
    assert sorted(map(len, selection.objects.values())) == shares
    assert len(selection) == sum(shares)


def test_the_seed_decides(dataset):
    def drawn(seed):
        return [(p.name, n) for p, n in select_objects(dataset, 3, seed).objects.items()]

    assert drawn(1) == drawn(1)
    assert len({str(drawn(seed)) for seed in range(8)}) > 1


def test_no_more_files_are_read_than_needed(dataset):
    (dataset / "b_label.png").write_bytes(b"damaged")
    unharmed = [seed for seed in range(20) if not select_objects(dataset, 1, seed).skipped]
    assert unharmed


@pytest.mark.parametrize("content", [b"", b"damaged", b"II*\x00 damaged"])
@pytest.mark.parametrize("kind", ["image", "label"])
def test_a_damaged_file_is_skipped_and_named(dataset, content, kind):
    (dataset / f"b_{kind}.png").write_bytes(content)
    selection = select_objects(dataset)
    assert len(selection) == 6
    (line,) = selection.skipped
    assert f"b_{kind}.png" in line


def test_no_objects_at_all(tmp_path, write_pair):
    write_pair(tmp_path, "a", np.zeros((20, 20), np.uint16))
    with pytest.raises(DatasetError, match=r"no object of at least 64 pixels in 1 label file"):
        select_objects(tmp_path)


def test_the_reason_is_told_when_every_file_is_bad(dataset):
    for name in "abc":
        (dataset / f"{name}_label.png").write_bytes(b"damaged")
    with pytest.raises(DatasetError, match=r"3 could not be used, the first: .*_label.png"):
        select_objects(dataset)


def test_fewer_than_one_object(dataset):
    with pytest.raises(DatasetError, match="at least 1"):
        select_objects(dataset, 0)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.uint32, np.float32, np.float64])
def test_label_types(tmp_path, dtype):
    labels = np.array([[0, 1], [1, 0]])
    tifffile.imwrite(tmp_path / "x.tif", labels.astype(dtype))
    read = read_labels(tmp_path / "x.tif")
    assert np.issubdtype(read.dtype, np.integer)
    assert (read == labels).all()


@pytest.mark.parametrize(
    ("values", "message"),
    [([0.5, 1.0], "fractional"), ([np.nan, 1.0], "fractional"), ([-1, 1], "negative")],
)
def test_bad_label_values(tmp_path, values, message):
    tifffile.imwrite(tmp_path / "x.tif", np.array([values, values]))
    with pytest.raises(ImageError, match=rf"x.tif: .*{message}"):
        read_labels(tmp_path / "x.tif")


def test_labels_saved_in_colour(tmp_path, squares):
    grey = np.repeat(squares.astype(np.uint8)[..., None], 3, axis=2)
    cv2.imwrite(str(tmp_path / "grey.png"), grey)
    assert (read_labels(tmp_path / "grey.png") == squares).all()
    grey[0, 0] = 1, 2, 3
    cv2.imwrite(str(tmp_path / "colour.png"), grey)
    with pytest.raises(ImageError, match="one number per pixel"):
        read_labels(tmp_path / "colour.png")


def test_pictures(tmp_path):
    colour = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    cv2.imwrite(str(tmp_path / "x.png"), colour[..., ::-1])
    picture = read_picture(tmp_path / "x.png")
    assert (picture.data == colour).all()
    assert picture.rgb
    assert picture.channel_axis is None
    assert picture.shape == (4, 5)
    tifffile.imwrite(tmp_path / "x.ome.tif", np.zeros((2, 40, 50), np.uint16),
                     metadata={"axes": "CYX"}, photometric="minisblack")  # fmt: skip
    picture = read_picture(tmp_path / "x.ome.tif")
    assert not picture.rgb
    assert picture.channel_axis == 2
    assert picture.shape == (40, 50)
