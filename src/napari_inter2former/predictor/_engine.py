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
from napari_inter2former.predictor._drawing import OUTSIDE, Drawing, honour, keep_parts
from napari_inter2former.prompts import Prompt, flatten

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_inter2former.predictor._windows import Window

__all__ = ["Engine"]

Floats = npt.NDArray[np.float32]

DEFINITE = (int(rm.Label.DEFINITE_BACKGROUND), int(rm.Label.DEFINITE_FOREGROUND))


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
        self.encode_seconds = 0.0
        self._fine_clicks = bool(getattr(getattr(model, "config", None), "fine_clicks", False))
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
            self.encode_seconds += time.perf_counter() - start
            self.features.put(key, features, int(features.nbytes))
        return features

    @staticmethod
    def new_reference(window: Window, mask: npt.NDArray[np.bool_] | None) -> Tensor:
        """Return the reference mask before the first click, perhaps from an existing mask."""
        if mask is None:
            return rm.new(window.height, window.width)
        return rm.from_mask(torch.from_numpy(np.ascontiguousarray(mask)))

    def step(
        self, features: Any, reference: Tensor, prompts: Sequence[Prompt], window: Window
    ) -> Drawing:
        """Apply the last prompt of an object: write its discs, decode, update `reference` in place.

        Parameters
        ----------
        features : object
            Of the window.
        reference : Tensor
            uint8 (height, width), the window's reference mask after all prompts but the last.
        prompts : sequence of Click or tuple of Click
            All so far.
        window : Window
            Where the mask is drawn.
        """
        with torch.inference_mode():
            newest = flatten(prompts[-1:])
            before = reference.clone() if len(newest) > 1 else reference
            for click in newest:
                at = window.to_input(click.row, click.column)
                rm.add_click(reference, *at, click.positive, self._fine_clicks, before)
            if not (reference > rm.Label.UNKNOWN).any():
                # Nothing speaks for an object yet. What the network would say of the background
                # by itself must not speak against one.
                return Drawing(np.full((1, 1), OUTSIDE, np.float32), (0, 0, 1, 1), 0.0)
            decoded = self.model.decode(features, reference.to(self.device))
            logits = decoded.logits.to("cpu", torch.float32).numpy()
            r0, c0, r1, c1 = (int(v) for v in decoded.box)
            drawing = Drawing(logits, (r0, c0, r1, c1), decoded.iou)
            clicks = [(*window.to_input(c.row, c.column), c.positive) for c in flatten(prompts)]
            drawing = honour(drawing, reference.numpy(), clicks, DEFINITE)
            r0, c0, r1, c1 = drawing.box  # larger, perhaps
            known = reference[r0:r1, c0:c1].numpy()
            drawing = keep_parts(drawing, known, int(rm.Label.POSSIBLE_FOREGROUND))
            rm.update_inside(reference, torch.from_numpy(drawing.logits), r0, c0)
        return drawing
