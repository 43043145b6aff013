"""How labelled images lie in folders: one module for each arrangement in common use.

Each has a function ``find(folder, split)`` that lists the pairs of a folder, or none when the
folder is arranged in another way. Nothing but names (and COCO's JSON) is read before it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from napari_inter2former.evaluation.layouts import coco, davis, dsb2018, hqseg, named, sstem
from napari_inter2former.evaluation.layouts import folders as two_folders

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_inter2former.evaluation.pairs import Pair

__all__ = ["LAYOUTS", "Source", "recognise"]

LAYOUTS: dict[str, Callable[[Path, str], list[Pair]]] = {
    "NAME_image.* beside NAME_label.*": named.find,
    "COCO (annotations in JSON)": coco.find,
    "DAVIS (JPEGImages, Annotations)": davis.find,
    "DSB2018 (ID/images, ID/masks)": dsb2018.find,
    "HQSeg-44K (DIS5K, thin_object_detection, cascade_psp)": hqseg.find,
    "ssTEM (raw, mitochondria)": sstem.find,
    "images/NAME.* and labels/NAME.*": two_folders.find,
    "Cellpose (NAME.* beside NAME_masks.*)": named.find_cellpose,
}
"""What each layout is called, and what finds its pairs; the first that finds any is taken."""


class Source(NamedTuple):
    """A folder whose layout was recognised.

    Attributes
    ----------
    folder : pathlib.Path
        The folder.
    layout : str
        What its layout is called; a key of `LAYOUTS`.
    pairs : list of Pair
        At least one.
    """

    folder: Path
    layout: str
    pairs: list[Pair]


def recognise(folder: Path, split: str) -> Source | None:
    """Find out how a folder is arranged, and list its pairs.

    Parameters
    ----------
    folder : pathlib.Path
        The folder, or a COCO file.
    split : str
        Which part to take of a layout that holds several, such as COCO's JSON files. (That
        ``folder/split`` may be a dataset by itself is `find_datasets`'s business.)

    Returns
    -------
    Source or None
        None when it is none of the layouts.

    Raises
    ------
    DatasetError
        When the layout is known, but files are missing or the JSON cannot be used.
    """
    for layout, find in LAYOUTS.items():
        pairs = find(folder, split)
        if pairs:
            return Source(folder, layout, pairs)
    return None
