"""Fig. 3 of the paper, a to d, from measured results."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from napari_inter2former._files import write_file
from napari_inter2former.errors import Inter2FormerError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_inter2former.benchmark._result import Result

__all__ = ["PlotError", "plot"]

_FIGURES = {
    "dpe": ("fig3a-dpe.png", "DPE", "area ratio"),
    "dha": ("fig3b-dha.png", "DHA", "area ratio"),
    "hmoe": ("fig3c-hmoe.png", "HMoE", "experts"),
    "dlu": ("fig3d-dlu.png", "DLU", "area ratio"),
    "click": ("clicks.png", "a click", "area ratio"),
}


class PlotError(Inter2FormerError, ImportError):
    """Plots were asked for, and Matplotlib is not installed."""


def plot(results: Sequence[Result], folder: Path) -> list[Path]:
    """Draw latency over area ratios and numbers of experts, one picture per part.

    Parameters
    ----------
    results : sequence of Result
        Measured figures; those that no picture shows are left out.
    folder : Path
        Where to write PNG files; made if needed.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    PlotError
        Without Matplotlib.
    OutputError
        If a file can't be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise PlotError("Plots need Matplotlib: pip install matplotlib.") from error
    written = []
    for part, (name, title, label) in _FIGURES.items():
        series = _series(results, part)
        if not series:
            continue
        figure: Any = Figure(figsize=(5, 3.6), layout="constrained")
        axes = figure.subplots()
        for preset, points in series.items():
            x = [value for value, _ in points]
            (line,) = axes.plot(x, [r.ms for _, r in points], marker="o", label=f"{preset} {title}")
            axes.plot(
                x,
                [r.reference_ms for _, r in points],
                linestyle="--",
                color=line.get_color(),
                label=f"{preset}, {points[0][1].reference}",
            )
        axes.set(xlabel=label, ylabel="ms", yscale="log")
        if part == "hmoe":
            axes.set_xscale("log", base=2)
        axes.legend(fontsize=6)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
        path = folder / name
        write_file(path, buffer.getvalue())
        written.append(path)
    return written


def _series(results: Sequence[Result], part: str) -> dict[str, list[tuple[float, Result]]]:
    """Return the results of a part by preset, ordered by what they vary."""
    series: dict[str, list[tuple[float, Result]]] = {}
    for result in results:
        kind, _, value = result.name.partition("/")
        if kind == part and "=" in value and result.size in (0, 1024):
            point = float(value.partition("=")[2]), result
            series.setdefault(result.preset, []).append(point)
    return {
        preset: sorted(points, key=lambda point: point[0])
        for preset, points in series.items()
        if len(points) > 1
    }
