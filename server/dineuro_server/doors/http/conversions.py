"""Files that are made for one answer: the owners' in turn, volumes in processes of their own.

The libraries that write a volume, and the memory that they take, stay out of the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from dineuro_bridge.errors import DineuroError, ServerStopping, error_for
from dineuro_bridge.scale import Spacing
from dineuro_server.jobs.fair_queue import FairThreads

#: Files that are made at the same time. Threads of their own leave those of other requests free.
_AT_A_TIME = 2
#: Bytes of the longest reply of a process.
_LONGEST = 2**16
_R = TypeVar("_R")


class Conversions:
    """Makes files for answers; safe from several threads."""

    def __init__(self) -> None:
        self._threads = FairThreads(_AT_A_TIME, "conversion")
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._closed = False

    async def run(self, owner: str, make: Callable[[], _R]) -> _R:
        """The outcome of a call that makes a file, once it is its owner's turn."""
        return await asyncio.wrap_future(self._threads.submit(owner, make))

    def convert(self, source: Path, target: Path, spacing: Spacing | None, max_bytes: int) -> None:
        """Write a volume in the format of the target's suffix; blocks.

        Args:
            source: a stored volume.
            target: its suffix names the format; a .tif is compressed.
            spacing: (z, y, x) in µm.
            max_bytes: limit of the volume.

        Raises:
            DineuroError: as `read_volume` and `write_volume`; DiskFull for a full disk.
            ServerStopping: the server ends.
        """
        request = {
            "source": str(source), "target": str(target), "spacing": spacing,
            "max_bytes": max_bytes,
        }  # fmt: skip
        process = self._start()
        try:
            reply = _reply(process, json.dumps(request).encode() + b"\n")
        finally:
            process.kill()
            process.wait()
            with self._lock:
                self._running.discard(process)
        if self._closed:
            raise ServerStopping("the server is shutting down")
        if not reply:
            raise DineuroError(f"{target.name}: the process that converts a volume ended early")
        outcome: dict[str, str] = json.loads(reply)
        if outcome:
            raise error_for(outcome["code"], outcome["detail"])

    def _start(self) -> subprocess.Popen[bytes]:
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        with self._lock:
            if self._closed:
                raise ServerStopping("the server is shutting down")
            process = subprocess.Popen(
                # -P: no module is imported from the folder in which the server was started.
                [sys.executable, "-P", "-m", "dineuro_server.doors.http.conversion_process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=os.environ | threads,
            )
            self._running.add(process)
        return process

    def close(self) -> None:
        """End the processes and the threads."""
        with self._lock:
            self._closed = True
            for process in self._running:
                process.kill()
        self._threads.close()


def _reply(process: subprocess.Popen[bytes], request: bytes) -> bytes:
    """The reply of a process; empty if it ended before."""
    if process.stdin is None or process.stdout is None:
        return b""
    # The process ends with its input, so that it does not outlive a server that was killed.
    with process.stdout, contextlib.suppress(OSError), process.stdin:
        process.stdin.write(request)
        process.stdin.flush()
        return process.stdout.read(_LONGEST)
    return b""
