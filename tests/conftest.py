"""What every test may rely on: few threads, no network, no writes to the user's folders."""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Before anything imports torch, OpenCV or Qt: they read these once, at import.
_THREADS = str(min(2, os.cpu_count() or 1))
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, _THREADS)
os.environ.setdefault("NAPARI_ASYNC", "0")
# On processors with AMX, too, features are compared to 1e-4; tests of bf16 ask for it.
os.environ.setdefault("INTER2FORMER_PRECISION", "fp32")
os.environ.setdefault("MPLBACKEND", "Agg")
if sys.platform.startswith("linux") and not (
    os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
):
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

_NO_CANVAS = sys.platform.startswith("linux") and os.environ.get("QT_QPA_PLATFORM") == "offscreen"
_LOOPBACK = ("127.", "::1", "localhost")


class NetworkUsedError(RuntimeError):
    """A test tried to reach another machine."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what draws on a canvas where there is no OpenGL, saying how to run it."""
    if not _NO_CANVAS:
        return
    skip = pytest.mark.skip(reason="needs a canvas with OpenGL: run under xvfb-run")
    for item in items:
        if {"make_napari_viewer", "make_napari_viewer_proxy"} & set(
            getattr(item, "fixturenames", ())
        ):
            item.add_marker(skip)


@pytest.fixture(autouse=True, scope="session")
def _no_network() -> Iterator[None]:
    """Fail on any connection that leaves this machine."""
    connect = socket.socket.connect
    connect_ex = socket.socket.connect_ex

    def check(sock: socket.socket, address: Any) -> None:
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            host = str(address[0])
            if not host.startswith(_LOOPBACK):
                raise NetworkUsedError(f"tests must not use the network, this one asked for {host}")

    def guarded_connect(sock: socket.socket, address: Any) -> None:
        check(sock, address)
        connect(sock, address)

    def guarded_connect_ex(sock: socket.socket, address: Any) -> int:
        check(sock, address)
        return connect_ex(sock, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded_connect)
        patch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
        yield


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give every test an empty folder in place of the user's models and caches."""
    home = tmp_path_factory.mktemp("inter2former-home")
    monkeypatch.setenv("INTER2FORMER_HOME", str(home))
    return home
