"""Files and stores opened lazily: pyramids, planes, and what is broken."""

from __future__ import annotations

import warnings
from html import escape

import cv2
import numpy as np
import pytest
import tifffile

from napari_inter2former.errors import ImageError
from napari_inter2former.images import _open, as_image_source, open_image
from napari_inter2former.images._stored import StoredImage

zarr = pytest.importorskip("zarr")

PLANE = (np.add.outer(np.arange(96) * 5, np.arange(128) * 3) % 1999).astype(np.uint16)
HALF = PLANE.reshape(48, 2, 64, 2).mean(axis=(1, 3)).astype(np.uint16)


def write_tiff_pyramid(path, **options):
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        writer.write(PLANE, subifds=1, tile=(32, 32), **options)
        writer.write(HALF, subfiletype=1, tile=(32, 32), **options)


def v2_or_v3(version):
    """Keyword arguments for zarr 3 and, where it is still in use, zarr 2."""
    return {"zarr_format": version} if int(zarr.__version__.split(".")[0]) >= 3 else {}


def create(group, name, data, chunks):
    make = getattr(group, "create_array", None) or group.create_dataset
    array = make(name, shape=data.shape, chunks=chunks, dtype=data.dtype)
    array[...] = data
    return array


def write_ome_zarr(path, levels, axes="yx", version="0.5"):
    names = {"c": "channel", "t": "time"}
    factors = [
        [a / b for a, b in zip(levels[0].shape, level.shape, strict=True)] for level in levels
    ]
    multiscale = {
        "axes": [{"name": a, "type": names.get(a, "space")} for a in axes],
        "datasets": [
            {"path": str(i), "coordinateTransformations": [{"type": "scale", "scale": scale}]}
            for i, scale in enumerate(factors)
        ],
    }
    group = zarr.open_group(str(path), mode="w", **v2_or_v3(2 if version == "0.4" else 3))
    if version == "0.4":
        group.attrs.update({"multiscales": [{**multiscale, "version": "0.4"}]})
    else:
        group.attrs.update({"ome": {"version": version, "multiscales": [multiscale]}})
    for i, level in enumerate(levels):
        create(group, str(i), level, (1,) * (level.ndim - 2) + (32, 32))
    return group


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_tiff_pyramids_are_read_by_level(tmp_path, compression):
    path = tmp_path / "slide.ome.tif"
    write_tiff_pyramid(path, compression=compression)
    stored = open_image(path)
    assert (stored.axes, stored.shape, len(stored.levels)) == ("yx", (96, 128), 2)
    source = as_image_source(stored)
    expected = as_image_source([PLANE, HALF])
    assert source.normalization == expected.normalization
    for exponent, size in ((0, (40, 30)), (-1, (20, 30)), (1, (60, 40))):
        got = source.read(4, 6, *size, exponent)
        np.testing.assert_array_equal(got, expected.read(4, 6, *size, exponent))


def test_uncompressed_tiff_is_memory_mapped(tmp_path):
    path = tmp_path / "plain.tif"
    tifffile.imwrite(path, np.stack([PLANE, PLANE + 1]))
    stored = open_image(path)
    assert isinstance(stored.levels[0], np.memmap)
    assert stored.stack == {"q": 2} or list(stored.stack.values()) == [2]
    levels, channel_axis, rgb = stored.plane(1)
    assert (channel_axis, rgb) == (None, False)
    np.testing.assert_array_equal(levels[0], PLANE + 1)
    with pytest.raises(ImageError, match="2 planes"):
        as_image_source(stored)


def test_ome_tiff_axes_choose_planes(tmp_path):
    path = tmp_path / "stack.ome.tif"
    data = np.arange(2 * 3 * 2 * 8 * 9, dtype=np.uint16).reshape(2, 3, 2, 8, 9)
    tifffile.imwrite(path, data, metadata={"axes": "TZCYX"})
    stored = open_image(path)
    assert stored.stack == {"t": 2, "z": 3}
    assert stored.planes == 6
    levels, channel_axis, rgb = stored.plane({"t": 1, "z": 2})
    assert (channel_axis, rgb) == (0, False)
    np.testing.assert_array_equal(np.asarray(levels[0]), data[1, 2])
    np.testing.assert_array_equal(np.asarray(stored.plane(4)[0][0]), data[1, 1])
    for bad in ({"t": 1}, {"t": 2, "z": 0}, {"q": 0}, 6, -1, None):
        with pytest.raises(ImageError):
            stored.plane(bad)


