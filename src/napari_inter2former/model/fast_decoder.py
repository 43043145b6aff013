"""A click's path on compiled kernels; `Inter2Former.decode_plain` is its twin."""

from __future__ import annotations

from threading import local
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from napari_inter2former.kernels._extension import instruction_set, native
from napari_inter2former.kernels.experts import as_array
from napari_inter2former.kernels.hybrid import PackedHybridExperts, WeightPacking

from .first_layer import FirstLayer
from .layers import rotate
from .prompt_embedding import TokenBox
from .reference_mask import Label
from .upsampling import object_box

if TYPE_CHECKING:
    from collections.abc import Callable

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
        (H / 16, W / 16, dim), refined; from the compiled decoder valid until it decodes again.
    low_resolution : Tensor
        (H / 16, W / 16), logits of the localisation branch.
    """

    logits: Tensor
    box: TokenBox
    tokens: Tensor
    low_resolution: Tensor


class DecoderPacking(WeightPacking["FastDecoder"]):
    """Keeps a model's decoder packed for as long as its weights do not change."""

    def of(self, model: Inter2Former) -> FastDecoder | None:
        """Return the packed decoder; None where the kernels can't do what the model asks for."""
        module = native()
        if module is None or not self.usable(model):
            return None
        config = model.config
        published = (config.attention, config.quantizer, config.norm) == ("hybrid", "bsq", "pixel")
        possible = config.dpe and config.dlu and min(config.upsampling_channels) > 1
        if not (published and possible and 4 <= config.code_bits <= 8):
            return None
        parts = (model.prompt, model.upsampling, model.layers)
        weights = [p for part in parts for p in part.parameters()]
        weights += [layer.experts.bias for layer in _layers(model)]
        return self.kept(weights, lambda: FastDecoder(model, module, instruction_set()))


