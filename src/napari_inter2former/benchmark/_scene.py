"""Objects and clicks of a known size, with which networks of random weights can be timed."""

from __future__ import annotations

import math
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_inter2former.model import Inter2Former, build_model, reference_mask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_inter2former.model import ImageFeatures

__all__ = ["Scene", "image", "model", "object_mask", "scene", "seen"]


class Scene(NamedTuple):
    """An object in an image, and what is known of it before a click.

    Attributes
    ----------
    mask : Tensor
        bool (H, W), the object.
    reference : Tensor
        uint8 (H, W), the reference mask, without the click.
    click : tuple of int
        (row, column) of a positive click.
    """

    mask: Tensor
    reference: Tensor
    click: tuple[int, int]


@cache
def model(preset: str) -> Inter2Former:
    """Build a preset with random weights."""
    torch.manual_seed(0)
    return build_model(preset)


@cache
def image(side: int) -> Tensor:
    """Return a float32 image (1, 3, side, side): smooth blobs with some noise."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 3, max(side // 32, 2), max(side // 32, 2), generator=generator)
    smooth = F.interpolate(coarse, (side, side), mode="bicubic", align_corners=False)
    return (smooth + 0.05 * torch.randn(smooth.shape, generator=generator)).clamp(0, 1)


@cache
def object_mask(side: int, area: float) -> Tensor:
    """Return a disc, cut at the border, that covers a share `area` of the image; bool."""
    axis = torch.arange(side) - side / 2 + 0.5
    distance = (axis[:, None] ** 2 + axis**2).sqrt()
    radius = float(distance.flatten().kthvalue(max(round(area * side * side), 1)).values)
    return distance <= radius


def scene(side: int, area: float, first: bool = False) -> Scene:
    """Make a scene with a disc in the middle.

    Parameters
    ----------
    side : int
        Of the image in pixels.
    area : float
        The object's share of it.
    first : bool
        Whether the click is the first; otherwise the object was drawn before, and the click
        corrects its border.
    """
    mask = object_mask(side, area)
    if first:
        return Scene(mask, reference_mask.new(side, side), (side // 2, side // 2))
    reference = reference_mask.from_mask(mask)
    reference_mask.add_click(reference, side // 2, side // 2, True)
    radius = min(math.sqrt(area / math.pi), 0.5) * side
    return Scene(mask, reference, (round(side / 2 - radius + 1), side // 2))


@contextmanager
def seen(network: Inter2Former, mask: Tensor) -> Iterator[None]:
    """Let a network of random weights find and draw `mask`, after all of its own work.

    Its localisation branch is computed, then says where the object is; its logits are computed,
    then replaced by the object's.
    """
    patch = network.config.patch
    low = F.max_pool2d(mask[None, None].float(), patch)[0, 0] * 20 - 10
    answer = mask.float() * 20 - 10
    decode = network.decode
    # Both decoders have a localisation branch.
    branches: list[tuple[Any, str]] = [(network.upsampling, "low_resolution")]
    with torch.inference_mode():
        fast = network._packing.of(network)
    if fast is not None:
        branches.append((fast, "locate"))

    def told(branch: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        return lambda tokens: low.view_as(branch(tokens))

    def decoded(features: ImageFeatures, reference: Tensor) -> object:
        found = decode(features, reference)
        top, left, bottom, right = found.box
        return found._replace(logits=answer[top:bottom, left:right].clone())

    for owner, name in branches:
        setattr(owner, name, told(getattr(owner, name)))
    network.decode = decoded  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        del network.decode
        for owner, name in branches:
            delattr(owner, name)
