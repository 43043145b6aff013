"""Every layout, as tiny folders."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_inter2former.errors import ImageError
from napari_inter2former.evaluation import (
    DatasetError,
    find_datasets,
    find_pairs,
    object_regions,
    select_objects,
)
from napari_inter2former.evaluation.layouts.masks import read_any_mask

SHAPE = (40, 50)


def write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), array)
    return path


def grey(value=90):
    return np.full(SHAPE, value, np.uint8)


def box(*boxes, value=255, dtype=np.uint8):
    """Return an image with rectangles (row, column, height, width) of a value."""
    array = np.zeros(SHAPE, dtype)
    for row, column, height, width in boxes:
        array[row : row + height, column : column + width] = value
    return array


def only(root, split="val"):
    """Return the one dataset's layout and its pairs."""
    (source,) = find_datasets(root, split).values()
    return source.layout, {pair.name: pair for pair in source.pairs}


def areas(pair):
    _, labels = pair.read()
    return sorted(int(region.data.sum()) for region in object_regions(labels).values())


@pytest.mark.parametrize(
    ("images", "labels"), [("images", "labels"), ("image", "masks"), ("Images", "GroundTruth")]
)
def test_two_folders(tmp_path, images, labels):
    write(tmp_path / images / "a.png", grey())
    tifffile.imwrite(tmp_path / images / "b.ome.tif", grey())
    tifffile.imwrite(tmp_path / images / "unlabelled.tif", grey())
    write(tmp_path / labels / "a_masks.png", box((2, 2, 9, 10), value=700, dtype=np.uint16))
    tifffile.imwrite(tmp_path / labels / "b.ome.tif", box((3, 3, 8, 8), value=3))
    layout, pairs = only(tmp_path)
    assert layout.startswith("images/NAME")
    assert {name: areas(pair) for name, pair in pairs.items()} == {"a": [90], "b": [64]}


def test_two_folders_with_splits(tmp_path):
    for split, name in (("train", "a"), ("val", "b")):
        write(tmp_path / "images" / split / f"{name}.png", grey())
        write(tmp_path / "labels" / split / f"{name}.png", box((2, 2, 9, 10), value=1))
    assert list(only(tmp_path)[1]) == ["b"]
    assert list(only(tmp_path, "train")[1]) == ["a"]


def test_a_black_and_white_mask_holds_as_many_objects_as_pieces(tmp_path):
    write(tmp_path / "images" / "a.png", grey())
    write(tmp_path / "masks" / "a.png", box((2, 2, 9, 10), (20, 20, 8, 8)))
    assert areas(only(tmp_path)[1]["a"]) == [64, 90]


def test_cellpose(tmp_path):
    for name in ("a", "b_img"):
        tifffile.imwrite(tmp_path / f"{name}.tif", grey())
    tifffile.imwrite(tmp_path / "a_masks.tif", box((2, 2, 9, 10), value=4))
    write(tmp_path / "b_cp_masks.png", box((2, 2, 8, 8), value=1))
    tifffile.imwrite(tmp_path / "a_flows.tif", grey())
    (tmp_path / "a_seg.npy").write_bytes(b"Cellpose's own file")
    layout, pairs = only(tmp_path)
    assert layout.startswith("Cellpose")
    assert {name: areas(pair) for name, pair in pairs.items()} == {"a": [90], "b": [64]}


def test_dsb2018(tmp_path):
    for stage, ids in (("stage1_train", ("id1", "id2")), ("stage1_test", ("id3",))):
        for name in ids:
            write(tmp_path / stage / name / "images" / f"{name}.png", grey())
            if stage == "stage1_train":
                for i, corner in enumerate(((2, 2), (20, 20))):
                    write(tmp_path / stage / name / "masks" / f"{i}.png", box((*corner, 9, 10)))
    layout, pairs = only(tmp_path, "train")
    assert layout.startswith("DSB2018")
    assert {name: areas(pair) for name, pair in pairs.items()} == {"id1": [90, 90], "id2": [90, 90]}
    assert list(only(tmp_path / "stage1_train")[1]) == ["id1", "id2"]
    with pytest.raises(DatasetError, match="none for the split 'val'"):
        find_datasets(tmp_path)
    write(tmp_path / "stage1_train" / "id1" / "masks" / "1.png", grey()[:-1])
    with pytest.raises(ImageError, match=r"1\.png: 39 x 50 pixels"):
        pairs["id1"].read()
    assert "1.png" in select_objects(tmp_path / "stage1_train").skipped[0]


