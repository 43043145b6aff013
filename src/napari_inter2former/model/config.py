"""Model configuration, its presets, and the switches of the paper's ablation table."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Everything that determines the shape and the behaviour of the network.

    Parameters
    ----------
    name : str
        Preset name, kept for display.
    window : int
        Side of the largest window the model is used on, in input pixels.
    stem : {"linear", "conv"}
        Patch embedding: the ViT's linear one, or a convolutional stem, which trains from
        scratch far faster.
    stem_channels : tuple of int
        Channels of the convolutional stem at strides 1, 2, 4 and 8.
    stem_depth : tuple of int
        Residual convolutions of the stem at strides 2, 4 and 8.
    encoder_dim, encoder_depth, encoder_heads : int
        Width, number of blocks and attention heads of the encoder.
    window_tokens : int
        Side of an attention window, in tokens.
    anchor : int
        Largest side of the anchor map, in pixels; never more than half the image.
    rope_ratio, rope_theta : float
        Share of each head's rotated pairs that encode rows, and the base wavelength.
    dim : int
        Width of the decoder's tokens.
    decoder_depth : int
        Number of (DHA, HMoE) layers.
    attention_heads, head_dim : int
        Heads of DHA and dimensions of Q, K and V in each.
    code_bits : int
        Bits of a BSQ code; the codebook has ``2 ** code_bits`` entries.
    experts, expert_hidden : int
        Routed experts of HMoE, and the hidden width of all of them together.
    prompt_channels : tuple of int
        Channels of the prompt embedding at strides 2, 4 and 8.
    upsampling_channels : tuple of int
        Channels after the first three upsampling steps (strides 8, 4 and 2).
    norm : {"pixel", "group"}
        Normalisation in the upsampling. ``"group"`` is the published GroupNorm(1), whose
        statistics depend on the box; ``"pixel"`` normalises every position over its channels, so
        that upsampling a box equals upsampling everything.
    edges : {"canny", "stem"}
        Source of the edge features: CannyNet, or the convolutional stem.
    prompt_skips : bool
        Add the prompt embedding's finer levels to the upsampling, which lets a click correct
        detail below the size of a token.
    iou_head : bool
        Predict the IoU of each mask.
    object_head : bool
        Predict from the image alone where objects are, for everything mode.
    fine_clicks : bool
        A click's disc ends before the border of the mask so far, so that a click corrects a thin
        error and touches little of what is right; otherwise all discs have the paper's radius.
    dpe, dlu : bool
        Dynamic Prompt Embedding and Dynamic Local Upsampling at inference (Table 2: non-DPE,
        non-DLU when off).
    attention : {"hybrid", "full", "quantized"}
        DHA, full attention for all tokens (all-FA), or quantised attention for all (all-BSQA).
    quantizer : {"bsq", "vq"}
        Key quantisation: binary spherical, or a learned codebook (VQ attention).
    """

    name: str = "base"
    window: int = 1024
    stem: Literal["linear", "conv"] = "linear"
    stem_channels: tuple[int, ...] = (8, 16, 48, 96)
    stem_depth: tuple[int, ...] = (1, 2, 3)
    encoder_dim: int = 768
    encoder_depth: int = 12
    encoder_heads: int = 12
    window_tokens: int = 16
    anchor: int = 512
    rope_ratio: float = 0.5
    rope_theta: float = 1e4
    dim: int = 256
    decoder_depth: int = 2
    attention_heads: int = 1
    head_dim: int = 32
    code_bits: int = 8
    experts: int = 8
    expert_hidden: int = 512
    prompt_channels: tuple[int, ...] = (32, 64, 128)
    upsampling_channels: tuple[int, ...] = (64, 16, 4)
    norm: Literal["pixel", "group"] = "pixel"
    edges: Literal["canny", "stem"] = "canny"
    prompt_skips: bool = False
    iou_head: bool = False
    object_head: bool = False
    fine_clicks: bool = False
    dpe: bool = True
    dlu: bool = True
    attention: Literal["hybrid", "full", "quantized"] = "hybrid"
    quantizer: Literal["bsq", "vq"] = "bsq"

    patch = 16
    """Side of a token in input pixels (the four stride-2 levels fix it)."""

    def __post_init__(self) -> None:
        problems = []
        if self.encoder_dim % self.encoder_heads:
            problems.append("encoder_dim must be a multiple of encoder_heads")
        elif self.encoder_dim // self.encoder_heads % 4 or self.head_dim % 4:
            problems.append("head dimensions must be multiples of 4 (rotary pairs for two axes)")
        if self.encoder_depth % 4:
            problems.append("encoder_depth must be a multiple of 4 (four outputs are fused)")
        if self.expert_hidden % self.experts:
            problems.append("expert_hidden must be a multiple of experts")
        if self.edges == "stem" and self.stem != "conv":
            problems.append("edges='stem' needs stem='conv'")
        for field, choices in _CHOICES.items():
            if getattr(self, field) not in choices:
                problems.append(f"{field} must be one of {choices}, not {getattr(self, field)!r}")
        if problems:
            raise ValueError("Invalid model configuration: " + "; ".join(problems) + ".")

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration as a dictionary that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ModelConfig:
        """Build a configuration from `to_dict`'s output.

        Raises
        ------
        ValueError
            If a key is unknown or a value is not allowed.
        """
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ValueError(
                f"Unknown model settings: {', '.join(unknown)}. The weights may come from a newer "
                "version of napari-inter2former."
            )
        lists = {key: tuple(value) for key, value in values.items() if isinstance(value, list)}
        return cls(**{**values, **lists})


_CHOICES = {
    "stem": ("linear", "conv"),
    "norm": ("pixel", "group"),
    "edges": ("canny", "stem"),
    "attention": ("hybrid", "full", "quantized"),
    "quantizer": ("bsq", "vq"),
}

BASE = ModelConfig()

SMALL = ModelConfig(
    name="small",
    window=512,
    stem="conv",
    stem_channels=(8, 24, 64, 128),
    encoder_dim=384,
    encoder_depth=8,
    encoder_heads=6,
    anchor=256,
    dim=192,
    attention_heads=2,
    expert_hidden=1024,
    prompt_channels=(24, 48, 96),
    upsampling_channels=(96, 48, 16),
    edges="stem",
    prompt_skips=True,
    iou_head=True,
    object_head=True,
    fine_clicks=True,
)

TINY = replace(
    SMALL,
    name="tiny",
    window=256,
    stem_channels=(8, 16, 48, 96),
    encoder_dim=192,
    encoder_heads=6,
    dim=128,
    prompt_channels=(16, 32, 64),
    upsampling_channels=(64, 32, 16),
)

PRESETS: dict[str, ModelConfig] = {config.name: config for config in (TINY, SMALL, BASE)}