class FastDecoder:
    """A copy of a model's decoder, packed for the compiled kernels."""

    def __init__(self, model: Inter2Former, module: Any, isa: str) -> None:
        self.native, self.isa = module, isa
        self.linears, self.attentions, self.experts = [], [], []
        for layer in _layers(model):
            attention = layer.attention
            quantizer = attention.quantizer
            to_qkv = self._linear(attention.qkv, attention.norm)
            project = self._linear(attention.project)
            self.linears.append((to_qkv, project))
            codes = as_array(quantizer.project), as_array(quantizer.base)
            self.attentions.append(module.AttentionLayer(to_qkv, *codes, project, isa=isa))
            self.experts.append(PackedHybridExperts(*layer.experts.weights, isa=isa))
        self.prompt = self._pack_prompt(model)
        upsampling: Any = model.upsampling
        first, _, last = upsampling.locate
        weights = (first.weight, first.bias, last.weight, last.bias)
        self.localisation = module.PackedPerceptron(*map(as_array, weights), None, None, isa=isa)
        self.upsampling = module.PackedUpsampling(
            [as_array(conv.weight) for conv in upsampling.convs],
            [as_array(norm.weight) for norm in upsampling.norms],
            [as_array(norm.bias) for norm in upsampling.norms],
            isa=isa,
        )
        self.skips = len(upsampling.prompt_convs)
        self.tables: dict[tuple[int, int], list[Any]] = {}
        self._memory = local()

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
        self,
        model: Inter2Former,
        features: ImageFeatures,
        reference: Tensor,
        box_of: Callable[[Tensor], TokenBox] = object_box,
    ) -> DecodedPart:
        """Decode one mask; see `Inter2Former.decode_plain`.

        `box_of` tells by the localisation branch's logits (h, w) where to upsample.
        """
        h, w, dim = features.tokens.shape[1:]
        memory = self.memory(h, w, dim)
        x, y = (tokens.view(h * w, dim) for tokens in memory.tokens)
        edge = self.embed(memory.field, features.tokens[0], reference, x)
        for i, layer in enumerate(_layers(model)):
            first = features.first_layer if i == 0 else None
            self.attend(i, layer.attention, x, edge, (h, w), first, memory.field)
            self.refine(i, x, edge, y)
            x, y = y, x
        low_resolution = self.locate(x).view(h, w)
        found = box_of(low_resolution)
        x = x.view(h, w, dim)
        logits = x.new_zeros(0, 0)
        if not found.empty:
            logits = self.upsample(memory.field, x, features.edges, found)
        return DecodedPart(logits, found, x, low_resolution)

    def embed(self, field: Any, tokens: Tensor, reference: Tensor, out: Tensor) -> Tensor:
        """Set out = tokens + prompt embedding; return which tokens get full attention, (N,)."""
        threads = torch.get_num_threads()
        field.embed(as_array(reference), threads)
        field.add_to(as_array(tokens), out.view_as(tokens).numpy(), threads)
        return torch.from_numpy(field.edge())

    def attend(
        self,
        i: int,
        attention: Any,
        x: Tensor,
        edge: Tensor,
        grid: tuple[int, int],
        first: FirstLayer | None = None,
        field: Any = None,
    ) -> None:
        """Add layer i's hybrid attention to tokens (N, dim), in place.

        With what is known of the first layer, and the field that embedded the prompts.
        """
        threads = torch.get_num_threads()
        known: list[tuple[int, Any]] = []
        if first is not None:
            changed = None
            if bool(edge.all()):
                changed = first.changed(x, torch.from_numpy(field.slots()))
            if changed is not None:
                first.attend(*self.linears[i], attention, x, changed)
                return
            known = [(label, qkv.numpy()) for label, qkv in first.qkv.items()]
        table = self._table(attention, *grid)
        self.attentions[i].run(
            x.numpy(), edge.numpy(), *table, field if known else None, known, threads
        )

    def refine(self, i: int, x: Tensor, edge: Tensor, out: Tensor) -> None:
        """Set out = x + layer i's experts of tokens (N, dim)."""
        self.experts[i](x, edge, residual=True, out=out)

    def memory(self, h: int, w: int, dim: int) -> Any:
        """Return what this thread keeps from click to click: fresh memory is slow to get."""
        memory = self._memory
        if getattr(memory, "shape", None) != (h, w, dim):
            memory.shape = h, w, dim
            memory.tokens = torch.empty(h, w, dim), torch.empty(h, w, dim)
            memory.field = self.native.PromptField(self.prompt)
        return memory

    def locate(self, x: Tensor) -> Tensor:
        """Return the localisation branch's logits (N,) of tokens (N, dim)."""
        out = torch.empty(len(x), 1)
        self.localisation.run(x.numpy(), out.numpy(), torch.get_num_threads())
        return out[:, 0]

    def first_layer(self, model: Inter2Former, tokens: Tensor) -> FirstLayer:
        """Compute what no click changes of the first layer, of image tokens (h, w, dim)."""
        threads = torch.get_num_threads()
        h, w, dim = tokens.shape
        patch = model.config.patch
        attention = _layers(model)[0].attention
        heads = (attention.heads, attention.head_dim)
        memory = self.memory(h, w, dim)
        qkv = {}
        unknown_tokens = torch.empty(h * w, dim)
        for label in (Label.POSSIBLE_BACKGROUND, Label.UNKNOWN, Label.POSSIBLE_FOREGROUND):
            # (A token at the upper or left border sees what lies outside, too: its queries, keys
            # and values are those of a mask that has this label up to the border.)
            x = memory.tokens[0].view(h * w, dim)
            reference = torch.full((h * patch, w * patch), label, dtype=torch.uint8)
            self.embed(memory.field, tokens, reference, x)
            if label == Label.UNKNOWN:
                unknown_tokens.copy_(x)
            qkv[int(label)] = torch.empty(h * w, 3, *heads)
            to = qkv[int(label)].view(h * w, -1)
            self.linears[0][0].run(x.numpy(), to.numpy(), False, threads)
        attended, log_sums = torch.empty(h * w, *heads), torch.empty(h * w, attention.heads)
        unknown = qkv[int(Label.UNKNOWN)]
        table = self._table(attention, h, w)
        edge = torch.ones(h * w, dtype=torch.bool)
        self.attentions[0].attend(
            unknown.numpy(), edge.numpy(), *table, attended.numpy(), log_sums.numpy(), threads
        )
        cos, sin = (torch.from_numpy(part) for part in table)
        rotated = rotate(unknown[:, :2].permute(1, 2, 0, 3), (cos, sin))
        return FirstLayer(qkv, unknown_tokens, attended, log_sums, rotated, (cos, sin))

    def _table(self, attention: Any, h: int, w: int) -> list[Any]:
        """Return the cosines and sines of the rotary embedding, kept from the last time."""
        kept = self.tables.get((h, w))
        if kept is None:
            table = attention.rope.table(h, w, torch.device("cpu"))
            kept = [as_array(part) for part in table]
            self.tables = {(h, w): kept}  # other threads may replace it at any time
        return kept

    def upsample(self, field: Any, x: Tensor, edges: list[Tensor], found: TokenBox) -> Tensor:
        """Return the logits of the pixels of a box of tokens (h, w, dim); `field` has prompts."""
        logits = torch.empty([16 * (b - a) for a, b in zip(found[:2], found[2:], strict=True)])
        terms = [as_array(edge[0]) for edge in edges]
        prompts = field if self.skips else None
        threads = torch.get_num_threads()
        self.upsampling.run(x.numpy(), terms, prompts, *found, logits.numpy(), threads)
        return logits


def _layers(model: Inter2Former) -> list[Any]:
    """Return the decoder's layers, whose types PyTorch's lists of modules forget."""
    return list(model.layers)