def test_hqseg(tmp_path):
    parts = {
        "DIS5K/DIS-VD/im/a.jpg": "DIS5K/DIS-VD/gt/a.png",
        "thin_object_detection/HRSOD/images/a.jpg":
            "thin_object_detection/HRSOD/masks_max255/a.png",
        "cascade_psp/ecssd/c.jpg": "cascade_psp/ecssd/c.png",
    }  # fmt: skip
    for image, mask in parts.items():
        write(tmp_path / image, grey())
        write(tmp_path / mask, box((2, 2, 9, 10), (20, 20, 8, 8)))
    layout, pairs = only(tmp_path)
    assert layout.startswith("HQSeg-44K")
    assert {name: areas(pair) for name, pair in pairs.items()} == {
        "DIS5K-VD/a": [154],
        "HRSOD/a": [154],
    }
    assert list(only(tmp_path, "train")[1]) == ["ECSSD/c"]
    with pytest.raises(DatasetError, match="train and val, but not 'test'"):
        find_datasets(tmp_path, "test")
    # A part by itself
    assert areas(only(tmp_path / "DIS5K" / "DIS-VD")[1]["a"]) == [154]


def test_davis(tmp_path):
    colours = np.zeros((*SHAPE, 3), np.uint8)
    colours[2:11, 2:12] = 0, 0, 128
    colours[20:28, 20:28] = 0, 128, 0
    for resolution in ("480p", "Full-Resolution"):
        for sequence in ("bear", "camel"):
            write(tmp_path / "JPEGImages" / resolution / sequence / "00000.jpg", grey())
            write(tmp_path / "JPEGImages" / resolution / sequence / "00001.jpg", grey())
            write(tmp_path / "Annotations" / resolution / sequence / "00000.png", colours)
    layout, pairs = only(tmp_path)
    assert layout.startswith("DAVIS")
    assert list(pairs) == ["bear/00000", "camel/00000"]
    assert "Full-Resolution" in pairs["bear/00000"].image.parts
    assert areas(pairs["bear/00000"]) == [64, 90]
    (tmp_path / "ImageSets" / "2017").mkdir(parents=True)
    (tmp_path / "ImageSets" / "2017" / "val.txt").write_text("camel\n")
    assert list(only(tmp_path)[1]) == ["camel/00000"]
    (tmp_path / "ImageSets" / "2017" / "val.txt").write_text(
        "/JPEGImages/480p/bear/00000.jpg /Annotations/480p/bear/00000.png\n"
    )
    assert list(only(tmp_path)[1]) == ["bear/00000"]
    with pytest.raises(DatasetError, match="splits val, but not 'train'"):
        find_datasets(tmp_path, "train")


def test_frames_of_davis_with_one_object(tmp_path):
    soft = box((2, 2, 9, 10), (20, 20, 8, 8))
    soft[28:30, 20:28] = 100
    write(tmp_path / "img" / "bear.jpg", grey())
    write(tmp_path / "gt" / "bear.png", soft)
    assert areas(only(tmp_path)[1]["bear"]) == [154 + 16]


def test_sstem(tmp_path):
    for at in (tmp_path, tmp_path / "stack1"):
        write(at / "raw" / "00.tif", grey())
        write(at / "mitochondria" / "00.png", box((2, 2, 9, 10), (20, 20, 8, 8)))
    for at in (tmp_path, tmp_path / "stack1"):
        layout, pairs = only(at)
        assert layout.startswith("ssTEM")
        assert areas(pairs["00"]) == [64, 90]


