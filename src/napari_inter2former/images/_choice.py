"""Channels and contrast chosen for images that are not opened yet."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_inter2former.errors import ImageError
from napari_inter2former.images._channels import ROLES, Channels
from napari_inter2former.images._estimate import normalization_of
from napari_inter2former.images._levels import find_levels
from napari_inter2former.images._normalize import Normalization
from napari_inter2former.images._source import ImageSource, as_image_source

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_inter2former.images._stored import StoredImage

__all__ = ["RenderedImage", "RenderingChoice"]

CHOSEN_ROLES = tuple(role for role in ROLES if role != "colormap")
SCOPES = ("stack", "plane")


@dataclass(frozen=True, kw_only=True)
class RenderingChoice:
    """Which channels and which contrast the model is to see, for images of any kind.

    A `Rendering` is what becomes of it with one image.

    Parameters
    ----------
    channels : tuple of (int, str)
        Channels, counted from 0, and what they are for: ``"use"``, ``"ignore"``, ``"red"``,
        ``"green"`` or ``"blue"`` (see `Channels`). All others are ignored. Empty: all are used.
    limits : tuple of (float, float)
        Intensities that become 0 and 1: one pair for all channels in use, or one for each. Empty:
        by percentiles.
    percentiles : tuple of float, optional
        Which percentiles of each channel become 0 and 1, 0 to 100; by default see
        `normalization_of`.
    scope : {"stack", "plane"}
        Of what: of all planes of a stack or series together, or of each for itself.

    Raises
    ------
    ImageError
        If a value makes no sense.
    """

    channels: tuple[tuple[int, str], ...] = ()
    limits: tuple[tuple[float, float], ...] = ()
    percentiles: tuple[float, float] | None = None
    scope: str = "stack"

    def __post_init__(self) -> None:
        """Check all values."""
        for number, role in self.channels:
            if number < 0 or role not in CHOSEN_ROLES:
                raise ImageError(
                    f"Channel {number} can't have the role {role!r}: channels are counted from 0, "
                    f"and the roles are {', '.join(CHOSEN_ROLES)}."
                )
        numbers = [number for number, _ in self.channels]
        if len(set(numbers)) < len(numbers):
            raise ImageError(f"A channel is named twice: {', '.join(map(str, numbers))}.")
        if numbers and all(role == "ignore" for _, role in self.channels):
            raise ImageError("All channels are ignored; at least one must be used.")
        for low, high in self.limits:
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise ImageError(
                    "The contrast needs two intensities, the lower one first, not "
                    f"{low:g} and {high:g}."
                )
        low, high = self.percentiles or (0, 100)
        if not 0 <= low < high <= 100:
            raise ImageError(
                "The percentiles must be two numbers from 0 to 100, the lower one first, not "
                f"{low:g} and {high:g}."
            )
        if self.scope not in SCOPES:
            raise ImageError(
                f"The contrast is that of a {' or a '.join(SCOPES)}, not of a {self.scope!r}."
            )

    @staticmethod
    def parse_channels(text: str) -> tuple[tuple[int, str], ...]:
        """Read channels as they are typed.

        Parameters
        ----------
        text : str
            Numbers, with a role where it is not ``use``: ``"0,2"``, ``"0=red,2=green"``; or one
            role for each channel: ``"red,ignore,green"``.

        Raises
        ------
        ImageError
            If it is neither.
        """
        words = [word.strip().lower() for word in text.split(",")]
        if all(word in CHOSEN_ROLES for word in words):
            return tuple(enumerate(words))
        channels = []
        for word in words:
            number, _, role = (part.strip() for part in word.partition("="))
            if not number.isdecimal() or (role or "use") not in CHOSEN_ROLES or word.endswith("="):
                raise ImageError(
                    f"{text!r} names no channels: give numbers from 0 on, such as 0,2, with roles "
                    "if you like, such as 0=red,2=green; or one role for each channel, such as "
                    f"red,ignore,green. The roles are {', '.join(CHOSEN_ROLES)}."
                )
            channels.append((int(number), role or "use"))
        return tuple(channels)


class RenderedImage:
    """The planes of an image on disk as the model is to see them.

    Parameters
    ----------
    image : StoredImage
        See `open_image`.
    choice : RenderingChoice
        Channels and contrast.

    Raises
    ------
    ImageError
        If the image has no such channels.
    """

    def __init__(self, image: StoredImage, choice: RenderingChoice) -> None:
        self._image, self._choice = image, choice
        self._of_stack: Normalization | None = None
        count = find_levels(*image.plane(0))[0].channels
        missing = [number for number, _ in choice.channels if number >= count]
        if missing:
            raise ImageError(
                f"{image.name} has {count} channel(s), counted from 0; there is no channel "
                f"{missing[0]}."
            )
        roles = dict(choice.channels) or dict.fromkeys(range(count), "use")
        channels = Channels(tuple(roles.get(number, "ignore") for number in range(count)))
        self._channels = channels if choice.channels else None
        if choice.limits:
            used = channels.used
            if len(choice.limits) not in (1, len(used)):
                raise ImageError(
                    f"There are {len(choice.limits)} contrasts for {len(used)} channel(s) of "
                    f"{image.name}; give one for all, or one for each that is used."
                )
            lows, highs = zip(*choice.limits * (len(used) // len(choice.limits)), strict=True)
            self._of_stack = Normalization(lows, highs).spread(used, count)

    def source(self, index: int | Mapping[str, int]) -> ImageSource:
        """Return a plane for reading by windows.

        Parameters
        ----------
        index : int or mapping of str to int
            See `StoredImage.plane`.
        """
        levels, channel_axis, rgb = self._image.plane(index)
        return as_image_source(
            levels, channel_axis, rgb, self._normalization(index), self._channels
        )

    def _normalization(self, index: int | Mapping[str, int]) -> Normalization:
        if self._of_stack is not None:
            return self._of_stack
        alone = self._choice.scope == "plane"
        normalization = normalization_of(
            self._image,
            self._channels,
            percentiles=self._choice.percentiles,
            planes=[index] if alone else None,
        )
        if not alone:
            self._of_stack = normalization
        return normalization
