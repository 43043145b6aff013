"""Per-channel percentile normalisation to [0, 1]."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_inter2former.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["HIGH_PERCENTILE", "LOW_PERCENTILE", "Normalization"]

LOW_PERCENTILE = 1.0
HIGH_PERCENTILE = 99.8
# The difference of two limits must not overflow a double.
_LARGEST = 8e307


@dataclass(frozen=True, slots=True)
class Normalization:
    """The intensities that become 0 and 1, for each channel.

    Parameters
    ----------
    low, high : tuple of float
        One value per channel, in the unit of the image. A channel with ``high <= low`` holds no
        contrast and becomes 0 everywhere.

    Raises
    ------
    ImageError
        If the lengths differ, are 0, or a value is not finite.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]

    def __post_init__(self) -> None:
        """Check the limits and store them as plain floats."""
        low = tuple(float(value) for value in self.low)
        high = tuple(float(value) for value in self.high)
        if len(low) != len(high) or not low:
            raise ImageError(
                f"A normalisation needs one low and one high value per channel, not {len(low)} "
                f"and {len(high)}."
            )
        if not all(math.isfinite(value) for value in low + high):
            raise ImageError("The limits of a normalisation must be finite.")
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)

    @classmethod
    def from_sample(
        cls,
        sample: npt.NDArray[Any],
        percentiles: tuple[float, float] = (LOW_PERCENTILE, HIGH_PERCENTILE),
    ) -> Normalization:
        """Percentiles of each channel of a sample.

        Parameters
        ----------
        sample : array, (n, channels)
            Pixels; NaN and infinities are ignored.
        percentiles : tuple of float
            Two numbers from 0 to 100.

        Returns
        -------
        Normalization
            Where the two percentiles coincide, the smallest and largest value. A channel without
            any finite value gets the limits (0, 0).
        """
        lows: list[float] = []
        highs: list[float] = []
        for channel in range(sample.shape[1]):
            values = sample[:, channel]
            if values.dtype.kind == "f":
                values = values[np.isfinite(values)]
                if values.dtype.itemsize < 4:
                    values = values.astype(np.float32)
            elif values.dtype.kind == "b":
                values = values.view(np.uint8)
            low, high = np.percentile(values, percentiles) if values.size else (0, 0)
            if values.size and not high > low:
                # A few bright pixels on an even background: the percentiles would hide them.
                low, high = values.min(), values.max()
            lows.append(min(max(float(low), -_LARGEST), _LARGEST))
            highs.append(min(max(float(high), -_LARGEST), _LARGEST))
        return cls(tuple(lows), tuple(highs))

    @property
    def channels(self) -> int:
        """Number of channels."""
        return len(self.low)

    def select(self, channels: Sequence[int]) -> Normalization:
        """Limits of some of the channels, in the order given."""
        return Normalization(
            tuple(self.low[i] for i in channels), tuple(self.high[i] for i in channels)
        )

    def spread(self, channels: Sequence[int], count: int) -> Normalization:
        """Undo `select`: the limits of these of `count` channels; the others get (0, 0)."""
        low, high = [0.0] * count, [0.0] * count
        for i, a, b in zip(channels, self.low, self.high, strict=True):
            low[i], high[i] = a, b
        return Normalization(tuple(low), tuple(high))

    def scale(self, pixels: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Map the limits to 0 and 1, without clipping.

        Parameters
        ----------
        pixels : array, (h, w, channels)
            Raw intensities of any real dtype.

        Returns
        -------
        array of float32, (h, w, channels)
            NaN and -inf become 0, +inf becomes 1. Not clipped, so that averaging pixels before or
            after this step is the same.
        """
        # 64-bit integers and doubles can hold a small contrast on a large offset.
        wide = pixels.dtype.kind == "f" and pixels.dtype.itemsize > 4
        wide = wide or (pixels.dtype.kind in "iu" and pixels.dtype.itemsize > 2)
        out = np.empty(pixels.shape, dtype=np.float32)
        with np.errstate(over="ignore", invalid="ignore"):
            for channel, (low, high) in enumerate(zip(self.low, self.high, strict=True)):
                if not high > low:
                    out[..., channel] = 0
                    continue
                values: Any = pixels[..., channel].astype(np.float64 if wide else np.float32)
                values -= low
                values /= high - low
                out[..., channel] = values
        if pixels.dtype.kind == "f":
            np.nan_to_num(out, copy=False, nan=0.0, posinf=1.0, neginf=0.0)
        return out

    def to_dict(self) -> dict[str, list[float]]:
        """As a mapping that JSON can hold."""
        return {"low": list(self.low), "high": list(self.high)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Sequence[float]]) -> Normalization:
        """From what `to_dict` gave.

        Raises
        ------
        ImageError
            If an entry is missing or is no list of numbers.
        """
        try:
            return cls(tuple(values["low"]), tuple(values["high"]))
        except (KeyError, TypeError) as error:
            raise ImageError(
                "A stored normalisation needs the lists 'low' and 'high', one number per channel."
            ) from error
