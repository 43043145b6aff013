"""``inter2former benchmark``: how fast this machine is."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from napari_inter2former.cli._numbers import natural

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from napari_inter2former.benchmark import Result

DESCRIPTION = """\
Measure this machine: the efficiency figures of the paper (Fig. 3 a to d, Table 1) for the presets
with random weights. Every time is a median, and stands beside the time of the plain way in the same
run and, where the arithmetic is counted, its share of the machine's matrix-multiply rate. Want a
machine that does nothing else. Suites: kernels (DPE, DHA, HMoE, DLU), decoder (clicks), encoder,
sat (a grid of clicks, seconds per click), start (import, first click), scale (large images)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    from napari_inter2former.benchmark import PRESETS, SIDES, available

    parser.add_argument(
        "--suite",
        choices=[*available(), "all"],
        action="append",
        default=[],
        help="what (all; repeatable)",
    )
    parser.add_argument(
        "--preset", choices=PRESETS, action="append", default=[], help="only this (repeatable)"
    )
    parser.add_argument(
        "--side",
        type=int,
        choices=SIDES,
        action="append",
        default=[],
        help="only clicks and encoding of images of this size (repeatable)",
    )
    parser.add_argument("--json", type=Path, metavar="OUT", help="where to write the figures")
    parser.add_argument(
        "--keep",
        action="store_true",
        help="keep the figures of OUT that are not measured anew, each with its own matrix rate",
    )
    parser.add_argument("--plot", type=Path, metavar="DIR", help="where to draw Fig. 3")
    parser.add_argument("--quick", action="store_true", help="measure less, in under a minute")
    parser.add_argument(
        "--threads", type=natural, default=2, metavar="N", help="threads (%(default)s)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    import torch

    from napari_inter2former._files import write_json
    from napari_inter2former.benchmark import FiguresError, available, kept, run_suite
    from napari_inter2former.benchmark._machine import describe

    if arguments.keep and arguments.json is None:
        raise FiguresError("--keep needs --json OUT, the file whose figures are kept.")
    suites = available() if set(arguments.suite) <= {"all"} else tuple(arguments.suite)
    before = torch.get_num_threads()
    torch.set_num_threads(arguments.threads)
    try:
        machine = describe()
        print(
            f"{machine['processor']}, {machine['threads']} threads, kernels: "
            f"{machine['kernels_instruction_set']}, PyTorch: {machine['torch_instruction_set']}, "
            f"encoder: {machine['encoder_precision']}; "
            f"matrix multiplication {machine['matmul_tflops']:.3f} TFLOP/s"
        )
        results = kept(arguments.json, machine) if arguments.keep else {}
        for suite in suites:
            print(f"suite {suite}", file=sys.stderr, flush=True)
            found = run_suite(
                suite, arguments.quick, tuple(arguments.preset), tuple(arguments.side)
            )
            print(table(found), flush=True)
            results |= {result.key: result for result in found}
    finally:
        torch.set_num_threads(before)
    if arguments.json is not None:
        values = {"machine": machine, "results": [one.to_dict() for one in results.values()]}
        write_json(arguments.json, values)
        print(f"written to {arguments.json}")
    if arguments.plot is not None:
        from napari_inter2former.benchmark._plots import plot

        for path in plot(list(results.values()), arguments.plot):
            print(f"written to {path}")
    return 0


def table(results: Sequence[Result]) -> str:
    """Return results as a table of plain text."""
    lines = []
    for result in results:
        line = f"{result.name:<24} {result.preset:<6} {result.size or '':>5} {result.ms:>10.2f} ms"
        if result.ratio is not None:
            line += f"  {result.ratio:>6.1%} of {result.reference_ms:.2f} ms ({result.reference})"
        if result.tflops_share is not None:
            line += f"  {result.tflops_share:.0%} of the matrix rate"
        lines.append(line)
    return "\n".join(lines)
