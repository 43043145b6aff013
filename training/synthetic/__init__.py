"""Synthetic training data without end: drawn scenes, and pseudo-objects from real pixels."""

from __future__ import annotations

from .fields import displacement, smooth_noise
from .scene import draw_scene
from .superpixels import draw_superpixels

__all__ = ["displacement", "draw_scene", "draw_superpixels", "smooth_noise"]