def rectangle(row, column, height, width):
    """Return a polygon that covers just those pixels."""
    r1, c1 = row + height, column + width
    return [column, row, c1, row, c1, r1, column, r1]


def coco(segmentations, **image):
    image = {"id": 7, "file_name": "a.png", "height": SHAPE[0], "width": SHAPE[1], **image}
    annotations = [
        {"id": i, "image_id": image["id"], "category_id": 1, "iscrowd": 0, "segmentation": s}
        for i, s in enumerate(segmentations)
    ]
    return {"images": [image], "annotations": annotations, "categories": [{"id": 1}]}


def write_coco(root, content, name="annotations/instances_val2017.json"):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def test_coco_shapes(tmp_path):
    mask = pytest.importorskip("pycocotools.mask")
    compressed = mask.encode(np.asfortranarray(box((30, 30, 8, 9), value=1)))
    compressed["counts"] = compressed["counts"].decode()
    runs = [2 * 40 + 20, 8, 32, 8, *[40 * 50 - 2 * 40 - 20 - 48]]
    content = coco(
        [
            [rectangle(2, 2, 9, 10)],
            [rectangle(2, 20, 4, 4), rectangle(2, 30, 4, 5)],
            compressed,
            {"size": list(SHAPE), "counts": runs},
            [[1, 1, 2, 2]],
        ]
    )
    content["annotations"].append(
        {"id": 9, "image_id": 7, "iscrowd": 1, "segmentation": {"size": SHAPE, "counts": [2000]}}
    )
    write_coco(tmp_path, content)
    write(tmp_path / "val2017" / "a.png", grey())
    layout, pairs = only(tmp_path)
    assert layout.startswith("COCO")
    assert areas(pairs["a.png"]) == [16, 36, 72, 90]
    _, labels = pairs["a.png"].read()
    assert (labels == 1).sum() == 90
    assert (labels[2:11, 2:12] == 1).all()


def test_coco_objects_that_others_hide_are_left_out(tmp_path):
    pytest.importorskip("pycocotools")
    shapes = [[rectangle(2, 2, 20, 20)], [rectangle(4, 4, 10, 10)], [rectangle(25, 25, 10, 10)]]
    write_coco(tmp_path, coco(shapes))
    write(tmp_path / "a.png", grey())
    assert areas(only(tmp_path)[1]["a.png"]) == [100, 100]


def test_coco_beyond_the_image(tmp_path):
    pytest.importorskip("pycocotools")
    write_coco(tmp_path, coco([[rectangle(-5, -5, 15, 15)], [rectangle(35, 45, 90, 90)],
                               [rectangle(80, 80, 5, 5)]]))  # fmt: skip
    write(tmp_path / "a.png", grey())
    assert areas(only(tmp_path)[1]["a.png"]) == [25, 100]


def test_lvis_and_livecell(tmp_path):
    content = coco([[rectangle(2, 2, 9, 10)]], coco_url="http://nowhere/train2017/a.png")
    del content["images"][0]["file_name"]
    write_coco(tmp_path / "lvis", content, "lvis_v1_val.json")
    write(tmp_path / "lvis" / "train2017" / "a.png", grey())
    content = coco([[rectangle(2, 2, 9, 10)]], file_name="A172_1.tif")
    content["annotations"] = {"0": content["annotations"][0]}
    write_coco(tmp_path / "livecell", content, "annotations/LIVECell/livecell_coco_val.json")
    write_coco(tmp_path / "livecell", content, "annotations/LIVECell/livecell_coco_train.json")
    write(tmp_path / "livecell" / "images" / "livecell_train_val_images" / "A172_1.tif", grey())
    found = find_datasets(tmp_path)
    assert list(found) == ["livecell", "lvis"]
    for source in found.values():
        assert source.pairs[0].image.is_file()
    # The file itself is a dataset too.
    path = tmp_path / "livecell" / "annotations" / "LIVECell" / "livecell_coco_train.json"
    assert list(find_datasets(tmp_path / "lvis" / "lvis_v1_val.json")) == ["lvis_v1_val"]
    assert find_pairs(path)[0].name == "A172_1.tif"


