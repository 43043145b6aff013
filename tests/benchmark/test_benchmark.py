"""The benchmark command: names, figures, files. Nothing here depends on how fast anything is."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest
import torch

from napari_inter2former import benchmark, kernels
from napari_inter2former.benchmark import Result, decoder, encoder, parts, sat, start
from napari_inter2former.benchmark import _scene as scenes
from napari_inter2former.benchmark._plots import plot
from napari_inter2former.benchmark._timing import medians
from napari_inter2former.cli import main
from napari_inter2former.predictor._engine import Engine

TABLES = Path(__file__).parents[2] / "benchmarks" / "tables.py"


def result(name: str, preset: str = "tiny", ms: float = 1.0, reference_ms: float = 4.0) -> Result:
    return Result(
        suite="kernels",
        name=name,
        preset=preset,
        ms=ms,
        reference="twin",
        reference_ms=reference_ms,
    )


def test_ratio_and_share() -> None:
    one = Result(
        suite="s",
        name="n",
        preset="p",
        ms=10,
        reference_ms=40,
        gflop=1.0,
        rate=0.2,
        figures={"k": 1},
    )
    values = one.to_dict()
    assert values["ratio"] == 0.25
    assert values["tflops_share"] == pytest.approx(0.5)  # 0.1 of 0.2 TFLOP/s
    assert values["k"] == 1
    assert Result(suite="s", name="n", preset="p", ms=10).to_dict()["ratio"] is None
    assert Result.from_dict(values) == one


def test_medians_call_each_in_turn() -> None:
    calls: list[str] = []
    ms = medians({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 0.0, 3)
    assert calls == ["a", "b"] * 4
    assert set(ms) == {"a", "b"}


@pytest.mark.parametrize("area", [0.02, 0.5, 1.0])
def test_scenes_have_the_wanted_area(area: float) -> None:
    known = scenes.scene(256, area)
    assert known.mask.float().mean().item() == pytest.approx(area, abs=0.003)
    assert known.reference.shape == (256, 256)
    row, column = known.click
    assert known.mask[row, column]


def test_a_network_of_random_weights_draws_the_object() -> None:
    network = scenes.model("tiny")
    known = scenes.scene(128, 0.1, first=True)
    features = network.encode(scenes.image(128))
    engine = Engine(network, 1 << 20)
    with scenes.seen(network, known.mask):
        mask = decoder.click(engine, features, known)
        with decoder.plainly(network):
            plain = decoder.click(engine, decoder.plain(features), known)
        decoder.click(
            engine, features, known._replace(click=(36, 36))
        )  # beside the object, in its box
        assert decoder.click(engine, features, known).area == mask.area
    assert (torch.from_numpy(mask.to_full((128, 128))) == known.mask).all()
    assert mask.box == plain.box
    assert "decode" not in vars(network)


def test_every_suite_is_there_and_named() -> None:
    assert {"kernels", "decoder", "encoder", "sat", "start"} <= set(benchmark.available())


def test_operations_of_the_encoder_grow_with_the_image() -> None:
    small, large = encoder.gflop("tiny", 128), encoder.gflop("tiny", 256)
    assert 2 < large / small < 8


@pytest.fixture
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make all images small and the networks tiny."""
    monkeypatch.setattr(decoder, "SIDES", (64,))
    monkeypatch.setattr(encoder, "SIDES", (64,))
    monkeypatch.setattr(sat, "SIDE", 64)
    monkeypatch.setattr(parts, "SIDE", 64)
    monkeypatch.setattr(parts.experts, "run", lambda quick: [result("hmoe/experts=8")])


