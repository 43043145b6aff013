"""The sample images in napari's File > Open Sample menu."""

from __future__ import annotations

from typing import Any

__all__ = ["nuclei_brightfield", "nuclei_fluorescence", "nuclei_tissue"]

Layers = list[tuple[Any, dict[str, Any], str]]


def nuclei_fluorescence() -> Layers:
    """Nuclei in fluorescence, grey, 520 x 696 pixels."""
    return _layers("nuclei_fluorescence")


def nuclei_tissue() -> Layers:
    """Nuclei in stained tissue, RGB, 256 x 320 pixels."""
    return _layers("nuclei_tissue")


def nuclei_brightfield() -> Layers:
    """Nuclei in a brightfield image, grey, 448 x 448 pixels."""
    return _layers("nuclei_brightfield")


def _layers(name: str) -> Layers:
    from napari_inter2former.data import load_sample

    sample = load_sample(name)
    return [(sample.image, {"name": sample.title, "rgb": sample.rgb}, "image")]
