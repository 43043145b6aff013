"""Set everything up, then open napari on a sample image with the widget docked.

    python3 scripts/run.py

With no display the same path runs headless, on recorded clicks, into ``demo/``.
Further arguments go to ``inter2former demo``.
"""

from __future__ import annotations

import sys

from _environment import call, has_display, prepare, script


def main(arguments):
    """Set up, run the demo with these arguments, and return its exit status."""
    prepare(["all"])
    if not arguments and not has_display():
        arguments = ["--headless", "--out", "demo"]
    return call([script("inter2former"), "demo", *arguments], check=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
