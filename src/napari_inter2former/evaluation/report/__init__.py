"""What an evaluation showed, as a page to look at: curves, tables, best and worst cases."""

from __future__ import annotations

from napari_inter2former.evaluation.report.cases import Case, find_cases
from napari_inter2former.evaluation.report.figures import ReportError, check_matplotlib
from napari_inter2former.evaluation.report.page import write_report

__all__ = ["Case", "ReportError", "check_matplotlib", "find_cases", "write_report"]
