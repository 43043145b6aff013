"""Errors that users meet: each says what was wrong and what to do about it."""

from __future__ import annotations


class Inter2FormerError(Exception):
    """Base of all errors that this package raises on purpose."""


class ImageError(Inter2FormerError, ValueError):
    """The image can't be used: wrong dtype, wrong dimensions, unreadable file or chunk."""


class WeightsError(Inter2FormerError, ValueError):
    """A weights file is missing, damaged, foreign, or of another version."""


class SettingsError(Inter2FormerError, ValueError):
    """An environment variable asks for what is not there."""


class PromptError(Inter2FormerError, ValueError):
    """The prompts can't be used: none given, outside the image, not finite, wrong shape."""
