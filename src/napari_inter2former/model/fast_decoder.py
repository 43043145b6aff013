"""The decoder's path for one click, on compiled kernels; `Inter2Former.decode_plain` is its twin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_inter2former import kernels

from .attention import BinarySphericalQuantizer, HybridAttention
from .prompt_embedding import TokenBox
from .reference_mask import Label
from .upsampling import LOCALISATION_LOGIT, object_box  # noqa: F401

if TYPE_CHECKING:
    from .inter2former import Decoded, ImageFeatures, Inter2Former


class FastDecoder:
    """A model's decoder, packed for the compiled kernels.

    A copy of the weights: made when an image is encoded, and kept with its features.

    Parameters
    ----------
    model : Inter2Former
        For which `possible` is true.
    """

    def __init__(self, model: Inter2Former) -> None:
        native = kernels.native_module()
        isa = kernels.instruction_set()
        assert native is not None
        self.native = native
        self.model = model
        self.attentions = []
        for layer in model.layers:
            quantizer = layer.attention.quantizer
            self.attentions.append(
                native.HybridAttention(_array(quantizer.project), _array(quantizer.base), isa=isa)
            )
        self.prompt = self._pack_prompt(isa)
        upsampling = model.upsampling
        self.steps = [
            native.PackedStep(_array(conv.weight), _array(norm.weight), _array(norm.bias), isa=isa)
            for conv, norm in zip(upsampling.convs, upsampling.norms, strict=True)
        ]
        self.tables: dict[tuple[int, int], list[Any]] = {}

    def _pack_prompt(self, isa: str) -> Any:
        """Pack the prompt embedding, the prompt skips, and what both make of constant planes."""
        model, prompt = self.model, self.model.prompt
        first, *others = prompt.convs
        table = torch.einsum("oeyx,le->yxlo", first.weight, prompt.embed.weight).flatten(0, 1)
        planes = torch.arange(len(Label), dtype=torch.uint8)[:, None, None]
        planes = planes.expand(-1, 3 * prompt.patch, 3 * prompt.patch)
        levels = [y[:, -1, -1] for y in prompt(planes)]
        skips = list(model.upsampling.prompt_convs)
        terms = [
            level @ conv.weight.sum((2, 3)).T
            for conv, level in zip(skips, levels[2::-1], strict=False)
        ]
        return self.native.PackedPrompt(
            _array(table),
            [_array(conv.weight) for conv in others],
            [_array(conv.bias) for conv in prompt.convs],
            [_array(conv.weight) for conv in skips],
            [_array(level) for level in levels],
            [_array(term) for term in terms],
            isa=isa,
        )

    @staticmethod
    def possible(model: Inter2Former) -> bool:
        """Whether the kernels have all that this model's configuration asks for."""
        config = model.config
        return False

    def decode(self, features: ImageFeatures, reference: Tensor) -> tuple[Tensor, TokenBox]:
        """Decode one mask.

        Parameters
        ----------
        features : ImageFeatures
            Of one image.
        reference : Tensor
            uint8 (H, W), padded to whole tokens.

        Returns
        -------
        logits : Tensor
            Logits of the pixels of the box.
        box : TokenBox
            Where the object is; empty if there is nothing.
        """
        threads = torch.get_num_threads()
        model, tokens = self.model, features.tokens[0]
        h, w, dim = tokens.shape
        field = self.native.PromptField(self.prompt, _array(reference), threads)
        x = torch.empty_like(tokens)
        field.add_to(tokens.numpy(), x.numpy(), threads)
        x = x.view(h * w, dim)
        edge = torch.from_numpy(field.edge())
        for layer, kernel in zip(model.layers, self.attentions, strict=True):
            attention = layer.attention
            qkv = attention.qkv(attention.norm(x))
            out = torch.empty(h * w, attention.heads, attention.head_dim)
            cos, sin = self._table(attention, h, w)
            kernel.run(
                qkv.view(h * w, 3, attention.heads, attention.head_dim).numpy(),
                edge.numpy(),
                cos,
                sin,
                out.numpy(),
                threads,
            )
            x += attention.project(out.flatten(1))
            x += layer.experts(x, edge)
        x = x.view(h, w, dim)
        found = object_box(model.upsampling.low_resolution(x))
        if found.empty:
            return x.new_zeros(0, 0), found
        return self._upsample(field, x, features.edges, found, threads), found

    def _table(self, attention: HybridAttention, h: int, w: int) -> list[Any]:
        key = (h, w)
        if key not in self.tables:
            self.tables.clear()
            table = attention.rope.table(h, w, torch.device("cpu"))
            self.tables[key] = [_array(t) for t in table]
        return self.tables[key]

    def _upsample(
        self, field: Any, x: Tensor, edges: list[Tensor], found: TokenBox, threads: int
    ) -> Tensor:
        h, w = x.shape[:2]
        skips = len(self.model.upsampling.prompt_convs)
        if skips:
            field.make_terms(
                max(found.top - 1, 0),
                max(found.left - 1, 0),
                min(found.bottom + 1, h),
                min(found.right + 1, w),
                threads,
            )
        top, left = 0, 0  # position of x's first pixel on its level
        for i, (step, edge) in enumerate(zip(self.steps, edges, strict=True)):
            # One pixel around the box is all that a step needs of its input.
            scale = 1 << i
            box = TokenBox(
                max(found.top * scale - 1, 0),
                max(found.left * scale - 1, 0),
                min(found.bottom * scale + 1, h * scale),
                min(found.right * scale + 1, w * scale),
            )
            part = x[box.top - top : box.bottom - top, box.left - left : box.right - left]
            edge_part = edge[0][box.slices(2)]
            out = torch.empty(edge_part.shape)
            step.run(
                part.numpy(),
                edge_part.numpy(),
                out.numpy(),
                i < len(self.steps) - 1,
                field if i < skips else None,
                i,
                box.top,
                box.left,
                threads,
            )
            x, top, left = out, 2 * box.top, 2 * box.left
        rows, columns = found.slices(16)
        return x[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left, 0]


def _array(tensor: Tensor) -> np.ndarray[Any, Any]:
    array: np.ndarray[Any, Any] = tensor.detach().contiguous().numpy()
    return array
