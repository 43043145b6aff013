"""The encoder on compiled kernels; `Inter2Former.encode_batch` is its twin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from napari_inter2former.kernels._extension import instruction_set, native
from napari_inter2former.kernels.experts import as_array
from napari_inter2former.kernels.hybrid import WeightPacking

from .edges import StemEdges, correct_border
from .encoder import Block, ConvStem
from .layers import resize, shrink
from .precision import Precision, products_in

if TYPE_CHECKING:
    from .inter2former import Inter2Former

__all__ = ["EncoderPacking", "FastEncoder"]

WIDEST = 512
"""Encoders with more features are left to PyTorch: their weights do not stay in a core's cache, and
its products of large matrices are as fast."""

BAND = 128
"""Rows of the image whose features at stride 1 are held at a time: all of them would be the largest
tensor there is."""


class EncoderPacking(WeightPacking["FastEncoder"]):
    """Keeps a model's encoder packed for as long as its weights do not change."""

    def of(self, model: Inter2Former) -> FastEncoder | None:
        """Return the packed encoder; None where the kernels can't do what the model asks for."""
        module = native()
        if module is None or model.config.encoder_dim > WIDEST or not self.usable(model):
            return None
        parts = (model.encoder, model.edges, model.upsampling)
        weights = [p for part in parts for p in part.parameters()]
        return self.kept(weights, lambda: FastEncoder(model, module, instruction_set()))


class FastEncoder:
    """A copy of an encoder of one image at a time, packed for the compiled kernels."""

    def __init__(self, model: Inter2Former, module: Any, isa: str) -> None:
        self.native, self.isa = module, isa
        encoder: Any = model.encoder
        self.blocks: list[Any] = []  # packed when fp32 is asked for
        self.stem = None
        if isinstance(encoder.stem, ConvStem) and isinstance(model.edges, StemEdges):
            self.stem = FastStem(self, encoder.stem, model.edges, model.upsampling.convs)
        self.merges = []
        for norm, merge in zip(encoder.norms, encoder.merge, strict=True):
            both = merge.weight.chunk(2, 1)
            bias = torch.zeros(len(merge.weight))
            self.merges.append([self.linear(half, bias, norm) for half in both])
        self.tables: dict[tuple[int, int], list[Any]] = {}

    def encode(
        self, model: Inter2Former, images: Tensor, precision: Precision = "fp32"
    ) -> tuple[Tensor, list[Tensor]]:
        """Return tokens and edge terms of (1, H, W, 3); see `Inter2Former.encode_batch`."""
        encoder, threads = model.encoder, torch.get_num_threads()
        picture = images * 2 - 1
        small = shrink(picture, *encoder.anchor_shape(*picture.shape[1:3])).contiguous()
        if self.stem is None:
            x, levels = encoder.stem(picture)
            y, _ = encoder.stem(small)
            edges = model.upsampling.edge_terms(model.edges(images, levels))
        else:
            x, edges = self.stem(picture[0])
            y, _ = self.stem(small[0], edges=False)
        tokens = self._refine(encoder, x.contiguous(), y.contiguous(), precision, threads)
        return tokens, edges

    def _refine(
        self, encoder: Any, x: Tensor, y: Tensor, precision: Precision, threads: int
    ) -> Tensor:
        """Run the blocks on tokens (1, h, w, C) of the image and its anchor map; fuse.

        In bf16 PyTorch runs the blocks: it is PyTorch that has the processor's bf16 units.
        """
        h, w = x.shape[1:3]
        fused = torch.zeros(())
        if precision == "fp32" and not self.blocks:
            self.blocks = [self._block(block) for block in encoder.blocks]
        for i, block in enumerate(encoder.blocks, start=1):
            if precision == "fp32":
                # In place.
                self.blocks[i - 1].run([self._grid(block, x), self._grid(block, y)], threads)
            else:
                with products_in(precision):
                    x, y = block(x), block(y)
            if i % encoder.every == 0:
                j = i // encoder.every - 1
                # Merging is linear, so the anchor map's part of it is made before resizing.
                sharp, coarse = (
                    self._merge(merge, part, threads)
                    for merge, part in zip(self.merges[j], (x, y), strict=True)
                )
                fused = fused + encoder.merge_norms[j](sharp.add_(resize(coarse, h, w)))
        tokens: Tensor = encoder.norm(encoder.smooth(fused))
        return tokens

    def _merge(self, merge: Any, x: Tensor, threads: int) -> Tensor:
        out = torch.empty(x.shape[1] * x.shape[2], merge.outputs)
        merge.run(x.flatten(0, 2).numpy(), out.numpy(), False, threads)
        return out.view(*x.shape[:3], -1)

    def _grid(self, block: Block, x: Tensor) -> tuple[Any, ...]:
        """Return how tokens (1, h, w, C) are cut into the block's windows."""
        rows, top, _ = block.windows(x.shape[1])
        columns, left, _ = block.windows(x.shape[2])
        if (rows, columns) not in self.tables:
            table = block.rope.table(rows, columns, torch.device("cpu"))
            self.tables[rows, columns] = [as_array(part) for part in table]
        return (x[0].numpy(), rows, columns, top, left, *self.tables[rows, columns])

    def linear(self, weight: Tensor, bias: Tensor, norm: Any = None) -> Any:
        """Pack a linear layer, perhaps with the norm before it."""
        norms = (None, None) if norm is None else (as_array(norm.weight), as_array(norm.bias))
        return self.native.PackedLinear(as_array(weight), as_array(bias), *norms, isa=self.isa)

    def convolution(self, conv: Any, norm: Any = None, activate: bool = False) -> Any:
        """Pack a 3 x 3 convolution, perhaps with norm and SiLU before it."""
        return self.convolution_of(conv.weight, conv.bias, conv.stride[0], norm, activate)

    def convolution_of(
        self, weight: Tensor, bias: Tensor, stride: int, norm: Any, activate: bool
    ) -> Any:
        """Pack a 3 x 3 convolution of these weights; see `convolution`."""
        norms = (None, None) if norm is None else (as_array(norm.weight), as_array(norm.bias))
        arrays = as_array(weight), as_array(bias), *norms
        return self.native.Convolution(*arrays, stride, activate, isa=self.isa)

    def _block(self, block: Any) -> Any:
        first, _, last = block.mlp
        weights = (first.weight, first.bias, last.weight, last.bias, *block.norm2.parameters())
        return self.native.EncoderBlock(
            block.heads,
            as_array(block.qkv(block.padding)),
            self.linear(block.qkv.weight, block.qkv.bias, block.norm1),
            self.linear(block.project.weight, block.project.bias),
            self.native.PackedPerceptron(*map(as_array, weights), isa=self.isa),
            isa=self.isa,
        )


