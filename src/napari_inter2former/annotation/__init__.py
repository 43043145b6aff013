"""The annotation loop without its window: no Qt and no napari in here.

`Session` is the state of the work (`objects` with clicks and masks, one undo history), `labelling`
decides which pixels a mask may change, `planes` finds the 2-D picture in a stack, and `Worker`
computes.
"""

from __future__ import annotations

from napari_inter2former.annotation.labelling import (
    Ids,
    LabelEdit,
    OutOfIdsError,
    Rule,
    plan_edit,
    plan_write,
)
from napari_inter2former.annotation.objects import State, Write
from napari_inter2former.annotation.planes import Plane, StackLayout
from napari_inter2former.annotation.session import NothingToAcceptError, Session, Step
from napari_inter2former.annotation.worker import Worker

__all__ = [
    "Ids",
    "LabelEdit",
    "NothingToAcceptError",
    "OutOfIdsError",
    "Plane",
    "Rule",
    "Session",
    "StackLayout",
    "State",
    "Step",
    "Worker",
    "Write",
    "plan_edit",
    "plan_write",
]
