"""Make the project's own environment (``.venv``) and install the package into it.

Only the standard library, and only syntax that Python 3.8 can read: on an older
Python the user shall get a sentence, not a traceback. Linux, macOS and Windows.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = Path(os.environ.get("INTER2FORMER_VENV", str(ROOT / ".venv")))
CONSTRAINTS = ROOT / "constraints.txt"
OLDEST, NEWEST = (3, 11), (3, 14)

# PyTorch's public index of CPU-only builds.
CPU_TORCH = "https://download.pytorch.org/whl/cpu"

# What Qt's xcb platform and OpenGL load at run time, and the Debian package of each.
LIBRARIES = {
    "libGL.so.1": "libgl1",
    "libEGL.so.1": "libegl1",
    "libdbus-1.so.3": "libdbus-1-3",
    "libfontconfig.so.1": "libfontconfig1",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-image.so.0": "libxcb-image0",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxcb-randr.so.0": "libxcb-randr0",
    "libxcb-render-util.so.0": "libxcb-render-util0",
    "libxcb-shape.so.0": "libxcb-shape0",
    "libxcb-xfixes.so.0": "libxcb-xfixes0",
    "libxcb-xinerama.so.0": "libxcb-xinerama0",
    "libxcb-xkb.so.1": "libxcb-xkb1",
    "libX11-xcb.so.1": "libx11-xcb1",
}


def say(text):
    """Print a line at once, so that it stays in order with what commands print."""
    print(f"[inter2former] {text}", flush=True)


def call(command, check=True, **options):
    """Run a command, its output shown; return its exit status."""
    status = subprocess.run([str(part) for part in command], check=False, **options).returncode
    if check and status:
        shown = " ".join(str(part) for part in command)
        raise SystemExit(f"[inter2former] failed with exit status {status}: {shown}")
    return status


def check_python():
    """Refuse a Python that the package does not support, naming one that would do."""
    if sys.version_info[:2] >= OLDEST:
        return
    found = [
        f"python3.{minor}"
        for minor in range(NEWEST[1], OLDEST[1] - 1, -1)
        if shutil.which(f"python3.{minor}")
    ]
    advice = (
        f"run this again with {found[0]}"
        if found
        else "install Python 3.12 or newer from https://www.python.org/downloads/"
    )
    raise SystemExit(
        f"[inter2former] this is Python {platform.python_version()}; "
        f"Python {OLDEST[0]}.{OLDEST[1]} or newer is needed: {advice}"
    )


# -- system packages ------------------------------------------------------------------------


def _loads(library):
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def missing_system_packages(testing):
    """Return the names of the Debian packages that are wanted and not there.

    Parameters
    ----------
    testing : bool
        The tests also want a virtual screen (Xvfb) and a compiler for the extension.
    """
    missing = [package for library, package in LIBRARIES.items() if not _loads(library)]
    try:
        import ensurepip  # noqa: F401
    except ImportError:
        missing.append(f"python{sys.version_info[0]}.{sys.version_info[1]}-venv")
    if not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        missing.append(f"python{sys.version_info[0]}.{sys.version_info[1]}-dev")
    if not any(shutil.which(name) for name in ("c++", "g++", "clang++")):
        missing.append("g++")
    if testing and not shutil.which("Xvfb"):
        missing.append("xvfb")
    if testing and not shutil.which("xauth"):
        missing.append("xauth")
    return missing


def install_system_packages(testing):
    """Install what Qt and OpenGL need where that is allowed; name it plainly where not."""
    if not sys.platform.startswith("linux"):
        return
    missing = missing_system_packages(testing)
    if not missing:
        return
    names = " ".join(missing)
    if not shutil.which("apt-get"):
        say(f"missing on this system, by their Debian names (install their like): {names}")
        return
    if os.geteuid() == 0:
        prefix = []
    elif shutil.which("sudo") and not call(
        ["sudo", "-n", "true"], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ):
        prefix = ["sudo", "-n"]
    else:
        say("some system libraries are missing, and installing them needs an administrator:")
        say(f"    sudo apt-get install {names}")
        return
    say(f"installing system packages: {names}")
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    apt = [*prefix, "apt-get", "-qq", "-o", "Dpkg::Use-Pty=0"]
    quiet = {"check": False, "env": environment, "stdout": subprocess.DEVNULL}
    call([*apt, "update"], **quiet)
    install = [*apt, "install", "-y", "--no-install-recommends"]
    if call([*install, *missing], **quiet):
        # One unknown name must not cost the others.
        failed = [name for name in missing if call([*install, name], **quiet)]
        if failed:
            say(f"could not be installed, going on without: {' '.join(failed)}")


# -- the virtual environment ------------------------------------------------------------------


def python():
    """Return the path of the environment's interpreter."""
    return VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def script(name):
    """Return the path of a command installed in the environment."""
    return (
        VENV
        / ("Scripts" if os.name == "nt" else "bin")
        / (f"{name}.exe" if os.name == "nt" else name)
    )


