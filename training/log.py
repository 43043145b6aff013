"""The log of a training run: a CSV file that grows."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from napari_inter2former._files import write_csv

COLUMNS = (
    "step",
    "hours",
    "masks",
    "rate",
    "loss",
    "auxiliary",
    "iou_first",
    "iou_last",
    "masks_per_second",
)


def read_log(path: Path) -> list[dict[str, float]]:
    """Read the rows of a log; what a crash or a full disk left of one is passed over."""
    rows = []
    with path.open(newline="") as file:
        for line in csv.reader(file):
            with suppress(ValueError):  # the header, too, is no row of as many numbers
                rows.append(dict(zip(COLUMNS, map(float, line), strict=True)))
    return rows


def resume_log(path: Path, step: int) -> None:
    """Begin a log, or drop the rows beyond the step from which a run goes on.

    Parameters
    ----------
    path : Path
        Of the CSV file.
    step : int
        The checkpoint's. Later rows are of a run that ended before it was saved again.

    Raises
    ------
    OutputError
        If it can't be written.
    """
    rows = read_log(path) if path.exists() else []
    kept = [texts(list(row.values())) for row in rows if row["step"] <= step]
    write_csv(path, COLUMNS, kept)


def add_row(path: Path, values: Sequence[float]) -> None:
    """Append a row to a log, and print it."""
    print("  ".join(f"{k} {v:.4g}" for k, v in zip(COLUMNS, values, strict=True)), flush=True)
    with path.open("a", newline="") as file:
        csv.writer(file, lineterminator="\n").writerow(texts(values))


def texts(values: Sequence[float]) -> list[str]:
    """Return numbers as they are written."""
    return [f"{value:.6g}" for value in values]
