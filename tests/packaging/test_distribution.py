"""What lands on a user's disk, and what napari and pip read about it."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("scikit_build_core", reason="the build backend is not installed")

ROOT = Path(__file__).parents[2]
PACKAGED = {
    "src/napari_inter2former": "napari_inter2former",
    "training": "napari_inter2former/training",
    "weights": "napari_inter2former/weights",
}


def build(kind: str, folder: Path, **environment: str) -> Path:
    """Build a wheel or an sdist of the checkout, in this environment."""
    code = f"import scikit_build_core.build as b, sys; b.build_{kind}(sys.argv[1], {{}})"
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        cwd=ROOT,
        env={**os.environ, "SKBUILD_BUILD_DIR": str(folder / "build"), **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return path


def shipped_files() -> set[str]:
    """Every file of the packaged folders, by its name in the wheel."""
    return {
        f"{target}/{path.relative_to(ROOT / source).as_posix()}"
        for source, target in PACKAGED.items()
        for path in (ROOT / source).rglob("*")
        if path.is_file()
        and "__pycache__" not in path.parts
        and path.suffix not in {".pyc", ".so", ".pyd", ".dylib", ".log"}
    }


def test_wheel_holds_the_whole_package(tmp_path: Path) -> None:
    wheel = build("wheel", tmp_path, INTER2FORMER_NO_NATIVE="1")
    assert wheel.name.endswith("-py3-none-any.whl")
    assert wheel.stat().st_size < 40 * 2**20
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        extra = {name for name in archive.namelist() if ".dist-info/" in name}
    assert names == shipped_files()
    for name in ("__init__.py", "py.typed", "napari.yaml", "training/__init__.py"):
        assert f"napari_inter2former/{name}" in names
    assert any(name.endswith("/LICENSE") for name in extra)


def test_wheel_without_a_compiler_is_pure_python(tmp_path: Path) -> None:
    nothing = str(tmp_path / "no-such-compiler")
    wheel = build("wheel", tmp_path, CXX=nothing, CC=nothing, INTER2FORMER_REQUIRE_NATIVE="0")
    assert wheel.name.endswith("-py3-none-any.whl")


def test_sdist_can_build_everything(tmp_path: Path) -> None:
    sdist = build("sdist", tmp_path)
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {"pyproject.toml", "CMakeLists.txt", "LICENSE", "README.md", "PKG-INFO"}
    assert wanted <= names
    assert any(name.startswith("csrc/") and name.endswith(".cpp") for name in names)
    assert any(name.startswith("weights/") for name in names)
    assert any(name.startswith("tests/") for name in names)
    assert not any(name.startswith(("build/", "runs/", ".venv")) for name in names)


def test_metadata_names_no_qt() -> None:
    """A plugin that pulls in a Qt of its own breaks other people's environments."""
    metadata = importlib.metadata.metadata("napari-inter2former")
    requires = importlib.metadata.requires("napari-inter2former") or []
    base = [line.lower() for line in requires if "extra ==" not in line]
    assert not [line for line in base if "pyqt" in line or "pyside" in line or "napari[" in line]
    assert "Framework :: napari" in metadata.get_all("Classifier", [])
    assert metadata["License-Expression"] == "BSD-3-Clause"


def test_napari_finds_the_plugin() -> None:
    npe2 = pytest.importorskip("npe2")
    manifest = npe2.PluginManifest.from_distribution("napari-inter2former")
    assert manifest.name == "napari-inter2former"
    manifest.validate_imports()
