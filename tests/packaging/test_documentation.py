"""Every Python example in the README and in docs/ runs, and every command it names exists."""

from __future__ import annotations

import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest
from torch.distributed.run import get_args_parser

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    return [text for name, text in found if name == language]


PAGES_WITH_PYTHON = [page for page in PAGES if blocks(page, "python")]


@pytest.mark.parametrize("page", PAGES_WITH_PYTHON, ids=lambda page: page.name)
def test_python_examples_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks of one page run one after the other, in one namespace, as a reader would."""
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    for number, code in enumerate(blocks(page, "python"), start=1):
        exec(compile(code, f"{page.name}, example {number}", "exec"), namespace)


def test_the_readme_has_one_command_to_run_and_one_to_test() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for heading, script in (("Run", "run.py"), ("Test", "test.py")):
        section = re.split(r"^## ", text, flags=re.MULTILINE)
        (body,) = [part for part in section if part.startswith(f"{heading}\n")]
        found = BLOCK.findall(body)
        assert len(found) == 1
        command = found[0][1].strip()
        assert "\n" not in command
        assert command == f"python3 scripts/{script}"
        assert (ROOT / "scripts" / script).is_file()


def anchors(page: Path) -> set[str]:
    """Return the anchors that a forge gives the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_between_the_pages_lead_somewhere() -> None:
    checked = 0
    for page in PAGES:
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
            if link.startswith("http"):
                continue
            name, _, anchor = link.partition("#")
            target = page.parent / name if name else page
            assert target.exists(), f"{page.name}: {link}"
            assert not anchor or anchor in anchors(target), f"{page.name}: {link}"
            checked += 1
    assert checked > 20


def test_commands_in_the_pages_exist() -> None:
    """Each ``inter2former WORD`` is a subcommand and each named script is there."""
    from napari_inter2former.cli import main

    for page in PAGES:
        for code in blocks(page, "bash"):
            for word in re.findall(r"^inter2former (\w+)", code, flags=re.MULTILINE):
                with pytest.raises(SystemExit) as stop:
                    main([word, "--help"])
                assert not stop.value.code, f"{page.name}: inter2former {word}"
            for script in re.findall(r"\b((?:scripts|training|benchmarks)/\w+\.py)", code):
                assert (ROOT / script).is_file(), f"{page.name}: {script}"


def commands() -> list[list[str]]:
    """Return the words of all commands in blocks and between single backticks."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        lines = [line for code in blocks(page, "bash") for line in code.splitlines()]
        lines += re.findall(r"`((?:[A-Z0-9_]+=\S+ )*(?:inter2former|python) [^`\n]+)`", text)
        found += [shlex.split(line, comments=True) for line in lines]
    return found


def test_options_in_the_pages_exist(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    known: dict[tuple[str, ...], set[str]] = {}
    checked = 0
    for words in commands():
        while words and "=" in words[0]:  # environment variables
            words = words[1:]
        if words[:1] == ["torchrun"]:
            run = get_args_parser().parse_args(words[1:])
            words = ["python", run.training_script, *run.training_script_args]
        if words[:2] == ["python", "-m"]:
            module = words[2].removeprefix("napari_inter2former.").replace(".", "/")
            words = ["python", f"{module}.py", *words[3:]]
        if len(words) < 3 or words[0] not in ("python", "inter2former"):
            continue
        used = {word.partition("=")[0] for word in words if word.startswith("--")}
        command = tuple(words[:2])
        if used and command not in known:
            known[command] = options(command, capsys, monkeypatch)
        assert used <= known.get(command, used), shlex.join(words)
        checked += len(used)
    assert checked > 50


def options(
    command: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> set[str]:
    """Return the options that a subcommand or a script tells when it is asked."""
    from napari_inter2former.cli import main

    def ask() -> None:
        if command[0] == "inter2former":
            main([command[1], "--help"])
        script = ROOT / command[1]
        monkeypatch.setattr(sys, "argv", [command[1], "--help"])
        monkeypatch.syspath_prepend(str(script.parent))
        runpy.run_path(str(script), run_name="__main__")

    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        ask()
    assert not stop.value.code, command
    return set(re.findall(r"--[\w-]+", capsys.readouterr().out))


def test_local_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#\s]+)\)", page.read_text(encoding="utf-8")):
            if not target.startswith(("http://", "https://", "mailto:")):
                assert (page.parent / target).exists(), f"{page.name}: {target}"
