"""Model cards: what a model was trained on, how good it is, and where it is weak."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_inter2former._files import write_file
from napari_inter2former.errors import Inter2FormerError
from napari_inter2former.model import ModelConfig, build_model

PICTURES = 6
"""So many datasets are shown, those with the lowest IoU after five clicks."""

FREE = re.compile(r"(CC0|MIT|BSD(-[23]-Clause)?|CC BY)( \d\.\d)?", re.IGNORECASE)
"""Licences under which a picture may stand in a card, beside its licence and source line."""

LOW, DROP, FAILED = 0.85, 0.02, 0.25
"""A dataset is a weak spot with a lower IoU after five clicks, a click that lowers the mean IoU by
more, or a larger share of objects that never reach an IoU of 0.9."""


class CardError(Inter2FormerError, ValueError):
    """What a card is made of can't be used."""


@dataclass(frozen=True)
class Origin:
    """Where a dataset is from.

    Attributes
    ----------
    shows, licence, source : str
        What it shows, its licence, and its source.
    """

    shows: str
    licence: str
    source: str

    @property
    def is_free(self) -> bool:
        """Whether its pictures may be shown."""
        return FREE.fullmatch(self.licence) is not None


@dataclass
class CardContent:
    """All that a card tells.

    Attributes
    ----------
    config : ModelConfig
        Of the model.
    training : dict
        As in the weights' metadata: data, hours, steps, masks, machine.
    sha256 : str
        Of the tensors.
    evaluation : dict
        The JSON of ``inter2former evaluate``; empty before the evaluation.
    origins : dict of str to Origin
        Datasets by name, from `read_sources`.
    cases : list of dict
        ``cases.json`` of the evaluation's report, with absolute paths.
    """

    config: ModelConfig
    training: dict[str, Any]
    sha256: str
    evaluation: dict[str, Any] = field(default_factory=dict)
    origins: Mapping[str, Origin] = field(default_factory=dict)
    cases: Sequence[Mapping[str, Any]] = ()


def read_sources(path: Path) -> dict[str, Origin]:
    """Read the table of a pool's ``SOURCES.md``.

    Its columns are found by their heads: ``dataset``, ``what it shows``, ``licence`` and one that
    begins with ``from``.

    Raises
    ------
    CardError
        If there is no such table.
    """
    rows = [
        [cell.strip() for cell in line.strip().strip("|").split("|")]
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.strip().startswith("|")
    ]
    heads = [cell.lower() for cell in rows[0]] if rows else []
    columns = [
        next((i for i, head in enumerate(heads) if head.startswith(name)), -1)
        for name in ("dataset", "what", "licence", "from")
    ]
    if min(columns) < 0:
        raise CardError(f"{path}: no table with the columns dataset, what it shows, licence, from.")
    origins = {}
    for row in rows[2:]:
        if len(row) == len(heads):
            name, shows, licence, source = (row[column] for column in columns)
            if licence:
                origins[name] = Origin(shows, licence, source)
    return origins


