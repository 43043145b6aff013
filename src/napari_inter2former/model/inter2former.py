"""Inter2Former: encode an image once, decode a mask per click."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_inter2former.kernels.parts import count_areas

from .attention import HybridAttention, edge_tokens
from .config import PRESETS, ModelConfig
from .edges import CannyNet, StemEdges
from .encoder import Encoder
from .experts import HybridExperts
from .fast_decoder import DecodedPart, DecoderPacking, FastDecoder
from .fast_encoder import EncoderPacking
from .first_layer import FirstLayer
from .objects import ObjectHead
from .precision import Precision, encoder_precision
from .prompt_embedding import PromptEmbedding, TokenBox, prompt_box
from .quality import IoUHead
from .reference_mask import Label
from .upsampling import LocalUpsampling, crop_margin, object_box, paste, with_margin


@dataclass(frozen=True)
class ImageFeatures:
    """What the decoder needs of an image, computed once.

    Attributes
    ----------
    tokens : Tensor
        (B, h, w, dim) image tokens.
    edges : list of Tensor
        Edge terms (B, H / s, W / s, C) of the upsampling at strides s = 8, 4, 2, 1.
    shape : tuple of int
        Height and width of the image in pixels, before padding to whole tokens.
    background : list of Tensor
        The prompt embedding of possible background at strides 2, 4, 8, 16; for inference.
    decoder : FastDecoder or None
        The packed decoder at the time of encoding; not saved.
    first_layer : FirstLayer or None
        What no click changes of the decoder's first layer; not saved.
    """

    tokens: Tensor
    edges: list[Tensor]
    shape: tuple[int, int]
    background: list[Tensor] = field(default_factory=list)
    decoder: FastDecoder | None = field(default=None, repr=False, compare=False)
    first_layer: FirstLayer | None = field(default=None, repr=False, compare=False)

    @property
    def nbytes(self) -> int:
        """Memory that the features occupy, in bytes."""
        tensors = sum(x.numel() * x.element_size() for x in (self.tokens, *self.edges))
        return tensors + (0 if self.first_layer is None else self.first_layer.nbytes)

    def __reduce__(self) -> tuple[type[ImageFeatures], tuple[object, ...]]:
        return ImageFeatures, (self.tokens, self.edges, self.shape, self.background)


class Decoded(NamedTuple):
    """A decoded mask.

    Attributes
    ----------
    logits : Tensor
        float32 (h, w), the mask's logits inside the box.
    box : tuple of int
        (top, left, bottom, right) in pixels of the encoded image; background outside.
    iou : float or None
        Predicted IoU; None from a network without the head.
    """

    logits: Tensor
    box: tuple[int, int, int, int]
    iou: float | None = None


class TrainingOutput(NamedTuple):
    """What a training step supervises.

    Attributes
    ----------
    logits : Tensor
        (B, H, W) mask logits, of the boxes where there are any.
    low_resolution : Tensor
        (B, H / 16, W / 16) logits of the localisation branch.
    commitment : Tensor
        The quantisers' mean loss, a scalar.
    iou : Tensor or None
        (B,), logits of the predicted IoU.
    """

    logits: Tensor
    low_resolution: Tensor
    commitment: Tensor
    iou: Tensor | None


class DecoderLayer(nn.Module):
    """One layer of DHA and HMoE."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.attention = HybridAttention(config)
        self.experts = HybridExperts(config)

    def forward(self, x: Tensor, edge: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Refine tokens (B, N, dim); also return the quantiser's loss."""
        update, commitment = self.attention(x, edge, grid)
        x = x + update
        y = self.experts(x.flatten(0, 1), edge.flatten())
        return x + y.view_as(x), commitment

    def dynamic(self, x: Tensor, edge: Tensor, grid: tuple[int, int]) -> Tensor:
        """Refine tokens (N, dim), each by its own scheme only."""
        x = x + self.attention.dynamic(x, edge, grid)
        y: Tensor = self.experts(x, edge)
        return x + y


class Inter2Former(nn.Module):
    """The interactive segmentation network (Huang et al., Inter2Former, section 3).

    Parameters
    ----------
    config : ModelConfig
        Shape and switches.
    """

    weights_name: str | None = None
    weights_sha256: str | None = None

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.edges = StemEdges(config) if config.edges == "stem" else CannyNet(config)
        self.prompt = PromptEmbedding(config)
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_depth))
        self.upsampling = LocalUpsampling(config)
        self.quality = IoUHead(config) if config.iou_head else None
        self.objects = ObjectHead(config) if config.object_head else None
        self._packing = DecoderPacking()
        self._encoder_packing = EncoderPacking()

    # Training and the plain twin of the fast path: batched, everything in full.

    def encode_batch(self, images: Tensor, precision: Precision = "fp32") -> ImageFeatures:
        """Encode images (B, H, W, 3) in [0, 1] whose sides are multiples of 16."""
        tokens, levels = self.encoder(images * 2 - 1, precision)
        if isinstance(self.edges, StemEdges) and not torch.is_grad_enabled():
            edges = self.edges.terms(levels, self.upsampling.convs)
        else:
            edges = self.upsampling.edge_terms(self.edges(images, levels))
        return ImageFeatures(tokens, edges, (images.shape[1], images.shape[2]))

    def forward(
        self, features: ImageFeatures, reference: Tensor, boxes: Sequence[TokenBox] | None = None
    ) -> TrainingOutput:
        """Decode whole masks, or a box of each, for several objects per image.

        Parameters
        ----------
        features : ImageFeatures
            Features of B images.
        reference : Tensor
            uint8 (B * K, H, W): reference masks of the first image's K objects, then of the
            second's, and so on.
        boxes : sequence of TokenBox, optional
            Where to upsample, one box per mask, all of one size; everywhere by default.
        """
        b, h, w, dim = features.tokens.shape
        edge = edge_tokens(reference, self.config.patch).flatten(1)
        *fine, prompt = self.prompt(reference)
        x = features.tokens[:, None] + prompt.unflatten(0, (b, -1))
        x = x.view(-1, h * w, dim)
        commitments = []
        for layer in self.layers:
            x, commitment = layer(x, edge, (h, w))
            commitments.append(commitment)
        x = x.view(-1, h, w, dim)
        low_resolution = self.upsampling.low_resolution(x)
        tokens, edges, prompts = x, features.edges, fine[::-1]
        if boxes is not None:
            edges = [e.repeat_interleave(len(x) // b, 0) for e in edges]
            x = cut(x, boxes, 1)
            edges = [cut(e, boxes, s) for e, s in zip(edges, (2, 4, 8, 16), strict=True)]
            prompts = [cut(p, boxes, s) for p, s in zip(prompts, (2, 4, 8), strict=True)]
        logits = self.upsampling(x, edges, prompts)
        iou = None if self.quality is None else self.quality(tokens, low_resolution, logits)
        return TrainingOutput(logits, low_resolution, torch.stack(commitments).mean(), iou)

    # Inference: one image, one object, only what is needed.

    @torch.inference_mode()
    def encode(self, image: Tensor) -> ImageFeatures:
        """Encode an image, in the precision that suits the processor (`encoder_precision`).

        Parameters
        ----------
        image : Tensor
            float32 (1, 3, H, W) in [0, 1], of any size from 1 x 1.

        Returns
        -------
        ImageFeatures
            float32.
        """
        height, width = image.shape[-2:]
        patch = self.config.patch
        padding = (0, -width % patch, 0, -height % patch)
        if any(padding):
            image = F.pad(image, padding, mode="replicate")
        padded = image.permute(0, 2, 3, 1).contiguous()
        precision = encoder_precision(padded.device)
        fast = self._encoder_packing.of(self)
        if fast is None or padded.device.type != "cpu" or padded.dtype != torch.float32:
            features = self.encode_batch(padded, precision)
            tokens, edges = features.tokens, features.edges
        else:
            tokens, edges = fast.encode(self, padded, precision)
        edges = [edge.contiguous() for edge in edges]
        background = self.prompt.background()
        return self.prepared(ImageFeatures(tokens, edges, (height, width), background))

    @torch.inference_mode()
    def prepared(self, features: ImageFeatures) -> ImageFeatures:
        """Add what the compiled decoder can work out once, to features made now or saved."""
        decoder = self._packing.of(self)
        first = None if decoder is None else decoder.first_layer(self, features.tokens[0])
        return replace(features, decoder=decoder, first_layer=first)

    @torch.inference_mode()
    def decode(self, features: ImageFeatures, reference: Tensor) -> Decoded:
        """Decode one mask.

        Parameters
        ----------
        features : ImageFeatures
            From `encode`.
        reference : Tensor
            uint8 reference mask (H, W) of the image's size.

        Returns
        -------
        Decoded
            Logits and their box; an empty box if there is nothing at all.
        """
        patch = self.config.patch
        h, w = features.tokens.shape[1:3]
        height, width = features.shape
        if reference.shape != (height, width):
            raise ValueError(
                f"The reference mask has shape {tuple(reference.shape)}, the encoded image "
                f"{(height, width)}; they must agree."
            )
        if (h * patch, w * patch) != (height, width):
            # What lies outside the image is no object.
            padding = (0, w * patch - width, 0, h * patch - height)
            reference = F.pad(reference, padding, value=int(Label.POSSIBLE_BACKGROUND))
        fast = features.decoder or self._packing.of(self)
        if fast is None:
            part = self.decode_plain(features, reference)
        else:
            part = fast.decode(self, features, reference)
        if part.box.empty:
            iou = None if self.quality is None else 0.0
            return Decoded(part.logits, (0, 0, 0, 0), iou)
        rows, columns = part.box.slices(patch)
        bottom, right = min(rows.stop, height), min(columns.stop, width)
        logits = part.logits[: bottom - rows.start, : right - columns.start]
        iou = None
        if self.quality is not None:
            grids = part.tokens[None], part.low_resolution[None]
            if fast is None:
                quality = self.quality(*grids, logits[None])
            else:
                areas = count_areas(logits.numpy(), torch.get_num_threads())
                quality = self.quality.predict(*grids, *torch.tensor(areas)[:, None])
            iou = float(quality.sigmoid())
        return Decoded(logits, (rows.start, columns.start, bottom, right), iou)

    @torch.inference_mode()
    def decode_plain(self, features: ImageFeatures, reference: Tensor) -> DecodedPart:
        """Do the work of `decode` in PyTorch alone, on any device and for every configuration.

        The reference mask is padded to whole tokens with possible background.
        """
        config, patch = self.config, self.config.patch
        h, w, dim = features.tokens.shape[1:]
        whole = TokenBox(0, 0, h, w)
        box = prompt_box(reference, patch) if config.dpe else whole
        background = features.background
        edge = torch.zeros(h, w, dtype=torch.bool, device=features.tokens.device)
        x = features.tokens[0] + background[-1]
        fine: Sequence[Tensor] = [v.expand(0, 0, -1) for v in background[:-1]]
        if not box.empty:
            *fine, prompt = self.prompt.dynamic(reference, box)
            x[box.slices()] = features.tokens[0][box.slices()] + prompt
            edge[box.slices()] = edge_tokens(reference[box.slices(patch)][None], patch)[0]
        x, edge = x.view(-1, dim), edge.flatten()
        for layer in self.layers:
            assert isinstance(layer, DecoderLayer)
            x = layer.dynamic(x, edge, (h, w))
        x = x.view(h, w, dim)
        low_resolution = self.upsampling.low_resolution(x)
        found = object_box(low_resolution) if config.dlu else whole
        if found.empty:
            return DecodedPart(x.new_zeros(0, 0), found, x, low_resolution)
        logits = self._upsample_box(features, x, box, fine, found)
        return DecodedPart(logits, found, x, low_resolution)

    def _upsample_box(
        self,
        features: ImageFeatures,
        x: Tensor,
        box: TokenBox,
        fine: Sequence[Tensor],
        found: TokenBox,
    ) -> Tensor:
        """Return the logits of the pixels of `found`; `fine` embeds the prompts in `box`."""
        patch = self.config.patch
        region = with_margin(found, *x.shape[:2])
        scales = (8, 4, 2)  # positions per token at strides 2, 4, 8
        prompts = [
            paste(vector, level, box, region, scale)[None]
            for vector, level, scale in zip(features.background[:-1], fine, scales, strict=True)
        ]
        edges = [
            level[(slice(None), *region.slices(patch // stride))]
            for level, stride in zip(features.edges, (8, 4, 2, 1), strict=True)
        ]
        logits = self.upsampling(x[region.slices()][None], edges, prompts[::-1])[0]
        return crop_margin(logits, found, region, patch)


def cut(x: Tensor, boxes: Sequence[TokenBox], scale: int) -> Tensor:
    """Cut a box out of each item of `x`, (B, H, W, ...), with `scale` positions per token."""
    return torch.stack([item[box.slices(scale)] for item, box in zip(x, boxes, strict=True)])


def build_model(config: str | ModelConfig) -> Inter2Former:
    """Build a network with random weights, ready for inference.

    Parameters
    ----------
    config : str or ModelConfig
        A preset's name (``"tiny"``, ``"small"``, ``"base"``) or a configuration.

    Raises
    ------
    ValueError
        If there is no preset of that name.
    """
    if isinstance(config, str):
        if config not in PRESETS:
            raise ValueError(f"No preset is called {config!r}; there are {', '.join(PRESETS)}.")
        config = PRESETS[config]
    return Inter2Former(config).eval()
