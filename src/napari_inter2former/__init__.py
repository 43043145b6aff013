"""Click a cell, get its mask: interactive segmentation for microscopy.

Names are imported on first use, so ``import napari_inter2former`` needs
neither PyTorch, Qt nor napari and takes milliseconds::

    from napari_inter2former import Click, Predictor

    predictor = Predictor()
    predictor.set_image(image)
    mask = predictor.predict([Click(120, 88)])
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from napari_inter2former.errors import Inter2FormerError
    from napari_inter2former.predictor import Mask, Predictor
    from napari_inter2former.prompts import Click, box, polygon, scribble
    from napari_inter2former.scripting import segment, segment_layers
    from napari_inter2former.weights import list_models, load_model, save_weights

__all__ = [
    "Click",
    "Inter2FormerError",
    "Mask",
    "Predictor",
    "__version__",
    "box",
    "list_models",
    "load_model",
    "polygon",
    "save_weights",
    "scribble",
    "segment",
    "segment_layers",
]

_MODULE_OF = {
    "Click": "prompts",
    "Inter2FormerError": "errors",
    "Mask": "predictor",
    "Predictor": "predictor",
    "box": "prompts",
    "list_models": "weights",
    "load_model": "weights",
    "polygon": "prompts",
    "save_weights": "weights",
    "scribble": "prompts",
    "segment": "scripting",
    "segment_layers": "scripting",
}


def __getattr__(name: str) -> object:
    """Import a public name from its module when it is first asked for."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted(__all__)
