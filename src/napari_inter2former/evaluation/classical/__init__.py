"""Segmentation by clicks without a network: what a user would otherwise have.

Each method runs by its own library with the clicks of the same protocol, in a crop round the
clicks, as a user would cut one out; none knows the truth.
"""

from __future__ import annotations

from napari_inter2former.evaluation.classical.predictor import METHODS, ClassicalPredictor

__all__ = ["METHODS", "ClassicalPredictor"]
