"""A click's path on compiled kernels; `Inter2Former.decode_plain` is its twin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from napari_inter2former.kernels._extension import instruction_set, native
from napari_inter2former.kernels.experts import as_array
from napari_inter2former.kernels.hybrid import state

from .prompt_embedding import TokenBox
from .reference_mask import Label
from .unknown_attention import UnknownAttention
from .upsampling import object_box

if TYPE_CHECKING:
    from .inter2former import ImageFeatures, Inter2Former

__all__ = ["DecodedPart", "DecoderPacking", "FastDecoder"]


class DecodedPart(NamedTuple):
    """What both decoders return.

    Attributes
    ----------
    logits : Tensor
        (h, w), of the pixels of the box.
    box : TokenBox
        Where the object is; empty if there is nothing.
    tokens : Tensor
        (H / 16, W / 16, dim), refined.
    low_resolution : Tensor
        (H / 16, W / 16), logits of the localisation branch.
    """

    logits: Tensor
    box: TokenBox
    tokens: Tensor
    low_resolution: Tensor


class DecoderPacking:
    """Keeps a model's decoder packed for as long as its weights do not change.

    Neither copied nor saved with the model that holds it.
    """

    def __init__(self) -> None:
        self._kept: tuple[object, FastDecoder] | None = None

    def of(self, model: Inter2Former) -> FastDecoder | None:
        """Return the packed decoder; None where the kernels can't do what the model asks for."""
        if model.training or torch.is_grad_enabled() or torch.is_autocast_enabled("cpu"):
            self._kept = None
            return None
        module = native()
        if module is None:
            return None
        config = model.config
        published = (config.attention, config.quantizer, config.norm) == ("hybrid", "bsq", "pixel")
        if not (published and config.dpe and config.dlu and 4 <= config.code_bits <= 8):
            return None
        attentions = [layer.attention for layer in _layers(model)]
        weights = [
            p for part in (model.prompt, model.upsampling, *attentions) for p in part.parameters()
        ]
        if any(w.device.type != "cpu" or w.dtype != torch.float32 for w in weights):
            return None
        isa = instruction_set()
        key = (isa, *(state(w, module.fingerprint) for w in weights))
        kept = self._kept
        if kept is None or kept[0] != key:
            self._kept = kept = key, FastDecoder(model, module, isa)
        return kept[1]

    def __reduce__(self) -> tuple[type[DecoderPacking], tuple[()]]:
        return DecoderPacking, ()


