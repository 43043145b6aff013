"""How stored channels become the model's red, green and blue, in a form that can be kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_inter2former.errors import ImageError
from napari_inter2former.images._normalize import Normalization

__all__ = ["ROLES", "Channels", "Colormap", "Rendering", "as_channels"]

Floats = npt.NDArray[np.float32]
Colormap = tuple[tuple[float, float, float], ...]
"""Red, green and blue (0 to 1) at evenly spaced intensities from 0 to 1; at least two."""

ROLES = ("use", "ignore", "red", "green", "blue", "colormap")
_TARGETS = {"red": (0,), "green": (1,), "blue": (2,), "use": (0, 1, 2)}


@dataclass(frozen=True, slots=True)
class Channels:
    """What each channel is for.

    Parameters
    ----------
    roles : tuple of str
        For each channel one of

        - ``"use"``: as if only channels with this role were there (see `as_image_source`); beside
          channels with other roles it is grey;
        - ``"ignore"``: never read;
        - ``"red"``, ``"green"``, ``"blue"``: that input; of several the mean;
        - ``"colormap"``: through its colormap, added to the others, as napari blends.
    colormaps : tuple of (colormap or None)
        For each channel; needed for the role ``"colormap"``, see `Colormap`.
    gammas : tuple of float
        Exponent of each channel's normalised intensity; empty for 1.

    Raises
    ------
    ImageError
        If a role is unknown, a colormap is missing, all channels are ignored, or the lengths
        differ.
    """

    roles: tuple[str, ...]
    colormaps: tuple[Colormap | None, ...] = ()
    gammas: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Check the roles and what belongs to them."""
        unknown = [role for role in self.roles if role not in ROLES]
        if unknown:
            raise ImageError(
                f"The role of a channel must be one of {', '.join(ROLES)}, not {unknown[0]!r}."
            )
        if not self.used:
            raise ImageError("All channels are ignored; at least one must be used.")
        for name, values in (("colormaps", self.colormaps), ("gammas", self.gammas)):
            if values and len(values) != len(self.roles):
                raise ImageError(
                    f"There are {len(self.roles)} roles of channels and {len(values)} {name}."
                )
        for i, role in enumerate(self.roles):
            if role == "colormap" and not (self.colormaps and self.colormaps[i]):
                raise ImageError(f"Channel {i} has the role 'colormap' and no colormap.")
        for colormap in self.colormaps:
            if colormap is not None and (
                len(colormap) < 2 or any(len(colour) != 3 for colour in colormap)
            ):
                raise ImageError("A colormap needs two or more colours of three numbers each.")
        if not all(np.isfinite(gamma) and gamma > 0 for gamma in self.gammas):
            raise ImageError("The gamma of a channel must be above 0.")

    @property
    def used(self) -> tuple[int, ...]:
        """Indices of the channels that are read."""
        return tuple(i for i, role in enumerate(self.roles) if role != "ignore")

    def mix(self, pixels: Floats) -> Floats:
        """Turn normalised channels into the model's three.

        Parameters
        ----------
        pixels : array of float32, (h, w, used)
            The used channels, in [0, 1].

        Returns
        -------
        array of float32, (h, w, 3)
            In [0, 1], C-contiguous.
        """
        if self.gammas:
            gammas = np.array([self.gammas[i] for i in self.used], dtype=np.float32)
            if np.any(gammas != 1):
                pixels = pixels**gammas
        roles = [self.roles[i] for i in self.used]
        if set(roles) == {"use"}:
            return to_three_channels(pixels)
        total = np.zeros((*pixels.shape[:2], 3), dtype=np.float32)
        counts = np.zeros(3, dtype=np.float32)
        for at, role in enumerate(roles):
            for j in _TARGETS.get(role, ()):
                total[..., j] += pixels[..., at]
                counts[j] += 1
        total /= np.maximum(counts, 1)
        for at, (i, role) in enumerate(zip(self.used, roles, strict=True)):
            colormap = self.colormaps[i] if role == "colormap" else None
            if colormap is not None:
                points = np.linspace(0, 1, len(colormap))
                for j in range(3):
                    levels = [colour[j] for colour in colormap]
                    if any(levels):
                        total[..., j] += np.interp(pixels[..., at], points, levels)
        return np.clip(total, 0, 1, out=total)

    def to_dict(self) -> dict[str, Any]:
        """As a mapping that JSON can hold."""
        values: dict[str, Any] = {"roles": list(self.roles)}
        if self.colormaps:
            values["colormaps"] = [
                None if colormap is None else [list(colour) for colour in colormap]
                for colormap in self.colormaps
            ]
        if self.gammas:
            values["gammas"] = list(self.gammas)
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Channels:
        """From what `to_dict` gave.

        Raises
        ------
        ImageError
            If an entry is missing or can't be used.
        """
        try:
            colormaps = tuple(
                None
                if colormap is None
                else tuple((float(r), float(g), float(b)) for r, g, b in colormap)
                for colormap in values.get("colormaps", ())
            )
            gammas = tuple(float(gamma) for gamma in values.get("gammas", ()))
            return cls(tuple(values["roles"]), colormaps, gammas)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            if isinstance(error, ImageError):
                raise
            raise ImageError(
                "Stored channels need the list 'roles', and perhaps 'colormaps' and 'gammas'."
            ) from error


