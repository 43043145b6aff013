"""The page itself: one HTML file with everything inside, or a folder."""

from __future__ import annotations

import base64
import html
import re
from string import Template
from typing import TYPE_CHECKING

from napari_inter2former import __version__
from napari_inter2former._files import write_file, write_json
from napari_inter2former.evaluation.report import figures
from napari_inter2former.evaluation.report.cases import Case, find_cases

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from typing import Any

    from napari_inter2former.evaluation.results import EvaluationResult

__all__ = ["write_report"]

SHOWN = 3
"""So many of a dataset's best objects are shown, and so many of its worst."""

PAGE = Template("""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
body { font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 72em; padding: 0 1em;
       color: #222; background: #fff; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .2em .6em; text-align: right; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; }
tr.mean td { font-weight: bold; border-top: 2px solid #999; }
svg { max-width: 100%; height: auto; }
.cases { display: flex; flex-wrap: wrap; gap: 12px; }
figure { margin: 0; width: 200px; }
figure img { max-width: 200px; max-height: 200px; }
figcaption { font-size: 12px; color: #555; overflow-wrap: anywhere; }
b.truth { color: #a80; } b.mask { color: #c0a; }
</style>
</head>
<body>
<h1>$title</h1>
<p>$summary</p>
<h2>Figures</h2>
<p>Mean IoU after 1, 3, 5 and 10 clicks; clicks needed for an IoU of 80, 85, 90 and 95 percent
(NoC, $limit where it is not reached); objects that never reach 90 percent (NoF); boundary IoU
after five clicks; the most by which a further click lowers the mean IoU (drop).</p>
$table
<h2>IoU against clicks</h2>
<p>The grey line is the mean of all datasets.</p>
$curves
<h2>What each further click changes</h2>
<p>Mean over the objects. The dashed red line is at &minus;0.02.</p>
$steps
<h2>How many objects reach which IoU</h2>
<p>All datasets together; the orange line is the median.</p>
$histograms
<h2>Best and worst cases</h2>
<p>After five clicks, or fewer where no more were needed. <b class="truth">Yellow</b>: the true
outline. <b class="mask">Magenta</b>: the mask. Green dots are positive clicks, red crosses
negative ones.</p>
$cases
<p><small>napari-inter2former $version.</small></p>
</body>
</html>
""")


def write_report(result: EvaluationResult, path: Path) -> Path:
    """Write the report.

    Parameters
    ----------
    result : EvaluationResult
        Evaluated with ``keep=True``; else it has no pictures of cases.
    path : pathlib.Path
        A name that ends in ``.html`` for one file with everything inside, else a folder that gets
        ``index.html``, ``cases.json`` and the pictures in ``cases``.

    Returns
    -------
    pathlib.Path
        Of the HTML file.

    Raises
    ------
    ReportError
        When Matplotlib is not installed.
    OutputError
        When it cannot be written.
    """
    single = path.suffix.lower() in (".html", ".htm")
    target = path if single else path / "index.html"
    figures.check_matplotlib()
    cases = {name: find_cases(name, each, SHOWN, SHOWN) for name, each in result.datasets.items()}
    files: dict[str, bytes] = {}
    listed: list[dict[str, Any]] = []

    def address(case: Case, kind: str, rank: int) -> str:
        if single:
            return "data:image/jpeg;base64," + base64.b64encode(case.jpeg).decode()
        # Other names than letters and digits would have to be quoted in addresses.
        name = f"cases/{re.sub(r'[^A-Za-z0-9._-]', '_', case.dataset)}_{kind}_{rank}.jpg"
        files[name] = case.jpeg
        listed.append(
            {"dataset": case.dataset, "object": case.name, "kind": kind, "clicks": case.clicks,
             "iou": case.iou, "file": name}
        )  # fmt: skip
        return name

    page = _page(result, cases, address)
    for name, content in files.items():
        write_file(path / name, content)
    if not single:
        write_json(path / "cases.json", listed)
    write_file(target, page.encode())
    return target


def _page(
    result: EvaluationResult,
    cases: dict[str, dict[str, list[Case]]],
    address: Callable[[Case, str, int], str],
) -> str:
    name = result.weights_name if result.method == "inter2former" else result.method
    objects = sum(len(each.objects) for each in result.datasets.values())
    limit = max((o.max_clicks for d in result.datasets.values() for o in d.objects), default=20)
    skipped = [line for each in result.datasets.values() for line in each.skipped]
    summary = (
        f"{objects:,} objects of {len(result.datasets)} datasets, clicked by the protocol: each "
        "click goes to the centre of the largest error."
    )
    if result.weights_sha256:
        summary += f" SHA-256 of the weights: {result.weights_sha256}."
    if skipped:
        summary += f" {len(skipped)} file(s) could not be used, the first: {skipped[0]}"
    sections = []
    for dataset, kinds in cases.items():
        if any(kinds.values()):
            sections.append(f"<h3>{html.escape(dataset)}</h3>")
        for kind, each in kinds.items():
            if each:
                shown = _figures(kind, each, address)
                sections.append(f"<p>{kind.capitalize()}</p>\n<div class='cases'>\n{shown}</div>")
    return PAGE.substitute(
        title=html.escape(f"Evaluation of {name}"),
        summary=html.escape(summary),
        limit=limit,
        table=_table(result),
        curves=figures.draw_curves(result),
        steps=figures.draw_steps(result),
        histograms=figures.draw_histograms(result),
        cases="\n".join(sections),
        version=__version__,
    )


def _figures(kind: str, cases: Iterable[Case], address: Callable[[Case, str, int], str]) -> str:
    lines = []
    for rank, case in enumerate(cases, start=1):
        text = html.escape(f"{case.name}: IoU {case.iou:.3f} after {case.clicks}")
        source = html.escape(address(case, kind, rank))
        lines.append(
            f'<figure><img src="{source}" alt="{text}" loading="lazy">'
            f"<figcaption>{text}</figcaption></figure>\n"
        )
    return "".join(lines)


def _table(result: EvaluationResult) -> str:
    plain = result.to_dict()
    head = ["", "objects", "IoU@1", "@3", "@5", "@10", "NoC80", "85", "90", "95", "NoF90",
            "bIoU@5", "drop"]  # fmt: skip
    lines = ["<table>", "<tr>" + "".join(f"<th>{cell}</th>" for cell in head) + "</tr>"]
    for name, row in [*plain["datasets"].items(), ("mean", plain["mean"])]:
        cells = [html.escape(name), str(row["objects"])]
        cells += [_number(value, ".3f") for value in row["iou_at"].values()]
        cells += [_number(value, ".2f") for value in row["noc"].values()]
        cells += [str(row["nof"]["90"]), _number(row["boundary_iou_at"]["5"], ".3f")]
        cells += [_number(row["largest_drop"], ".3f")]
        mean = " class='mean'" if name == "mean" else ""
        lines.append(f"<tr{mean}>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    return "\n".join([*lines, "</table>"])


def _number(value: float | None, form: str) -> str:
    return "&ndash;" if value is None else format(value, form)
