"""COCO's JSON: polygons and run lengths, as in COCO, LVIS and LIVECell.

Looked for in the folder, in ``annotations`` and below it; of several files the one for the split,
such as ``instances_val2017.json``, ``lvis_v1_val.json`` or ``livecell_coco_val.json``. Images are
found by name anywhere in the folder, but none is taken for another of the same name.
"""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from napari_inter2former.evaluation.layouts.coco_masks import CocoLabels
from napari_inter2former.evaluation.layouts.names import LABEL_FOLDERS, SUFFIXES
from napari_inter2former.evaluation.pairs import DatasetError, Pair

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

__all__ = ["find"]

OTHERS = ("captions", "person_keypoints", "panoptic", "stuff", "image_info")
"""Files of COCO that hold no instances."""


def find(folder: Path, split: str) -> list[Pair]:
    """List the images of a COCO file that have annotations.

    Parameters
    ----------
    folder : pathlib.Path
        A folder, or the JSON file itself, with the images beside it or in the folder above.
    split : str
        Chooses among several files by their names; a single one is taken whatever its name.

    Raises
    ------
    DatasetError
        When several files fit, none fits the split, or the file is damaged or no COCO.
    """
    if folder.is_file():
        if folder.suffix.lower() != ".json":
            return []
        root = folder.parent
        return _read(folder, root.parent if root.name.lower().startswith("annotation") else root)
    files = _json_files(folder)
    if not files:
        return []
    fitting = [path for path in files if _is_of(path, split)]
    if not fitting and len(files) > 1:
        names = ", ".join(path.name for path in files)
        raise DatasetError(
            f"{folder}: none of {names} is named after the split {split!r}; give --split or the "
            "path of one of them."
        )
    if len(fitting) > 1:
        names = ", ".join(path.name for path in fitting)
        raise DatasetError(
            f"{folder}: several files for the split {split!r} ({names}); give the path of one."
        )
    return _read((fitting or files)[0], folder)


def _json_files(folder: Path) -> list[Path]:
    places = [folder, *(p for p in folder.glob("[aA]nnotation*") if p.is_dir())]
    found: list[Path] = []
    for place in places:
        pattern = "*.json" if place == folder else "**/*.json"
        found += [
            path
            for path in sorted(place.glob(pattern))
            if not path.name.startswith((*OTHERS, ".")) and _looks_like_coco(path)
        ]
    return found


def _looks_like_coco(path: Path) -> bool:
    """Tell by the first bytes: any other JSON in the folder is none of our business."""
    with path.open("rb") as file:
        start = file.read(4096).lstrip()
    keys = rb'"(images|annotations|info|licenses|categories)"|"type"\s*:\s*"instances"'
    return re.match(rb"{\s*(" + keys + rb")", start) is not None


def _is_of(path: Path, split: str) -> bool:
    return (
        re.search(rf"(?<![a-z]){re.escape(split.lower())}(?![a-z])", path.stem.lower()) is not None
    )


def _read(path: Path, root: Path) -> list[Pair]:
    try:
        content = json.loads(path.read_bytes())
        images = {image["id"]: image for image in content["images"]}
        annotations = content["annotations"]
        if isinstance(annotations, dict):  # some of LIVECell's files number them
            annotations = list(annotations.values())
        shapes: dict[Any, list[Any]] = defaultdict(list)
        for annotation in annotations:
            if not annotation.get("iscrowd") and annotation.get("segmentation"):
                shapes[annotation["image_id"]].append(annotation["segmentation"])
        names = {key: _name_of(image) for key, image in images.items()}
        sizes = {key: (int(i["height"]), int(i["width"])) for key, i in images.items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise DatasetError(
            f"{path}: cannot be read as COCO annotations ({type(error).__name__}: {error})."
        ) from error
    unknown = shapes.keys() - images.keys()
    if unknown:
        raise DatasetError(
            f"{path}: annotations of {len(unknown)} image(s) that the file does not list, "
            f"such as {next(iter(unknown))!r}."
        )
    found = _locate((names[key] for key in shapes), root, path)
    pairs = [
        Pair(names[key], found[names[key]], path, CocoLabels(sizes[key], tuple(shapes[key])))
        for key in shapes
    ]
    if not pairs:
        raise DatasetError(f"{path}: no image has a segmentation.")
    return sorted(pairs, key=lambda pair: pair.name)


def _name_of(image: dict[str, Any]) -> str:
    # LVIS gives only the address: its last two parts are folder and file of COCO.
    name = image.get("file_name") or "/".join(image["coco_url"].split("/")[-2:])
    return str(name).replace("\\", "/")


def _locate(names: Iterable[str], root: Path, annotations: Path) -> dict[str, Path]:
    """Find images where the file says, else by their names alone anywhere below a folder."""
    found: dict[str, Path] = {}
    anywhere: dict[str, list[Path]] | None = None
    for name in names:
        path = root / name
        if not path.is_file():
            if anywhere is None:
                anywhere = _pictures_below(root)
            # A missing image is told (and skipped) when it is read.
            path = _only(anywhere.get(Path(name).name, [path]), root, annotations)
        found[name] = path
    return found


def _pictures_below(root: Path) -> dict[str, list[Path]]:
    """List what may be an image, by name; masks may have their image's name."""
    found: dict[str, list[Path]] = defaultdict(list)
    for at, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if name.lower() not in LABEL_FOLDERS)
        for file in files:
            if Path(file).suffix.lower() in SUFFIXES:
                found[file].append(Path(at) / file)
    return found


def _only(candidates: list[Path], root: Path, annotations: Path) -> Path:
    """Of several images of a name, take the one in a folder that the annotations are named after.

    Images of ``instances_val2017.json`` lie in ``val2017``, or in ``val``.
    """
    if len(candidates) > 1:
        candidates = [
            path
            for path in candidates
            if any(_is_of(annotations, part) for part in path.relative_to(root).parts[:-1])
        ] or candidates
    if len(candidates) > 1:
        raise DatasetError(
            f"{annotations}: which image is {candidates[0].name}, {candidates[0]} or "
            f"{candidates[1]}? Write their folders into the file's file_name, or move one away."
        )
    return candidates[0]