def test_colours_and_ordinary_files(tmp_path):
    colours = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), colours[..., ::-1])
    tifffile.imwrite(tmp_path / "a.tif", colours, photometric="rgb")
    expected = as_image_source(colours).read(0, 0, 20, 30, 0)
    for name in ("a.png", "a.tif"):
        stored = open_image(tmp_path / name)
        assert stored.plane()[1:] == (None, True)
        np.testing.assert_array_equal(as_image_source(stored).read(0, 0, 20, 30, 0), expected)
    with pytest.raises(ImageError, match="series 1"):
        open_image(tmp_path / "a.png", series=1)
    with pytest.raises(ImageError, match="series 3"):
        open_image(tmp_path / "a.tif", series=3)


def test_compressions_that_tifffile_lacks(tmp_path, monkeypatch):
    """OpenCV reads pictures; of stacks it is said which package is missing."""
    path = tmp_path / "lzw.tif"
    cv2.imwrite(str(path), PLANE, [cv2.IMWRITE_TIFF_COMPRESSION, 5])
    monkeypatch.setattr(_open, "_has_codec", lambda page: False)
    stored = open_image(path)
    assert (stored.axes, stored.shape) == ("yx", PLANE.shape)
    np.testing.assert_array_equal(stored.levels[0], PLANE)
    tifffile.imwrite(path, np.stack([PLANE, PLANE]), compression="zlib")
    with pytest.raises(ImageError, match=r"compressed by ADOBE_DEFLATE.*imagecodecs"):
        open_image(path)
    monkeypatch.undo()
    assert open_image(path).planes == 2


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_truncated_tiff(tmp_path, compression):
    path = tmp_path / "cut.tif"
    write_tiff_pyramid(path, compression=compression)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(ImageError, match=r"cut\.tif"):
        as_image_source(open_image(path))


def test_a_tiff_that_ends_in_its_smallest_level(tmp_path):
    path = tmp_path / "cut.tif"
    write_tiff_pyramid(path, compression="zlib")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ImageError, match=r"cut\.tif is cut short"):
        open_image(path)


def write_plane_of_two(path, z, names):
    """Write one plane of an OME-TIFF of two planes, which lie in these files."""
    parts = "".join(
        f'<TiffData FirstZ="{i}" PlaneCount="1">'
        f'<UUID FileName="{escape(name)}">urn:uuid:{i}</UUID></TiffData>'
        for i, name in enumerate(names)
    )
    text = (
        f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:{z}">'
        '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" '
        'SizeX="128" SizeY="96" SizeZ="2" SizeC="1" SizeT="1"><Channel ID="Channel:0:0"/>'
        f"{parts}</Pixels></Image></OME>"
    )
    tifffile.imwrite(path, PLANE + z, description=text, metadata=None)


def test_planes_that_were_never_recorded_are_zeros(tmp_path):
    write_plane_of_two(tmp_path / "renamed.ome.tif", 0, ["a.ome.tif"])
    found = np.asarray(open_image(tmp_path / "renamed.ome.tif").levels[0])
    np.testing.assert_array_equal(found, [PLANE, np.zeros_like(PLANE)])


def test_an_ome_tiff_without_one_of_its_files(tmp_path):
    names = ["z&a.ome.tif", "zb.ome.tif"]
    for z, name in enumerate(names):
        write_plane_of_two(tmp_path / name, z, names)
    whole = open_image(tmp_path / "zb.ome.tif")
    np.testing.assert_array_equal(np.asarray(whole.levels[0]), [PLANE, PLANE + 1])
    (tmp_path / "z&a.ome.tif").unlink()
    with pytest.raises(ImageError, match=r"1 of its 2 planes are missing.* it: z&a\.ome\.tif\."):
        open_image(tmp_path / "zb.ome.tif")


