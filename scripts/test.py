"""Set everything up, then run the linters, the type checker and the tests.

    python3 scripts/test.py

Further arguments go to pytest, and then only pytest runs: ``python3
scripts/test.py tests/model -k edges``.
"""

from __future__ import annotations

import os
import shutil
import sys

from _environment import ROOT, call, has_display, prepare, python, say


def pytest_command(arguments):
    """Return the command that runs pytest, on a virtual screen where that is possible.

    A virtual screen is preferred to Qt's offscreen platform (which has no
    OpenGL, so no canvas), and to a real screen (where a moving mouse or a
    tiling window manager changes the tests).
    """
    command = [python(), "-m", "pytest", *arguments]
    if not sys.platform.startswith("linux"):
        return command
    if shutil.which("xvfb-run") and shutil.which("xauth"):
        return ["xvfb-run", "-a", "-s", "-screen 0 1280x1024x24", *command]
    if not has_display():
        say("no Xvfb and no display: tests that draw on a canvas are skipped")
    return command


def main(arguments):
    """Set up, check everything, and return the exit status."""
    prepare(["all", "test", "lint"], testing=True)
    os.chdir(ROOT)
    failed = []
    if not arguments:
        checks = {
            "ruff check": ["-m", "ruff", "check", "."],
            "ruff format": ["-m", "ruff", "format", "--check", "."],
            "mypy": ["scripts/check_types.py"],
        }
        for name, command in checks.items():
            say(f"{name} ...")
            if call([python(), *command], check=False):
                failed.append(name)
    say("pytest ...")
    if failed:
        say(f"(failed before the tests: {', '.join(failed)})")
    if call(pytest_command(arguments), check=False):
        failed.append("pytest")
    if failed:
        say(f"FAILED: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
