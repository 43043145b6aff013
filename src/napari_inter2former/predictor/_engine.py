"""The part of the predictor that talks to the model in tensors."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_inter2former._cache import BoundedCache
from napari_inter2former.model import encoder_precision
from napari_inter2former.model import reference_mask as rm
from napari_inter2former.predictor._drawing import Drawing, keep_parts
from napari_inter2former.prompts import Prompt, flatten

if TYPE_CHECKING:
    from napari_inter2former.predictor._windows import Window

__all__ = ["Engine"]

Floats = npt.NDArray[np.float32]


class Engine:
    """Encode windows once, keep their features, and decode.

    Parameters
    ----------
    model : Inter2Former
        Anything with its ``encode`` and ``decode``.
    cache_bytes : int
        Bound of the feature cache.
    """

    def __init__(self, model: Any, cache_bytes: int) -> None:
        self.model = model
        self.features: BoundedCache[str, Any] = BoundedCache(cache_bytes)
        self.encode_seconds: float | None = None
        parameters = getattr(model, "parameters", None)
        first = next(iter(parameters()), None) if callable(parameters) else None
        self.device = torch.device("cpu") if first is None else first.device

    def key(self, image: Floats) -> str:
        """Content key of a window: windows that look alike share features of one precision."""
        kind = (image.shape, encoder_precision(self.device))
        digest = hashlib.blake2b(repr(kind).encode(), digest_size=16)
        digest.update(image.data)
        return digest.hexdigest()

    def encode(self, image: Floats, key: str) -> Any:
        """Features of a window, from the cache or made now.

        Parameters
        ----------
        image : array of float32, (h, w, 3)
            In [0, 1].
        key : str
            What `key` gave for it.
        """
        features = self.features.get(key)
        if features is None:
            start = time.perf_counter()
            tensor = torch.from_numpy(image).permute(2, 0, 1).unsqueeze(0).contiguous()
            with torch.inference_mode():
                features = self.model.encode(tensor.to(self.device))
            self.encode_seconds = time.perf_counter() - start
            self.features.put(key, features, int(features.nbytes))
        return features

    @staticmethod
    def new_reference(window: Window, mask: npt.NDArray[np.bool_] | None) -> Tensor:
        """Return the reference mask before the first click, perhaps from an existing mask."""
        if mask is None:
            return rm.new(window.height, window.width)
        return rm.from_mask(torch.from_numpy(np.ascontiguousarray(mask)))

    def step(self, features: Any, reference: Tensor, prompt: Prompt, window: Window) -> Drawing:
        """Apply one prompt: write its discs, decode, update `reference` in place."""
        with torch.inference_mode():
            for click in flatten((prompt,)):
                row, column = window.to_input(click.row, click.column)
                rm.add_click(reference, row, column, click.positive)
            decoded = self.model.decode(features, reference.to(self.device))
            logits = decoded.logits.to("cpu", torch.float32)
            r0, c0, r1, c1 = (int(v) for v in decoded.box)
            known = reference[r0:r1, c0:c1].numpy()
            drawing = Drawing(logits.numpy(), (r0, c0, r1, c1), decoded.iou)
            drawing = keep_parts(drawing, known, int(rm.Label.POSSIBLE_FOREGROUND))
            rm.update_inside(reference, logits, r0, c0)
        return drawing