def test_only_the_last_ending_makes_a_file_zarr(tmp_path):
    tifffile.imwrite(tmp_path / "sample.zarr.tif", PLANE)
    assert open_image(tmp_path / "sample.zarr.tif").shape == PLANE.shape
    with zarr.storage.ZipStore(tmp_path / "sample.zarr.zip", mode="w") as store:
        zarr.create_array(store, data=PLANE)
    assert open_image(tmp_path / "sample.zarr.zip").shape == PLANE.shape


@pytest.mark.parametrize("content", [b"", b"II*\0", b"no image at all", b"II*\0" + b"\xff" * 60])
def test_files_that_are_no_images(tmp_path, content):
    path = tmp_path / "file.tif"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=r"file\.tif"):
        open_image(path)
    with pytest.raises(ImageError, match="no file"):
        open_image(tmp_path / "none.tif")
    with pytest.raises(ImageError, match="no file"):
        open_image(tmp_path / "none.zarr")


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr(tmp_path, version):
    pytest.importorskip("yaozarrs")
    path = tmp_path / "image.zarr"
    stack = np.stack([PLANE, PLANE[::-1]])[None]
    half = np.stack([HALF, HALF[::-1]])[None]
    write_ome_zarr(path, [stack, half], "tcyx", version)
    stored = open_image(path)
    assert (stored.axes, stored.stack, stored.plane_shape) == ("tcyx", {"t": 1}, (96, 128))
    source = as_image_source(stored, channels=("use", "ignore"))
    expected = as_image_source([PLANE, HALF], normalization=source.normalization.select([0]))
    for exponent in (0, -1):
        got = source.read(4, 6, 20, 30, exponent)
        np.testing.assert_array_equal(got, expected.read(4, 6, 20, 30, exponent))


@pytest.mark.parametrize("version", [2, 3])
def test_plain_zarr(tmp_path, version):
    group = zarr.open_group(str(tmp_path / "g.zarr"), mode="w", **v2_or_v3(version))
    create(group, "a", np.stack([PLANE, HALF.repeat(2, 0).repeat(2, 1)]), (1, 32, 32))
    with pytest.raises(ImageError, match="It holds a"):
        open_image(tmp_path / "g.zarr")
    stored = open_image(tmp_path / "g.zarr" / "a")
    assert stored.planes == 2
    np.testing.assert_array_equal(np.asarray(stored.plane(0)[0][0]), PLANE)


def test_broken_ome_zarr(tmp_path):
    pytest.importorskip("yaozarrs")
    path = tmp_path / "image.zarr"
    group = write_ome_zarr(path, [PLANE, HALF])
    del group["1"]
    with pytest.raises(ImageError, match="'1' is missing"):
        open_image(path)
    write_ome_zarr(path, [PLANE, HALF[:, :20]])
    with pytest.raises(ImageError, match="do not match"):
        as_image_source(open_image(path))
    group.attrs.update({"ome": {"version": "0.5", "multiscales": [{"axes": []}]}})
    with pytest.raises(ImageError, match="rules of versions"):
        open_image(path)
    empty = tmp_path / "empty.zarr"
    zarr.open_group(str(empty), mode="w")
    with pytest.raises(ImageError, match="empty"):
        open_image(empty)
    (tmp_path / "text.zarr").mkdir()
    with pytest.raises(ImageError, match="zarr"):
        open_image(tmp_path / "text.zarr")


def read_twice(array):
    source = as_image_source(array)
    source.read(40, 40, 20, 20, 0)
    source.read(0, 0, 40, 40, 0)


@pytest.mark.parametrize("version", [2, 3])
def test_missing_chunks_are_read_as_fill_value_and_said_once(tmp_path, version):
    group = zarr.open_group(str(tmp_path / "g.zarr"), mode="w", **v2_or_v3(version))
    make = getattr(group, "create_array", None) or group.create_dataset
    array = make("a", shape=(96, 128), chunks=(32, 32), dtype="u2", fill_value=7)
    array[:32, :64] = PLANE[:32, :64]
    with pytest.warns(UserWarning, match=r"10 of the 12 chunks .* fill value, 7") as said:
        read_twice(array)
    assert len(said) == 1
    array[...] = 7 * np.ones((96, 128), "u2")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        array[:2, :2] = 9
        make("b", shape=(96, 128), chunks=(32, 32), dtype="u2", fill_value=0)[...] = PLANE + 1
        as_image_source(group["b"]).read(0, 0, 40, 40, 0)


