"""Plots of an evaluation, as SVG."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_inter2former.errors import Inter2FormerError

if TYPE_CHECKING:
    from napari_inter2former.evaluation.results import EvaluationResult

__all__ = ["ReportError", "check_matplotlib", "draw_curves", "draw_histograms", "draw_steps"]

COLUMNS = 4
HISTOGRAMS = (1, 3, 5)
"""Clicks after which the IoUs are counted."""

WANTED = -0.02
"""No further click should change the mean IoU by less."""


class ReportError(Inter2FormerError, RuntimeError):
    """A report that cannot be made; the message says what is missing."""


def check_matplotlib() -> Any:
    """Return Matplotlib's class of figures.

    Raises
    ------
    ReportError
        When it is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ReportError(
            'A report needs Matplotlib: pip install "napari-inter2former[report]". '
            "The figures by themselves (--json) do not."
        ) from error
    return Figure


def draw_curves(result: EvaluationResult) -> str:
    """Draw the mean IoU against clicks, an axes for each dataset, with the mean of all in grey."""
    curves = {name: each.curve for name, each in result.datasets.items()}
    least = min(map(len, curves.values()))
    mean = np.mean([curve[:least] for curve in curves.values()], axis=0)
    rows = -(-len(curves) // COLUMNS)
    figure = check_matplotlib()(figsize=(11, 2.4 * rows + 0.4), layout="constrained")
    grid = figure.subplots(rows, COLUMNS, sharex=True, sharey=True, squeeze=False)
    for axes in grid.ravel()[len(curves) :]:
        axes.set_visible(False)
    for axes, (name, curve) in zip(grid.ravel(), curves.items(), strict=False):
        axes.plot(range(1, least + 1), mean, color="0.75", linewidth=2)
        axes.plot(range(1, len(curve) + 1), curve, color="tab:blue", marker=".")
        for level in (0.85, 0.9):
            axes.axhline(level, color="0.85", linewidth=0.8, zorder=0)
        axes.set_title(f"{name} ({len(result.datasets[name].objects)})", fontsize=10)
        axes.set_ylim(0, 1)
    figure.supxlabel("clicks")
    figure.supylabel("mean IoU")
    return _svg(figure)


def draw_steps(result: EvaluationResult) -> str:
    """Draw what each further click adds to the mean IoU, a line for each dataset."""
    figure = check_matplotlib()(figsize=(11, 3.6), layout="constrained")
    axes = figure.subplots()
    styles = ("-", "--", ":")
    for number, (name, each) in enumerate(result.datasets.items()):
        steps = np.diff(each.curve)
        axes.plot(range(2, len(steps) + 2), steps, styles[number // 10 % 3], marker=".", label=name)
    axes.axhline(0, color="0.5", linewidth=0.8)
    axes.axhline(WANTED, color="tab:red", linewidth=0.8, linestyle="--")
    # The first correction gains much more than what is to be seen here.
    axes.set(xlabel="click", ylabel="change of the mean IoU", ylim=(-0.06, 0.12))
    axes.legend(ncols=1, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return _svg(figure)


def draw_histograms(result: EvaluationResult) -> str:
    """Draw how many objects reach which IoU after 1, 3 and 5 clicks, all datasets together."""
    figure = check_matplotlib()(figsize=(11, 2.8), layout="constrained")
    panels = figure.subplots(1, len(HISTOGRAMS), sharey=True)
    for axes, clicks in zip(panels, HISTOGRAMS, strict=True):
        values = [o.iou_at(clicks) for each in result.datasets.values() for o in each.objects]
        there = [value for value in values if np.isfinite(value)]
        if there:
            axes.hist(there, bins=np.linspace(0, 1, 21), color="tab:blue", edgecolor="white")
            axes.axvline(float(np.median(there)), color="tab:orange")
        axes.set(xlabel=f"IoU after {clicks} click{'s' * (clicks > 1)}", xlim=(0, 1))
    panels[0].set_ylabel("objects")
    return _svg(figure)


def _svg(figure: Any) -> str:
    from matplotlib import rc_context

    buffer = io.StringIO()
    # Text stays text, and no date: the same figures give the same file.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "inter2former"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