class FastDecoder:
    """A model's decoder, packed for the compiled kernels.

    A copy of the weights, except those of the experts, which keep their own.
    """

    def __init__(self, model: Inter2Former, module: Any, isa: str) -> None:
        self.native, self.isa = module, isa
        self.attentions = []
        for layer in _layers(model):
            attention = layer.attention
            quantizer = attention.quantizer
            self.attentions.append(
                (
                    self._linear(attention.qkv, attention.norm),
                    module.HybridAttention(
                        as_array(quantizer.project), as_array(quantizer.base), isa=isa
                    ),
                    self._linear(attention.project),
                )
            )
        self.prompt = self._pack_prompt(model)
        self.skips = len(model.upsampling.prompt_convs)
        upsampling: Any = model.upsampling
        self.steps = [
            module.PackedStep(
                as_array(conv.weight), as_array(norm.weight), as_array(norm.bias), isa=isa
            )
            for conv, norm in zip(upsampling.convs, upsampling.norms, strict=True)
        ]
        self.tables: dict[tuple[int, int], list[Any]] = {}

    def _linear(self, linear: Any, norm: Any = None) -> Any:
        norms = (None, None) if norm is None else (as_array(norm.weight), as_array(norm.bias))
        weights = as_array(linear.weight), as_array(linear.bias)
        return self.native.PackedLinear(*weights, *norms, isa=self.isa)

    def _pack_prompt(self, model: Inter2Former) -> Any:
        """Pack the prompt embedding, the prompt skips, and what both make of constant planes."""
        prompt: Any = model.prompt
        first, *others = prompt.convs
        table = torch.einsum("oeyx,le->yxlo", first.weight, prompt.embed.weight).flatten(0, 1)
        planes = torch.arange(len(Label), dtype=torch.uint8)[:, None, None]
        planes = planes.expand(-1, 3 * prompt.patch, 3 * prompt.patch)
        levels = [y[:, -1, -1] for y in prompt(planes)]
        skips: list[Any] = list(model.upsampling.prompt_convs)
        terms = [
            level @ conv.weight.sum((2, 3)).T
            for conv, level in zip(skips, levels[2::-1], strict=False)
        ]
        return self.native.PackedPrompt(
            as_array(table),
            [as_array(conv.weight) for conv in others],
            [as_array(conv.bias) for conv in prompt.convs],
            [as_array(conv.weight) for conv in skips],
            [as_array(level) for level in levels],
            [as_array(term) for term in terms],
            isa=self.isa,
        )

    def decode(
        self, model: Inter2Former, features: ImageFeatures, reference: Tensor
    ) -> DecodedPart:
        """Decode one mask; see `Inter2Former.decode_plain`."""
        threads = torch.get_num_threads()
        tokens = features.tokens[0].contiguous()
        h, w, dim = tokens.shape
        field = self.native.PromptField(self.prompt, as_array(reference), threads)
        x = torch.empty_like(tokens)
        field.add_to(tokens.numpy(), x.numpy(), threads)
        edge = torch.from_numpy(field.edge())
        x = x.view(h * w, dim)
        for i, layer in enumerate(_layers(model)):
            known = features.unknown if i == 0 and bool(edge.all()) else None
            changed = None if known is None else known.changed(x)
            if known is not None and changed is not None:
                known.attend(self, layer.attention, x, changed, threads)
            else:
                self.attend(i, layer.attention, x, edge, (h, w), threads)
            x = layer.experts(x, edge, residual=True)
        x = x.view(h, w, dim)
        low_resolution = model.upsampling.low_resolution(x)
        found = object_box(low_resolution)
        logits = x.new_zeros(0, 0)
        if not found.empty:
            logits = self.upsample(field, x, features.edges, found, threads)
        return DecodedPart(logits, found, x, low_resolution)

    def attend(
        self, i: int, attention: Any, x: Tensor, edge: Tensor, grid: tuple[int, int], threads: int
    ) -> Tensor:
        """Add layer i's hybrid attention to tokens (N, dim), in place."""
        to_qkv, attend, project = self.attentions[i]
        heads = (attention.heads, attention.head_dim)
        qkv = torch.empty(len(x), 3, *heads)
        attended = torch.empty(len(x), *heads)
        to_qkv.run(x.numpy(), qkv.view(len(x), -1).numpy(), False, threads)
        table = self._table(attention, *grid)
        attend.run(qkv.numpy(), edge.numpy(), *table, attended.numpy(), None, threads)
        project.run(attended.view(len(x), -1).numpy(), x.numpy(), True, threads)
        return x

    def unknown(self, model: Inter2Former, tokens: Tensor) -> UnknownAttention:
        """Prepare first clicks on image tokens (h, w, dim): the first layer's attention before."""
        threads = torch.get_num_threads()
        h, w = tokens.shape[:2]
        patch = model.config.patch
        reference = torch.full((h * patch, w * patch), Label.UNKNOWN, dtype=torch.uint8)
        field = self.native.PromptField(self.prompt, reference.numpy(), threads)
        x = torch.empty_like(tokens)
        field.add_to(tokens.contiguous().numpy(), x.numpy(), threads)
        x = x.flatten(0, 1)
        attention = _layers(model)[0].attention
        to_qkv, attend, _ = self.attentions[0]
        heads = (attention.heads, attention.head_dim)
        qkv = torch.empty(len(x), 3, *heads)
        attended = torch.empty(len(x), *heads)
        log_sums = torch.empty(len(x), attention.heads)
        to_qkv.run(x.numpy(), qkv.view(len(x), -1).numpy(), False, threads)
        table = self._table(attention, h, w)
        edge = torch.ones(len(x), dtype=torch.bool)
        attend.run(qkv.numpy(), edge.numpy(), *table, attended.numpy(), log_sums.numpy(), threads)
        return UnknownAttention(x, qkv, attended, log_sums, [torch.from_numpy(t) for t in table])

    def _table(self, attention: Any, h: int, w: int) -> list[Any]:
        """Return the cosines and sines of the rotary embedding, kept from the last time."""
        if (h, w) not in self.tables:
            table = attention.rope.table(h, w, torch.device("cpu"))
            self.tables = {(h, w): [as_array(part) for part in table]}
        return self.tables[h, w]

    def upsample(
        self, field: Any, x: Tensor, edges: list[Tensor], found: TokenBox, threads: int
    ) -> Tensor:
        """Return the logits of the pixels of a box of tokens (h, w, dim); `field` has prompts."""
        h, w = x.shape[:2]
        if self.skips:
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
                field if i < self.skips else None,
                i,
                box.top,
                box.left,
                threads,
            )
            x, top, left = out, 2 * box.top, 2 * box.left
        rows, columns = found.slices(16)
        return x[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left, 0]


def _layers(model: Inter2Former) -> list[Any]:
    """Return the decoder's layers, whose types PyTorch's lists of modules forget."""
    return list(model.layers)