def test_only_window_pixels_of_the_fitting_level_are_read():
    class Counting:
        dtype = np.dtype(np.uint16)

        def __init__(self, *shape):
            self.shape, self.pixels = shape, 0

        def __getitem__(self, index):
            shape = [
                len(range(*i.indices(n)))
                for i, n in zip(index, self.shape, strict=True)
                if isinstance(i, slice)
            ]
            self.pixels += int(np.prod(shape))
            return np.ones(shape, np.uint16)

    levels = [Counting(4, 3, 1 << k, 1 << k) for k in (15, 14, 13)]
    stored = StoredImage(tuple(levels), "tcyx", "counting")
    planes, channel_axis, rgb = stored.plane(2)
    source = as_image_source(planes, channel_axis, rgb, channels=("red", "ignore", "green"))
    for level in levels:
        level.pixels = 0
    source.read(1000, 2000, 256, 200, -1)
    assert [level.pixels for level in levels] == [0, 2 * 256 * 200, 0]


def test_levels_of_another_scale_are_refused():
    unit = HALF / np.float64(65535)
    with pytest.raises(ImageError, match="preserve_range"):
        as_image_source([PLANE, unit])
    as_image_source([PLANE, HALF.astype(np.float64)])
    with pytest.raises(ImageError, match="do not match"):
        as_image_source([PLANE, HALF.astype(np.float32) * 10])


def test_the_sample_of_a_chunked_image_reads_each_block_from_one_chunk(tmp_path):
    group = zarr.open_group(str(tmp_path / "g.zarr"), mode="w")
    make = getattr(group, "create_array", None) or group.create_dataset
    array = make("a", shape=(3, 20_000, 30_000), chunks=(1, 512, 1024), dtype="u2", fill_value=3)
    read = []

    class Watched:
        shape, dtype, chunks = array.shape, array.dtype, array.chunks

        def __getitem__(self, index):
            read.append(index)
            shape = [1, *(len(range(*i.indices(40_000))) for i in index[1:])]
            return np.full(shape, len(read), np.uint16)

    as_image_source(StoredImage((Watched(),), "cyx"), channels=("ignore", "use", "ignore"))
    assert len(read) == 16
    for channel, rows, columns in read:
        assert channel == slice(1, 2)
        assert rows.start // 512 == (rows.stop - 1) // 512
        assert columns.start // 1024 == (columns.stop - 1) // 1024


def test_further_positions_are_not_left_out_unsaid(tmp_path):
    with tifffile.TiffWriter(tmp_path / "positions.ome.tif") as writer:
        for position in range(3):
            writer.write(PLANE + position, metadata={"axes": "YX"})
    root = zarr.open_group(str(tmp_path / "well.ome.zarr"), mode="w")
    root.attrs.update({"bioformats2raw.layout": 3})
    for position in range(3):
        write_ome_zarr(tmp_path / "well.ome.zarr" / str(position), [PLANE + position])
    for path in tmp_path.iterdir():
        with pytest.warns(UserWarning, match="several images; only the first"):
            first = open_image(path)
        np.testing.assert_array_equal(np.asarray(first.levels[0]), PLANE)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            chosen = open_image(path, series=2)
        np.testing.assert_array_equal(np.asarray(chosen.levels[0]), PLANE + 2)


def test_a_thumbnail_is_no_further_image(tmp_path):
    with tifffile.TiffWriter(tmp_path / "slide.tif") as writer:
        writer.write(PLANE, photometric="minisblack")
        writer.write(PLANE[:20, :20], photometric="minisblack")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert open_image(tmp_path / "slide.tif").shape == PLANE.shape


def test_means_stored_as_floats_may_miss_a_hot_pixel():
    fine = np.random.default_rng(0).normal(100, 5, (1024, 1024)).astype(np.uint16)
    fine[512, 512] = 65535
    levels = [fine]
    for n in (4, 16):
        means = fine.reshape(1024 // n, n, 1024 // n, n).mean(axis=(1, 3))
        levels.append(means.astype(np.float32))
    assert as_image_source(levels).shape == (1024, 1024)
