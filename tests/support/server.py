"""A real server in a process of its own; volumes for it, small ones and one that takes long."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2 as httpx
import numpy as np

from dineuro_bridge.volumes.formats import write_volume
from dineuro_bridge.volumes.volume import Volume
from tests.support.shapes import line, paint

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = os.pathsep.join(
    str(ROOT / part) for part in ("server", "model", "tracing", "vaa3d_bridge")
)
SHAPE = (16, 24, 48)
VOXELS = paint([line((8, 12, 8), (40, 12, 8))], SHAPE)
#: Parameters of a job that needs no network.
FAST = {"enhancer": "classical", "name": "cell.tif"}


class Server:
    """`dineuro serve` on a free port; its state folder outlives it.

    Args:
        state: the folder.
        modules: a folder that stands before the packages on the module path.
        more: settings by name.
    """

    def __init__(self, state: Path, *, modules: Path | None = None, **more: object) -> None:
        settings = {
            "http": "127.0.0.1:0", "zmq": "off", "state": state, "warm": "false", "log": "text",
            "min_free_gib": 0, **more,
        }  # fmt: skip
        environment = {k: v for k, v in os.environ.items() if not k.startswith("DINEURO_")}
        environment |= {f"DINEURO_{name.upper()}": str(v) for name, v in settings.items()}
        self.log_path = state.with_suffix(".log")
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", "from dineuro_cli import main; main()", "serve"],
                env=environment
                | {"PYTHONPATH": f"{modules}{os.pathsep}{PACKAGES}" if modules else PACKAGES},
                stdout=log,
                stderr=log,
            )
        begin = len(self.log)
        self.url = self.zmq = ""
        until(lambda: self._bound(begin), 120, "the server to listen")

    def _bound(self, begin: int) -> bool:
        """Whether it says where it listens, after what earlier servers of the folder have said."""
        assert self.process.poll() is None, self.log
        said = self.log[begin:]
        found = re.findall(r"HTTP at (http://\S+)", said)
        self.url = found[-1] if found else ""
        self.zmq = "".join(re.findall(r"ZeroMQ at (tcp://[^\s,]+)", said)[-1:])
        try:
            return bool(self.url) and httpx.get(f"{self.url}/livez").status_code == 200
        except httpx.TransportError:
            return False

    @property
    def log(self) -> str:
        """All that was logged, by earlier servers of the folder too."""
        return self.log_path.read_text()

    def client(self, token: str | None = None) -> httpx.Client:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60)

    def worker(self) -> int:
        """The process of its worker."""
        ready = re.findall(r"is ready \(process (\d+)\)", self.log)
        return int(ready[-1])

    def kill(self) -> None:
        """As if the machine had lost its power."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """As systemd stops it."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def until(happened: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait for something, but not for ever."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.02)


def job_after(client: httpx.Client, path: str, seconds: float = 60) -> dict[str, Any]:
    """The job at an address once it has ended."""
    until(
        lambda: client.get(path).json()["state"] in ("done", "failed", "cancelled"), seconds, path
    )
    job: dict[str, Any] = client.get(path).json()
    return job


def small(path: Path) -> bytes:
    """A small neuron in the format of the suffix."""
    write_volume(path, Volume(VOXELS[None], spacing=(1.0, 0.5, 0.5)))
    return path.read_bytes()


def other(number: int) -> bytes:
    """Another small neuron for every number, as .v3draw."""
    header = b"raw_image_stack_by_hpengL" + (1).to_bytes(2, "little")
    voxels = VOXELS.copy()
    voxels[0, 0, 0] = number
    return header + np.array([*SHAPE[::-1], 1], "<i4").tobytes() + voxels.tobytes()


def slow(path: Path) -> bytes:
    """A grid that takes some ten seconds with `enhancer=none&trees=all`, packed small."""
    voxels = np.zeros((40, 240, 240), dtype=np.uint8)
    voxels[::4, ::4, :] = voxels[::4, :, ::8] = 200
    write_volume(path, Volume(voxels[None]), compress=True)
    return path.read_bytes()


SLOW = {"enhancer": "none", "trees": "all", "name": "grid.tif"}