def make_venv():
    """Create the environment unless it works already."""
    if python().exists() and not call(
        [python(), "-m", "pip", "--version"],
        check=False,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ):
        return
    say(f"creating a virtual environment in {VENV}")
    if not call([sys.executable, "-m", "venv", "--clear", VENV], check=False):
        return
    # Debian without python3-venv, and no right to install it: virtualenv brings its own pip.
    if not call([sys.executable, "-m", "virtualenv", "--clear", VENV], check=False):
        return
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    raise SystemExit(
        "[inter2former] this Python cannot make virtual environments; "
        f"on Debian and Ubuntu: sudo apt-get install python{version}-venv"
    )


def pip(*arguments, check=True, **variables):
    """Run the environment's pip, with further environment variables; return its exit status."""
    # scikit-build-core gives a freshly unpacked CMake five seconds to answer, too little on a
    # slow disk; it is more patient where it believes that it runs in continuous integration.
    environment = {"CI": "1", **os.environ, **variables}
    command = [python(), "-m", "pip", "--disable-pip-version-check", *arguments]
    return call(command, check=check, env=environment)


def constraints():
    """Return pip's options for the versions known to work together."""
    return ["-c", CONSTRAINTS] if CONSTRAINTS.exists() else []


def torch_requirement():
    """Return the torch to install: the pinned version, or any."""
    text = CONSTRAINTS.read_text(encoding="utf-8") if CONSTRAINTS.exists() else ""
    pinned = re.search(r"^torch==[\w.]+", text, flags=re.MULTILINE)
    return pinned.group(0) if pinned else "torch"


def _brings_cuda(requirement):
    """Tell whether pip, as set up here, would bring CUDA with torch; None if it finds none."""
    done = subprocess.run(
        [
            str(python()),
            "-m",
            "pip",
            "--disable-pip-version-check",
            "install",
            "--dry-run",
            "--quiet",
            "--ignore-installed",
            "--report",
            "-",
            requirement,
        ],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    if done.returncode:
        return None
    names = [item["metadata"]["name"].lower() for item in json.loads(done.stdout)["install"]]
    return any(name.startswith(("nvidia-", "cuda-", "triton")) for name in names)


def _reachable(url):
    try:
        with urllib.request.urlopen(url + "/torch/", timeout=10):
            return True
    except (OSError, urllib.error.URLError, ValueError):
        return False


def install_torch():
    """Install PyTorch, without gigabytes of CUDA where there is nothing to use them.

    Windows and macOS get CPU builds by default. On Linux the default build
    brings CUDA; it is taken only where there is an NVIDIA card, or where no
    CPU build can be had.
    """
    if not call([python(), "-c", "import torch"], check=False, stderr=subprocess.DEVNULL):
        return
    requirement = torch_requirement()
    for wanted in dict.fromkeys((requirement, "torch")):
        plain = ["install", wanted]
        if not sys.platform.startswith("linux") or shutil.which("nvidia-smi"):
            attempts = [plain]
        else:
            cuda = _brings_cuda(wanted)
            attempts = [plain] if cuda is False else []
            if cuda is not False and _reachable(CPU_TORCH):
                attempts.append([*plain, "--index-url", CPU_TORCH])
            if cuda:
                attempts.append(plain)
        for attempt in attempts:
            say(f"installing {wanted} (a few hundred MB; gigabytes where only CUDA builds exist)")
            if not pip(*attempt, check=False):
                return
    raise SystemExit("[inter2former] PyTorch could not be installed; pip's message is above")


def fingerprint(extras):
    """Return a hash of everything that an installation depends on."""
    digest = hashlib.sha256(repr((extras, sys.version_info[:3], platform.machine())).encode())
    sources = [ROOT / "pyproject.toml", CONSTRAINTS, ROOT / "CMakeLists.txt"]
    sources += sorted((ROOT / "csrc").glob("*"))
    sources.append(ROOT / "src" / "napari_inter2former" / "__init__.py")
    for path in sources:
        if path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()


def install_package(extras):
    """Install the checkout, editable, unless that was done and nothing changed since."""
    stamp = VENV / "inter2former-installed.txt"
    mark = fingerprint(extras)
    if stamp.exists() and stamp.read_text(encoding="utf-8") == mark:
        return
    stamp.unlink(missing_ok=True)
    install_torch()
    say("installing napari-inter2former and what it needs")
    command = ["install", "--quiet", "-e", f"{ROOT}[{','.join(extras)}]"]
    if pip(*command, *constraints(), check=False):
        say("that failed; trying without the C++ extension")
        if not pip(*command, *constraints(), check=False, INTER2FORMER_NO_NATIVE="1"):
            return  # without the mark, so that the next start tries to compile it again
        say("the pinned versions do not fit this system; trying without them")
        pip(*command)
    stamp.write_text(mark, encoding="utf-8")


def prepare(extras, testing=False):
    """Bring a bare machine to where the package runs.

    Parameters
    ----------
    extras : sequence of str
        The package's extras to install.
    testing : bool
        Also install what only the tests use.
    """
    check_python()
    install_system_packages(testing)
    make_venv()
    install_package(tuple(extras))


def has_display():
    """Tell whether a window could be opened."""
    if sys.platform.startswith("linux"):
        return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return True
