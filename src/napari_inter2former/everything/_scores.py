"""From which score on masks of an image are objects.

How sure the network is depends on the kind of image as much as on the mask: where nuclei are pale
and crowded, good masks get scores that elsewhere only background gets. So what is kept is measured
by those that are surely objects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_inter2former.everything._settings import EverythingSettings

__all__ = ["least_score", "lowest_score"]

LOWEST, HIGHEST = 0.35, 0.65
"""No mask below the one is an object; masks above the other are, in any image."""
SURE = 0.6
"""Masks from here on tell how sure the network is of an image."""
FEW = 0.2
"""Where a smaller share of the masks is sure, most of what was drawn is background."""
USUAL, SLOPE = 0.79, 4.0
"""As far as their mean score falls short of the one, the limit falls so many times."""


def lowest_score(settings: EverythingSettings) -> float:
    """Return the score below which no mask needs to be kept before all of the image is known."""
    return LOWEST if settings.min_score is None else settings.min_score


def least_score(settings: EverythingSettings, scores: Sequence[float]) -> float:
    """Return the score below which masks are dropped.

    Parameters
    ----------
    settings : EverythingSettings
        What the user wants.
    scores : sequence of float
        Of all masks that were found.
    """
    if settings.min_score is not None:
        return settings.min_score
    sure = [score for score in scores if score >= SURE]
    if not sure or len(sure) < FEW * len(scores):
        return HIGHEST
    return min(max(HIGHEST - SLOPE * (USUAL - sum(sure) / len(sure)), LOWEST), HIGHEST)
