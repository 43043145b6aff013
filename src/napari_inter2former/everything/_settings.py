"""What users can choose."""

from __future__ import annotations

from dataclasses import dataclass

from napari_inter2former.errors import Inter2FormerError
from napari_inter2former.predictor._inputs import zoom_exponent

__all__ = ["EverythingSettings", "SettingsError"]


class SettingsError(Inter2FormerError, ValueError):
    """A setting that makes no sense; the message names it."""


@dataclass(frozen=True, kw_only=True)
class EverythingSettings:
    """How objects are looked for and which are kept.

    Parameters
    ----------
    spacing : int
        Distance of the grid's clicks in input pixels of the model, a multiple of 16. The grid
        looks for what the network does not see in the image, so a click is left out where it sees
        background; 64 gives at most 16 x 16 on 1024 x 1024 pixels.
    min_score : float, optional
        Objects below this score (0 to 1) are dropped. The score is the intersection over union
        that the network expects of its mask; of weights without that estimate, the share of the
        mask's pixels that it is certain of. By default 0.65, and less, down to 0.35, in images
        where even the better masks have low scores.
    min_area, max_area : int
        Limits in image pixels; smaller and larger objects are dropped.
    zoom : float, optional
        Input pixels per image pixel, a power of two; by default found from the image.

    Raises
    ------
    SettingsError, PromptError
        If a value is out of range.
    """

    spacing: int = 32
    min_score: float | None = None
    min_area: int = 20
    max_area: int | None = None
    zoom: float | None = None

    def __post_init__(self) -> None:
        if self.spacing < 16 or self.spacing % 16:
            raise SettingsError(
                f"The spacing of the clicks must be a multiple of 16 pixels, not {self.spacing}."
            )
        zoom_exponent(self.zoom)  # refuses what is no power of two
        if self.min_score is not None and not 0 <= self.min_score <= 1:
            raise SettingsError(f"The smallest score must be from 0 to 1, not {self.min_score}.")
        if self.min_area < 1 or (self.max_area is not None and self.max_area < self.min_area):
            raise SettingsError(
                "The smallest area must be 1 pixel or more and no larger than the largest, not "
                f"{self.min_area} to {self.max_area}."
            )
