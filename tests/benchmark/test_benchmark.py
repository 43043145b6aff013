"""The benchmark command: names, figures, files. Nothing here depends on how fast anything is."""

from __future__ import annotations

import json
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
    values = json.loads(out.read_text())
    values["machine"]["threads"] = 99
    out.write_text(json.dumps(values))
    before = out.read_text()
    assert main([*arguments, "--suite", "encoder", "--keep"]) != 0
    assert out.read_text() == before


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