@pytest.mark.usefixtures("little")
@pytest.mark.parametrize(
    ("suite", "names"),
    [
        ("decoder", {"click/area=0.02", "click/area=0.5", "click/first"}),
        ("encoder", {"encode/64"}),
        ("sat", {"sat/16x16", "spc/20", "spc/online"}),
        ("kernels", {"dpe/area=0.02", "dlu/area=0.02", "dha/area=0.02", "hmoe/experts=8"}),
    ],
)
def test_the_command_writes_the_promised_names(
    suite: str, names: set[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if suite == "kernels" and not kernels.native_available():
        pytest.skip("needs the compiled extension")
    out, folder = tmp_path / "figures.json", tmp_path / "plots"
    arguments = ["--quick", "--suite", suite, "--threads", "1", "--preset", "tiny"]
    assert main(["benchmark", *arguments, "--json", str(out), "--plot", str(folder)]) == 0
    values = json.loads(out.read_text())
    assert values["machine"]["threads"] == 1
    assert values["machine"]["matmul_tflops"] > 0
    assert names <= {one["name"] for one in values["results"]}
    for one in values["results"]:
        assert one["ms"] > 0
        assert {"suite", "name", "preset", "reference_ms", "ratio", "tflops_share"} <= set(one)
    printed = capsys.readouterr().out
    assert all(name in printed for name in names)


@pytest.mark.usefixtures("little")
def test_figures_are_added_to_those_of_an_earlier_run(tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    arguments = ["benchmark", "--quick", "--threads", "1", "--preset", "tiny", "--json", str(out)]
    assert main([*arguments, "--suite", "encoder"]) == 0
    first = json.loads(out.read_text())["results"]
    assert main([*arguments, "--suite", "encoder", "--suite", "sat", "--keep"]) == 0
    names = [one["name"] for one in json.loads(out.read_text())["results"]]
    assert names == [first[0]["name"], "sat/16x16", "spc/online", "spc/20"]
    for key, value in {"threads": 99, "encoder_precision": "bf16"}.items():
        values = json.loads(out.read_text())
        values["machine"][key] = value
        other = tmp_path / f"{key}.json"
        other.write_text(before := json.dumps(values))
        wrong = [*arguments, "--json", str(other), "--suite", "encoder", "--keep"]
        assert main(wrong) != 0
        assert other.read_text() == before


@pytest.mark.usefixtures("little")
def test_the_precision_of_encoding_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = {"float32": 1.0, "bfloat16": 2.0}
    monkeypatch.setattr(encoder, "matmul_rate", rates.get)
    out = tmp_path / "figures.json"
    arguments = ["benchmark", "--quick", "--threads", "1", "--suite", "encoder"]
    for precision, rate in (("fp32", 1.0), ("bf16", 2.0)):
        monkeypatch.setenv("INTER2FORMER_PRECISION", precision)
        assert main([*arguments, "--json", str(out)]) == 0
        values = json.loads(out.read_text())
        assert values["machine"]["encoder_precision"] == precision
        first = values["results"][0]
        assert (first["precision"], first["rate"]) == (precision, rate)
        assert f"encoder: {precision}" in capsys.readouterr().out


def test_tables_show_both_sizes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shares = {"embed": 1, "attend": 2, "refine": 3, "locate": 4, "upsample": 5, "rest": 6}
    figures = {"reference_ms": 9.0, "rate": 0.25, "tflops_share": None, "ratio": 0.5}
    results = [
        {"name": name, "preset": "tiny", "size": size, "ms": 8.0, "parts": shares, **figures}
        for size in (2048, 1024)
        for name in ("click/area=0.02", "click/area=0.5", "click/first")
    ]
    path = tmp_path / "figures.json"
    path.write_text(json.dumps({"results": results}))
    monkeypatch.setattr(sys, "argv", ["tables.py", str(path)])
    runpy.run_path(str(TABLES), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "2 % | 50 %" in line] == [
        f"| `tiny` at {size} x {size}, ms | 2 % | 50 % | first |" for size in (1024, 2048)
    ]
    # The aim is one for 1024 pixels.
    assert "| `tiny` click/area=0.02 | 1024 | 8 | 9 | 50% | 8 | 0.250 |  |" in lines
    assert "| `tiny` click/area=0.02 | 2048 | 8 | 9 | 50% |  | 0.250 |  |" in lines


def test_plots(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    results = [result(f"{part}/area={area}") for part in ("dpe", "dlu") for area in (0.02, 0.5)]
    results += [result(f"hmoe/experts={n}", "base") for n in (4, 64)]
    results.append(result("click/first"))
    written = plot(results, tmp_path)
    assert [path.name for path in written] == ["fig3a-dpe.png", "fig3c-hmoe.png", "fig3d-dlu.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written)


def test_times_of_the_first_use(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {start._IMPORT: "0.25", start._FIRST_CLICK: "[0.5, 1.5]"}
    monkeypatch.setattr(start, "_python", lambda code, *arguments: answers[code])
    first, second = start.run(quick=True)
    assert (first.name, first.ms) == ("import", 250)
    assert (second.ms, second.to_dict()["loading_ms"]) == (1500, 500)
