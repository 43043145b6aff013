"""``inter2former evaluate``: the click protocol over folders of labelled images."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from napari_inter2former._files import check_writable
from napari_inter2former.cli._numbers import natural
from napari_inter2former.errors import Inter2FormerError

if TYPE_CHECKING:
    import argparse

    from napari_inter2former.evaluation import EvaluationResult

DESCRIPTION = """\
Measure weights by the click protocol: each click goes to the centre of the largest error.

DIR is a dataset (a folder with pairs NAME_image.* and NAME_label.*, or with such a folder named
like the split) or a folder of datasets. Other layouts are recognised: images/ and labels/, Cellpose
(NAME_masks.*), COCO, LVIS and LIVECell (JSON), DSB2018, HQSeg-44K, DAVIS, ssTEM.

The figures are written as JSON: IoU after 1, 3, 5, 10 clicks, clicks to an IoU of 80, 85, 90, 95
percent (failures count as the limit), number of failures, boundary IoU after 5 clicks, the most by
which a further click lowers the mean IoU (largest_drop), and milliseconds for a click without
(online_spc_ms) and with the encoding (spc20_ms). Times want --workers 1 and a machine that does
nothing else. With --method, classical methods get the same clicks, as a baseline."""

METHODS = ("inter2former", "grabcut", "random-walker", "geodesic")

DEFAULTS: dict[str, dict[str, object]] = {
    "clicks": {
        "method": METHODS[0],
        "objects": None,
        "clicks": 20,
        "boxes": False,
        "seed": 0,
        "report": None,
    },
    "everything": {"images": None},
}
"""Options that mean something for one task only."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--data", required=True, type=Path, metavar="DIR", help="the images")
    parser.add_argument("--split", default="val", help="which split (%(default)s)")
    parser.add_argument(
        "--task",
        choices=("clicks", "everything"),
        default="clicks",
        help="the click protocol, or masks without clicks: AP50, precision, recall (%(default)s)",
    )
    parser.add_argument(
        "--images",
        type=natural,
        metavar="N",
        help="with --task everything: at most N images of each dataset (all)",
    )
    parser.add_argument(
        "--weights", default="tiny", metavar="NAME", help="name or path (%(default)s)"
    )
    parser.add_argument("--method", choices=METHODS, help="what makes masks (%(default)s)")
    parser.add_argument(
        "--objects", type=natural, metavar="N", help="at most N objects per dataset (all)"
    )
    parser.add_argument(
        "--clicks", type=natural, metavar="N", help="at most N clicks (%(default)s)"
    )
    parser.add_argument(
        "--boxes",
        action="store_true",
        help="draw a box round each object before its first click",
    )
    parser.add_argument("--seed", type=int, help="of the choice of objects")
    parser.add_argument(
        "--workers", type=natural, default=1, metavar="N", help="processes (%(default)s)"
    )
    parser.add_argument(
        "--json", required=True, type=Path, metavar="OUT", help="where to write the figures"
    )
    parser.add_argument(
        "--report",
        type=Path,
        metavar="OUT.html|DIR",
        help="where to write plots and pictures: one HTML file, or a folder (needs Matplotlib)",
    )
    for options in DEFAULTS.values():
        parser.set_defaults(**options)


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    for task, options in DEFAULTS.items():
        for name, default in options.items():
            if task != arguments.task and getattr(arguments, name) != default:
                raise Inter2FormerError(
                    f"--{name} belongs to --task {task}; leave it out with --task {arguments.task}."
                )
    check_writable(arguments.json)  # rather now than after an hour
    if arguments.task == "everything":
        from napari_inter2former.cli import _evaluate_everything

        return _evaluate_everything.run(arguments)
    from napari_inter2former.evaluation import evaluate_parallel
    from napari_inter2former.evaluation.classical import ClassicalPredictor
    from napari_inter2former.evaluation.report import check_matplotlib, write_report

    classical = arguments.method != METHODS[0]
    if arguments.report:
        check_matplotlib()
    result = evaluate_parallel(
        arguments.method if classical else arguments.weights,
        arguments.data,
        arguments.split,
        arguments.objects,
        arguments.clicks,
        arguments.seed,
        workers=arguments.workers,
        keep=arguments.report is not None,
        boxed=arguments.boxes,
        make_predictor=ClassicalPredictor if classical else None,
        progress=_progress if sys.stderr.isatty() else None,
    )
    result.method = arguments.method + " with boxes" * arguments.boxes
    for name, dataset in result.datasets.items():
        for line in dataset.skipped:
            print(f"{name}: skipped {line}", file=sys.stderr)
        if dataset.skipped:
            print(f"{name}: {len(dataset.skipped)} file(s) skipped", file=sys.stderr)
    result.write(arguments.json)
    print(table(result))
    print(f"written to {arguments.json}")
    if arguments.report:
        print(f"report: {write_report(result, arguments.report)}")
    return 0


def table(result: EvaluationResult) -> str:
    """Return the figures as a table of plain text, one line for each dataset and the mean."""
    figures = result.to_dict()
    rows = {**figures["datasets"], "mean": figures["mean"]}
    width = max(len(name) for name in rows)
    head = ["IoU@1", "@3", "@5", "@10", "NoC80", "85", "90", "95", "NoF90", "bIoU@5", "drop"]
    head += ["ms/click"]
    lines = [f"{'':<{width}} {'objects':>7} " + " ".join(f"{title:>8}" for title in head)]
    for name, row in rows.items():
        cells = [_cell(value, ".3f") for value in row["iou_at"].values()]
        cells += [_cell(value, ".2f") for value in row["noc"].values()]
        cells += [_cell(row["nof"]["90"], "d"), _cell(row["boundary_iou_at"]["5"], ".3f")]
        cells += [_cell(row["largest_drop"], ".3f"), _cell(row["online_spc_ms"], ".1f")]
        lines.append(
            f"{name:<{width}} {row['objects']:>7} " + " ".join(f"{cell:>8}" for cell in cells)
        )
    return "\n".join(lines)


def _cell(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _progress(name: str, done: int, total: int) -> None:
    end = "\n" if done >= total else ""
    print(f"\r{name}: {done} of {total} objects", end=end, file=sys.stderr, flush=True)