class FastStem:
    """The convolutional stem and the edge features that are made from it."""

    def __init__(self, packer: FastEncoder, stem: Any, edges: StemEdges, convs: Any) -> None:
        self.first = packer.convolution(stem.first)
        self.stages = [
            (
                packer.convolution(stage[0]),
                [packer.convolution(r.conv, r.norm, activate=True) for r in stage[1:]],
            )
            for stage in stem.stages
        ]
        self.project = packer.convolution(stem.project, activate=True)
        self.edges = []
        for norm, weight, bias, constant in edges.as_convolutions(convs):
            packed = packer.convolution_of(weight, bias, 1, norm, activate=False)
            self.edges.append((packed, constant))

    def __call__(self, picture: Tensor, edges: bool = True) -> tuple[Tensor, list[Tensor]]:
        """Return tokens (1, h, w, C) of an image (H, W, 3), and edge terms if asked for."""
        x, term = self._enter(picture, edges)
        terms = [] if term is None else [term]
        for i, (enter, residuals) in enumerate(self.stages):
            x = _convolve(enter, x) if i else x
            for residual in residuals:
                x = _convolve(residual, x, add=x)
            if edges:
                terms.append(_convolve(self.edges[i + 1][0], x))
        for (_, constant), term in zip(self.edges, terms, strict=False):
            correct_border(term[None], constant)
        return _convolve(self.project, x)[None], [term[None] for term in terms[::-1]]

    def _enter(self, picture: Tensor, edges: bool) -> tuple[Tensor, Tensor | None]:
        """Return what enters the first stage, and the edge term at stride 1, band by band."""
        enter, threads = self.stages[0][0], torch.get_num_threads()
        height, width = picture.shape[:2]
        x = torch.empty(height // 2, width // 2, enter.outputs)
        term = torch.empty(height, width, 1) if edges else None
        for top in range(0, height, BAND):
            bottom = min(top + BAND, height)
            # The convolutions that read the band look one row further, and it one more.
            a, b = max(top - 1, 0), min(bottom + 1, height)
            level = torch.empty(b - a, width, self.first.outputs)
            start = max(a - 1, 0)
            rows = picture[start : min(b + 1, height)].numpy()
            self.first.run(rows, start, height, None, True, level.numpy(), a, threads)
            part = x[top // 2 : bottom // 2].numpy()
            enter.run(level.numpy(), a, height, None, False, part, top // 2, threads)
            if term is not None:
                part = term[top:bottom].numpy()
                self.edges[0][0].run(level.numpy(), a, height, None, False, part, top, threads)
        return x, term


def _convolve(convolution: Any, x: Tensor, add: Tensor | None = None) -> Tensor:
    """Convolve (H, W, C), and add to the result."""
    height, width, stride = *x.shape[:2], convolution.stride
    out = torch.empty(-(-height // stride), -(-width // stride), convolution.outputs)
    added = None if add is None else add.numpy()
    threads = torch.get_num_threads()
    convolution.run(x.numpy(), 0, height, added, False, out.numpy(), 0, threads)
    return out
