"""The click protocol and its figures.

A simulated user who knows the truth clicks at the centre of the largest error, at most 20 times.
Reported are the IoU after 1, 3, 5 and 10 clicks, the number of clicks to an IoU of 80, 85, 90 and
95 percent (NoC; failures count as 20), the number of failures (NoF), the boundary IoU and times.
"""

from __future__ import annotations

from napari_inter2former.evaluation.clicks import first_click, next_click
from napari_inter2former.evaluation.datasets import (
    DatasetError,
    Pair,
    find_datasets,
    find_pairs,
    select_objects,
)
from napari_inter2former.evaluation.metrics import (
    boundary_iou,
    boundary_width,
    iou,
    number_of_clicks,
)
from napari_inter2former.evaluation.parallel import evaluate_parallel
from napari_inter2former.evaluation.protocol import (
    evaluate,
    evaluate_dataset,
    evaluate_image,
    evaluate_object,
)
from napari_inter2former.evaluation.reading import Picture, read_labels, read_picture
from napari_inter2former.evaluation.regions import Region, object_regions, region_of
from napari_inter2former.evaluation.results import DatasetResult, EvaluationResult, ObjectResult

__all__ = [
    "DatasetError",
    "DatasetResult",
    "EvaluationResult",
    "ObjectResult",
    "Pair",
    "Picture",
    "Region",
    "boundary_iou",
    "boundary_width",
    "evaluate",
    "evaluate_dataset",
    "evaluate_image",
    "evaluate_object",
    "evaluate_parallel",
    "find_datasets",
    "find_pairs",
    "first_click",
    "iou",
    "next_click",
    "number_of_clicks",
    "object_regions",
    "read_labels",
    "read_picture",
    "region_of",
    "select_objects",
]