def read_cases(report: Path) -> list[dict[str, Any]]:
    """Read which pictures a report in a folder has.

    Raises
    ------
    CardError
        If it is no such folder.
    """
    try:
        cases = json.loads((report / "cases.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CardError(
            f"{report}: no report of `inter2former evaluate --report DIR` ({error})."
        ) from error
    return [{**case, "file": report / case["file"]} for case in cases]


def write_card(weights: Path, content: CardContent) -> Path:
    """Write the card and its pictures beside the weights.

    Parameters
    ----------
    weights : Path
        The card has the same name and the suffix ``.md``; pictures are called
        ``NAME_worst_DATASET.jpg``, and those of an earlier card are removed.
    content : CardContent
        What it tells.

    Returns
    -------
    Path
        Of the card.
    """
    shown = choose_cases(content)
    names = {f"{weights.stem}_worst_{case['dataset']}.jpg": case for case in shown}
    for name, case in names.items():
        write_file(weights.with_name(name), Path(case["file"]).read_bytes())
    for old in weights.parent.glob(f"{weights.stem}_worst_*.jpg"):
        if old.name not in names:
            old.unlink()
    path = weights.with_suffix(".md")
    write_file(path, card_text(weights, content, names).encode())
    return path


def choose_cases(content: CardContent) -> list[Mapping[str, Any]]:
    """Choose the worst object of each of the weakest datasets that may be shown."""
    figures = content.evaluation.get("datasets", {})
    by_weakness = sorted(figures, key=lambda name: figures[name]["iou_at"]["5"] or 0)
    worst: dict[str, Mapping[str, Any]] = {}
    for case in content.cases:
        if case["kind"] == "worst":
            worst.setdefault(case["dataset"], case)
    free = [
        name
        for name in by_weakness
        if name in worst and (origin := content.origins.get(name)) and origin.is_free
    ]
    return [worst[name] for name in free[:PICTURES]]


def card_text(weights: Path, content: CardContent, pictures: Mapping[str, Any]) -> str:
    """Return the text of a card."""
    training = content.training
    parameters = sum(p.numel() for p in build_model(content.config).parameters())
    lines = [
        f"# {weights.stem}",
        "",
        "Inter2Former weights for interactive segmentation of microscopy images.",
        "",
        (
            f"- Preset `{content.config.name}`, {parameters / 1e6:.1f} million parameters, "
            f"{weights.stat().st_size / 2**20:.1f} MiB in half precision."
        ),
        f"- Trained on {training['data']}",
        (
            f"- {training['hours']} hours on {training['machine']}, {training['steps']:,} steps, "
            f"{training['masks']:,} masks with simulated clicks."
        ),
        *_mean_of(training.get("mean_of_hours", [])),
        *_mean_with(training.get("mean_with")),
        *_score(training.get("score", {})),
        "- Images are normalised per channel by percentiles 1 to 99.8.",
        "- Licence: BSD-3-Clause.",
        f"- SHA-256 of the tensors: `{content.sha256}`",
    ]
    figures = content.evaluation.get("datasets", {})
    if figures:
        lines += _figures(figures, content.evaluation["mean"])
        lines += _weak_spots(figures, content.origins, pictures)
    if content.origins:
        lines += _data(content.origins)
    return "\n".join(lines) + "\n"


def _mean_of(hours: list[float]) -> list[str]:
    if not hours:
        return []
    *first, last = (f"{each}" for each in hours)
    parts = f"{', '.join(first)} and {last}"
    return [f"- The weights are the mean of those after {parts} hours."]


def _mean_with(sha256: str | None) -> list[str]:
    if not sha256:
        return []
    return [f"- The weights are the mean of what that gave and of others (`{sha256[:12]}...`)."]


def _score(score: Mapping[str, int]) -> list[str]:
    if not score:
        return []
    masks, windows = f"{score['masks']:,}", f"{score['windows']:,}"
    return [f"- Its score was then taught on {masks} masks in {windows} windows (`score.py`)."]


def _figures(figures: Mapping[str, Any], mean: Mapping[str, Any]) -> list[str]:
    lines = [
        "",
        "## Figures",
        "",
        "IoU after 1, 3, 5 and 10 clicks, clicks needed for IoU 0.85 and 0.90 (20 where it is not",
        "reached), and the most by which a further click lowers the mean IoU (drop), on images, or",
        "parts of images, never trained on. The zoom is found by the predictor.",
        "",
        "| dataset | objects | 1 | 3 | 5 | 10 | NoC85 | NoC90 | drop |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, row in [*sorted(figures.items()), ("**mean**", mean)]:
        cells = [_number(row["iou_at"].get(k), ".3f") for k in ("1", "3", "5", "10")]
        cells += [_number(row["noc"].get(k), ".1f") for k in ("85", "90")]
        cells.append(_number(row.get("largest_drop"), ".3f"))
        lines.append(f"| {name} | {row['objects']} | {' | '.join(cells)} |")
    return lines


def _weak_spots(
    figures: Mapping[str, Any], origins: Mapping[str, Origin], pictures: Mapping[str, Any]
) -> list[str]:
    lines = []
    for name, row in sorted(figures.items(), key=lambda item: item[1]["iou_at"]["5"] or 0):
        reasons = []
        if (row["iou_at"]["5"] or 1) < LOW:
            reasons.append(f"IoU {row['iou_at']['5']:.2f} after five clicks")
        if row["nof"]["90"] > FAILED * row["objects"]:
            reasons.append(f"{row['nof']['90']} of {row['objects']} objects never reach 0.90")
        if (row.get("largest_drop") or 0) > DROP:
            reasons.append(f"a further click may lower the mean IoU by {row['largest_drop']:.3f}")
        if reasons:
            shows = f" ({origins[name].shows})" if name in origins else ""
            lines.append(f"- {name}{shows}: {'; '.join(reasons)}.")
    if not lines and not pictures:
        return []
    lines = ["", "## Known weak spots", "", *(lines or ["No dataset stands out."])]
    if pictures:
        lines += [
            "",
            "The worst object of the weakest datasets, after at most five clicks. Yellow: the true",
            "outline; magenta: the mask; green dots and red crosses: positive and negative clicks.",
        ]
    for picture, case in pictures.items():
        name = case["dataset"]
        lines += [
            "",
            f"![{name}, IoU {case['iou']:.2f} after {case['clicks']} clicks]({picture})",
            "",
            (
                f"{name}: IoU {case['iou']:.2f} after {case['clicks']} clicks. Image: "
                f"{origins[name].source}, {origins[name].licence}."
            ),
        ]
    return lines


def _data(origins: Mapping[str, Origin]) -> list[str]:
    lines = [
        "",
        "## Data",
        "",
        "| dataset | shows | licence | source |",
        "| --- | --- | --- | --- |",
    ]
    lines += [
        f"| {name} | {origin.shows} | {origin.licence} | {origin.source} |"
        for name, origin in origins.items()
    ]
    return lines


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
