"""The tables of docs/performance.md, from what ``inter2former benchmark --json`` wrote.

``python benchmarks/tables.py docs/performance/benchmark.json`` prints them.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

REFERENCE_TFLOPS = 0.25
"""Matrix-multiply rate that aims in milliseconds are for."""

AIMS_MS = {
    ("click/area=0.02", "tiny", 1024): 8.0,
    ("click/area=0.5", "tiny", 1024): 30.0,
    ("click/first", "tiny", 1024): 40.0,
    ("click/area=0.02", "base", 1024): 14.0,
    ("click/area=0.5", "base", 1024): 70.0,
    ("click/first", "base", 1024): 90.0,
    ("encode/1024", "tiny", 1024): 350.0,
}
"""Times that a click and encoding in fp32 are meant to take at that rate."""

PARTS = {
    "embed": "prompt embedding (DPE), edge map",
    "attend": "hybrid attention (DHA), linear layers",
    "refine": "experts (HMoE)",
    "locate": "localisation",
    "upsample": "upsampling (DLU), prompt skips",
    "rest": "reference mask, score, mask and box",
}

SHOWN = {"": 0, "tiny": 1, "small": 2, "base": 3}
"""Order of the presets."""

Rows = dict[tuple[str, str, int], dict[str, Any]]


def number(value: float | None) -> str:
    """Three digits, or nothing."""
    return "" if value is None else f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"


def times(rows: Rows) -> list[str]:
    """Every time beside its reference and its aim at the rate of its own run."""
    lines = [
        "| | size | ms | reference, ms | share | aim, ms | rate, TFLOP/s | share of rate |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for key, row in rows.items():
        name, preset, size = key
        rate = row["rate"]
        aim = AIMS_MS.get(key) if row.get("precision", "fp32") == "fp32" else None
        scaled = aim * REFERENCE_TFLOPS / rate if aim and rate else None
        share = row["tflops_share"]
        cells = [
            f"`{preset}` {name}" if preset else name,
            str(size or ""),
            number(row["ms"]),
            number(row["reference_ms"]),
            f"{row['ratio']:.0%}" if row["ratio"] else "",
            number(scaled),
            f"{rate:.3f}" if rate else "",
            f"{share:.0%}" if share else "",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def click_parts(rows: Rows, preset: str, size: int) -> list[str]:
    """Where the time of a click goes."""
    names = ("click/area=0.02", "click/area=0.5", "click/first")
    found = [rows.get((name, preset, size)) for name in names]
    if not all(row and row.get("parts") for row in found):
        return []
    lines = [
        f"| `{preset}` at {size} x {size}, ms | 2 % | 50 % | first |",
        "| --- | ---: | ---: | ---: |",
    ]

    def line(title: str, values: list[float]) -> None:
        lines.append(f"| {title} | " + " | ".join(number(v) for v in values) + " |")

    clicks = [row for row in found if row]
    line("plain PyTorch twin", [row["reference_ms"] for row in clicks])
    line("compiled", [row["ms"] for row in clicks])
    for part, title in PARTS.items():
        line(title, [row["parts"][part] for row in clicks])
    return lines


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("figures", type=Path)
    figures = json.loads(parser.parse_args().figures.read_text(encoding="utf-8"))
    kinds = [r["name"].partition("/")[0] for r in figures["results"]]
    results = sorted(
        figures["results"],
        key=lambda r: (kinds.index(r["name"].partition("/")[0]), SHOWN[r["preset"]], r["size"]),
    )
    rows: Rows = {(r["name"], r["preset"], r["size"]): r for r in results}
    for preset, size in dict.fromkeys((preset, size) for _, preset, size in rows):
        if lines := click_parts(rows, preset, size):
            print("\n".join([*lines, ""]))
    print("\n".join(times(rows)))


if __name__ == "__main__":
    main()
