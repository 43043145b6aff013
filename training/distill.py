"""Distil a teacher's encoder into another one, on images without labels.

Run ``python training/distill.py --help``, or ``python -m napari_inter2former.training.distill``;
then ``train.py --start-from WEIGHTS``, with ``--freeze-encoder`` if only the decoder is to learn.
"""

from __future__ import annotations

import argparse
import sys

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_inter2former.model import PRESETS, Inter2Former, build_model
from napari_inter2former.training.command import tells_errors
from napari_inter2former.training.unlabelled import add_options, learn
from napari_inter2former.weights import load_model


class Distillation(nn.Module):
    """A student whose tokens are to be the teacher's (Inter2Former, section 4, protocol 2).

    Parameters
    ----------
    teacher, student : Inter2Former
        Where their tokens differ in width, a linear map leads from the student's to the
        teacher's; it is dropped afterwards.
    """

    def __init__(self, teacher: Inter2Former, student: Inter2Former) -> None:
        super().__init__()
        self.teacher = teacher.encoder.requires_grad_(False)
        self.student = student.encoder
        wide, narrow = teacher.config.dim, student.config.dim
        self.match = nn.Identity() if wide == narrow else nn.Linear(narrow, wide)

    def learned(self) -> list[nn.Parameter]:
        """Return the parameters that learn."""
        return [*self.student.parameters(), *self.match.parameters()]

    def forward(self, images: Tensor) -> Tensor:
        """Return the mean squared error for images (B, H, W, 3) in [0, 1]."""
        with torch.no_grad():
            wanted, _ = self.teacher(images * 2 - 1)
        tokens, _ = self.student(images * 2 - 1)
        return F.mse_loss(self.match(tokens), wanted)


@tells_errors
def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_options(parser)
    parser.add_argument("--teacher", required=True, help="weights of the teacher (name or path)")
    parser.add_argument("--preset", default="tiny", choices=sorted(PRESETS), help="the student's")
    options = parser.parse_args(arguments)
    torch.manual_seed(options.seed)
    teacher = load_model(options.teacher)
    student = load_model(options.start_from) if options.start_from else build_model(options.preset)
    pair = Distillation(teacher, student.train()).to(options.device)
    metadata = {"protocol": "distillation", "teacher": teacher.weights_sha256}
    learn(student, pair.learned(), pair, options, metadata)
    return 0


if __name__ == "__main__":
    sys.exit(main())
