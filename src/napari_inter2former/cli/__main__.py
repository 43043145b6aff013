"""``python -m napari_inter2former.cli``."""

from __future__ import annotations

from napari_inter2former.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