@dataclass(frozen=True, slots=True)
class Rendering:
    """Everything that turns stored pixels into the model's input, to be kept and replayed.

    Parameters
    ----------
    normalization : Normalization
        Limits of every channel.
    channels : Channels or None
        Their roles; None for the default rule.
    channel_axis : int or None
    rgb : bool or None
        As given to `as_image_source`.

    Examples
    --------
    >>> stored = json.dumps(predictor.rendering.to_dict())  # doctest: +SKIP
    >>> rendering = Rendering.from_dict(json.loads(stored))  # doctest: +SKIP
    >>> predictor.set_image(image, **rendering.arguments())  # doctest: +SKIP
    """

    normalization: Normalization
    channels: Channels | None = None
    channel_axis: int | None = None
    rgb: bool | None = None

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of `as_image_source` and ``Predictor.set_image``."""
        return {
            "channel_axis": self.channel_axis,
            "rgb": self.rgb,
            "normalization": self.normalization,
            "channels": self.channels,
        }

    def to_dict(self) -> dict[str, Any]:
        """As a mapping that JSON can hold."""
        return {
            "normalization": self.normalization.to_dict(),
            "channels": None if self.channels is None else self.channels.to_dict(),
            "channel_axis": self.channel_axis,
            "rgb": self.rgb,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Rendering:
        """From what `to_dict` gave.

        Raises
        ------
        ImageError
            If an entry is missing or can't be used.
        """
        try:
            channels, axis, rgb = values.get("channels"), values.get("channel_axis"), values["rgb"]
            return cls(
                Normalization.from_dict(values["normalization"]),
                None if channels is None else Channels.from_dict(channels),
                None if axis is None else int(axis),
                None if rgb is None else bool(rgb),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            if isinstance(error, ImageError):
                raise
            raise ImageError(
                "A stored rendering needs 'normalization', 'channels', 'channel_axis' and 'rgb'."
            ) from error


def as_channels(channels: Channels | Iterable[str] | None, count: int) -> Channels | None:
    """Take roles, or `Channels`, for an image of `count` channels.

    Raises
    ------
    ImageError
        If they do not fit.
    """
    if channels is None:
        return None
    if isinstance(channels, str):
        channels = [channels]
    if not isinstance(channels, Channels):
        channels = Channels(tuple(channels))
    if len(channels.roles) != count:
        raise ImageError(
            f"There are roles for {len(channels.roles)} channels, and the image has {count}."
        )
    return channels


def to_three_channels(pixels: Floats) -> Floats:
    """Turn normalised channels (h, w, n) into the model's three (see `as_image_source`)."""
    channels = pixels.shape[2]
    if channels == 3:
        return np.ascontiguousarray(pixels)
    out = np.empty((*pixels.shape[:2], 3), dtype=np.float32)
    if channels == 1:
        out[...] = pixels
    elif channels == 2:
        out[..., :2] = pixels
        out[..., 2] = pixels.mean(axis=2)
    else:
        for j in range(3):
            out[..., j] = pixels[..., j::3].mean(axis=2)
    return out