def test_which_coco_file(tmp_path):
    content = coco([[rectangle(2, 2, 9, 10)]])
    for name in ("instances_train2017", "lvis_v1_train", "captions_train2017"):
        write_coco(tmp_path, content, f"annotations/{name}.json")
    with pytest.raises(DatasetError, match=r"several files .*instances_train2017\.json, lvis"):
        find_datasets(tmp_path, "train")
    with pytest.raises(DatasetError, match=r"none of .* is named after the split 'val'"):
        find_datasets(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": 3}, "cannot be read as COCO"),
        ({"annotations": [{"segmentation": [[1]]}]}, "image_id"),
        ({"images": []}, "does not list, such as 7"),
        ({"annotations": []}, "no image has a segmentation"),
    ],
)
def test_damaged_coco(tmp_path, change, message):
    write_coco(tmp_path, {**coco([[rectangle(2, 2, 9, 10)]]), **change})
    with pytest.raises(DatasetError, match=rf"instances_val2017\.json.*{message}"):
        find_datasets(tmp_path)


def test_truncated_coco(tmp_path):
    path = write_coco(tmp_path, coco([[rectangle(2, 2, 9, 10)]]))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DatasetError, match=r"instances_val2017\.json: cannot be read"):
        find_datasets(tmp_path)


def test_images_of_coco_that_are_missing_or_of_another_size(tmp_path):
    pytest.importorskip("pycocotools")
    content = coco([[rectangle(2, 2, 9, 10)]])
    gone = coco([[rectangle(2, 2, 9, 10)]], id=8, file_name="gone.png")
    bad = coco([{"size": [3, 3], "counts": [9]}], id=9, file_name="bad.png")
    for key in ("images", "annotations"):
        content[key] += gone[key] + bad[key]
    write_coco(tmp_path, content)
    write(tmp_path / "a.png", grey())
    write(tmp_path / "bad.png", grey())
    selection = select_objects(tmp_path)
    assert len(selection) == 1
    assert sorted("gone.png" in line for line in selection.skipped) == [False, True]
    assert any("its size is [3, 3]" in line for line in selection.skipped)
    write(tmp_path / "a.png", grey()[:-1])
    with pytest.raises(DatasetError, match="the labels have 40 x 50 pixels"):
        select_objects(tmp_path)


def test_other_json_is_no_dataset(tmp_path):
    (tmp_path / "notes.json").write_text('{"author": "me"}')
    (tmp_path / "list.json").write_text("[1]")
    with pytest.raises(DatasetError, match="no dataset found"):
        find_datasets(tmp_path)


def test_one_damaged_file_among_many_is_named_and_counted(tmp_path):
    for i in range(60):
        write(tmp_path / "images" / f"{i:04d}.png", grey(i))
        write(tmp_path / "labels" / f"{i:04d}.png", box((2, 2, 9, 10), value=1))
    (tmp_path / "labels" / "0033.png").write_bytes(b"damaged")
    selection = select_objects(tmp_path)
    assert len(selection) == 59
    (line,) = selection.skipped
    assert "0033.png" in line


@pytest.mark.parametrize("value", [1, 255, 65535])
def test_a_mask_of_a_single_number_holds_as_many_objects_as_pieces(tmp_path, value):
    mask = np.zeros((30, 40), np.uint16)
    mask[2:8, 3:9] = mask[15:20, 20:30] = value
    cv2.imwrite(str(tmp_path / "a_masks.png"), mask)
    assert read_any_mask(tmp_path / "a_masks.png").max() == 2
    mask[2:5, 3:9] = 7
    cv2.imwrite(str(tmp_path / "b_masks.png"), mask)
    assert (read_any_mask(tmp_path / "b_masks.png") == mask).all()
    with pytest.raises(ImageError, match="JPEG changes numbers"):
        read_any_mask(tmp_path / "c_masks.jpg")


