"""A picture of the training log."""

from __future__ import annotations

from pathlib import Path

from napari_inter2former._files import replacing
from napari_inter2former.training.log import read_log


def plot_log(log: Path) -> Path | None:
    """Draw loss and IoU against time, beside a log file.

    Parameters
    ----------
    log : Path
        The CSV file that `train` writes.

    Returns
    -------
    Path or None
        Of the PNG file; None if there is nothing to draw yet, or Matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    if not log.exists():
        return None
    rows = read_log(log)
    if not rows:
        return None
    hours = [row["hours"] for row in rows]
    figure = Figure(figsize=(8, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(hours, [row["loss"] for row in rows])
    left.set(xlabel="hours", ylabel="loss")
    for column, label in (("iou_first", "first click"), ("iou_last", "last click")):
        right.plot(hours, [row[column] for row in rows], label=label)
    right.set(xlabel="hours", ylabel="IoU in training")
    right.legend()
    path = log.with_suffix(".png")
    with replacing(path) as beside:
        figure.savefig(beside, dpi=100, format="png")
    return path
