"""The promises about imports: light at the top, and layers that point one way."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import napari_inter2former

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "napari_inter2former"
TRAINING = ROOT / "training"

GUI = {"napari", "qtpy", "PyQt5", "PyQt6", "PySide2", "PySide6", "vispy", "superqt"}
# The only place where napari or Qt may be imported.
GUI_MODULES = ("_qt",)
# What a layer may import of the package; the lower layers know nothing of the upper ones.
BASE = {
    "_cache",
    "_depth",
    "_disk_blocks",
    "_files",
    "_labels",
    "_processors",
    "_sparse",
    "errors",
}
MAY_IMPORT = {
    "kernels": BASE,
    "model": BASE | {"kernels"},
    "prompts": BASE,
    "images": BASE,
    "weights": BASE | {"model"},
    "predictor": BASE | {"__version__", "images", "kernels", "model", "prompts", "weights"},
    "scripting": BASE | {"images", "predictor", "prompts", "weights"},
    "everything": BASE
    | {"images", "kernels", "model", "predictor", "prompts", "scripting", "weights"},
    "annotation": BASE | {"everything", "images", "predictor", "prompts", "scripting", "weights"},
    "evaluation": BASE | {"__version__", "everything", "images", "predictor", "prompts", "weights"},
    "batch": BASE
    | {
        "__version__",
        "evaluation",
        "everything",
        "images",
        "predictor",
        "prompts",
        "scripting",
        "weights",
    },
    "benchmark": BASE
    | {"__version__", "data", "evaluation", "kernels", "model", "predictor", "prompts", "weights"},
}


def run_python(code: str) -> str:
    """Run code in a fresh interpreter and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def modules() -> list[str]:
    """Names of all modules of the package, relative to it."""
    names = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        if parts and parts[-1] != "__main__":
            names.append(".".join(parts))
    return names


def layer_of(module: str) -> str:
    return module.split(".")[0]


def imported_layers(path: Path) -> set[str]:
    """Parts of the package that a file imports at any depth of its code."""
    found = set()
    inside = path.relative_to(PACKAGE).with_suffix("").parts
    package = inside if path.name == "__init__.py" else inside[:-1]
    if path.name == "__init__.py":
        package = inside[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                base = package[: len(package) - (node.level - 1)]
                prefix = ".".join(("napari_inter2former", *base))
            else:
                prefix = ""
            module = ".".join(part for part in (prefix, node.module or "") if part)
            names = [module]
            if module == "napari_inter2former":
                names = [f"{module}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "napari_inter2former" and len(parts) > 1:
                found.add(parts[1])
    return found


def test_import_is_light_and_fast() -> None:
    code = (
        "import sys, time, json\n"
        "start = time.perf_counter()\n"
        "import napari_inter2former\n"
        "took = time.perf_counter() - start\n"
        "print(json.dumps([took, sorted({name.split('.')[0] for name in sys.modules})]))"
    )
    runs = [json.loads(run_python(code)) for _ in range(3)]
    heavy = {"torch", "numpy", "cv2", "skimage", "scipy"} | GUI
    assert heavy.isdisjoint(runs[0][1])
    assert min(took for took, _ in runs) < 0.3


def test_only_the_widgets_import_napari_or_qt() -> None:
    core = [name for name in modules() if layer_of(name) not in GUI_MODULES]
    imports = "\n".join(f"import napari_inter2former.{name}" for name in core)
    code = f"{imports}\nimport sys\nprint(*sorted({{n.split('.')[0] for n in sys.modules}}))"
    assert GUI.isdisjoint(run_python(code).split())


def test_the_command_line_answers_without_torch() -> None:
    code = (
        "import sys\n"
        "from napari_inter2former.cli import main\n"
        "try:\n"
        "    main(['--help'])\n"
        "except SystemExit as stop:\n"
        "    assert not stop.code\n"
        "assert 'torch' not in sys.modules"
    )
    assert "demo" in run_python(code)


@pytest.mark.parametrize("layer", MAY_IMPORT)
def test_layers_import_one_way(layer: str) -> None:
    folder = PACKAGE / layer
    paths = sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]
    assert paths
    for path in paths:
        foreign = imported_layers(path) - {layer} - MAY_IMPORT[layer]
        # The package's own lazy names count as the module that they come from.
        foreign = {napari_inter2former._MODULE_OF.get(name, name) for name in foreign}
        assert foreign <= MAY_IMPORT[layer] | {layer}, f"{path} imports {sorted(foreign)}"


def test_every_public_name_exists() -> None:
    for name in napari_inter2former.__all__:
        assert getattr(napari_inter2former, name) is not None
    assert set(dir(napari_inter2former)) == set(napari_inter2former.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = napari_inter2former.nothing


def test_lazy_names_are_typed() -> None:
    """The names for type checkers, the table and ``__all__`` are one list."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    block = next(
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    typed = {
        alias.name: str(node.module).split(".")[1]
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert typed == napari_inter2former._MODULE_OF
    assert {*typed, "__version__"} == set(napari_inter2former.__all__)


def test_version_is_that_of_the_installed_package() -> None:
    assert napari_inter2former.__version__ == importlib.metadata.version("napari-inter2former")
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    released = re.findall(r"^## \[?(\d+\.\d+\.\d+)", changelog, flags=re.MULTILINE)
    assert released[0] == napari_inter2former.__version__


def test_modules_stay_readable() -> None:
    """No module grows past 400 lines."""
    long = {
        str(path.relative_to(ROOT)): lines
        for folder in (PACKAGE, TRAINING)
        for path in folder.rglob("*.py")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert not long