def test_coco_takes_no_image_for_another_of_its_name(tmp_path):
    for split, value in (("train", 30), ("val", 60)):
        content = coco([[rectangle(2, 2, 9, 10)]], file_name="0.png")
        write_coco(tmp_path, content, f"annotations/instances_{split}.json")
        write(tmp_path / "images" / split / "0.png", grey(value))
    for split, value in (("train", 30), ("val", 60)):
        picture, _ = only(tmp_path, split)[1]["0.png"].read()
        assert (picture.data == value).all()
    write(tmp_path / "copy" / "val" / "0.png", grey())
    with pytest.raises(DatasetError, match=r"which image is 0\.png"):
        find_datasets(tmp_path)


def test_coco_takes_no_mask_for_an_image(tmp_path):
    content = coco([[rectangle(2, 2, 9, 10)]], file_name="0.png")
    write_coco(tmp_path, content, "annotations/instances_default.json")
    image = write(tmp_path / "images" / "0.png", grey())
    write(tmp_path / "masks" / "0.png", box((2, 2, 9, 10)))
    assert only(tmp_path)[1]["0.png"].image == image


def test_geojson_is_no_coco(tmp_path):
    (tmp_path / "regions.json").write_text('{"type": "FeatureCollection", "features": []}')
    write(tmp_path / "images" / "a.png", grey())
    write(tmp_path / "labels" / "a.png", box((2, 2, 9, 10), value=1))
    assert only(tmp_path)[0].startswith("images/NAME")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_label_maps_in_folders_named_like_those_of_single_masks(tmp_path, dtype):
    labels = box((2, 2, 9, 10), value=1, dtype=dtype) + box((20, 20, 8, 8), value=2, dtype=dtype)
    write(tmp_path / "img" / "a.png", grey())
    write(tmp_path / "gt" / "a.png", labels)
    write(tmp_path / "img" / "b.png", grey())
    soft = box((2, 2, 9, 10)) + box((20, 20, 8, 8), value=100)
    write(tmp_path / "gt" / "b.png", soft)
    pairs = only(tmp_path)[1]
    assert areas(pairs["a"]) == [64, 90]
    assert areas(pairs["b"]) == [154]


@pytest.mark.parametrize("count", [1, 2])
def test_a_folder_of_datasets_is_no_data_science_bowl(tmp_path, count):
    for name in ("A", "B"):
        for i in range(count):
            write(tmp_path / name / "images" / f"{i}.png", grey())
            labels = box((2, 2, 9, 10), value=3) + box((20, 20, 8, 8), value=5)
            write(tmp_path / name / "masks" / f"{i}_masks.png", labels)
    found = find_datasets(tmp_path)
    assert list(found) == ["A", "B"]
    assert areas(found["A"].pairs[0]) == [64, 90]


def test_labels_with_a_palette(tmp_path):
    labels = box((2, 2, 9, 10), value=1) + box((20, 20, 8, 8), value=70)
    picture = Image.fromarray(labels, "P")
    picture.putpalette(np.random.default_rng(0).integers(0, 256, 768, np.uint8).tobytes())
    picture.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_any_mask(tmp_path / "a.png"), labels)


def test_labels_in_webp_must_be_lossless(tmp_path):
    labels = Image.fromarray(box((2, 2, 9, 10), value=1) + box((20, 20, 8, 8), value=2))
    labels.save(tmp_path / "exact.webp", lossless=True)
    assert read_any_mask(tmp_path / "exact.webp").max() == 2
    labels.save(tmp_path / "lossy.webp")
    with pytest.raises(ImageError, match="Lossy WebP changes numbers"):
        read_any_mask(tmp_path / "lossy.webp")


def test_a_tiff_that_cannot_be_decompressed_is_named(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, rng.integers(0, 9, (200, 200), np.uint16), compression="zlib")
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 500] = bytes(500)
    path.write_bytes(content)
    with pytest.raises(ImageError, match=r"a\.tif is damaged"):
        read_any_mask(path)
