"""The server's end of a worker process; both ends exchange one JSON object a line.

The two processes share no memory and no pickles. A worker that crashes, hangs or runs out of
memory ends its own job only. `workers.main` is the other end.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from typing import Any

import psutil


class Gone(Exception):
    """The worker process has ended."""


class WorkerProcess:
    """A started worker, which sends {"ready": …} once it is warm.

    Args:
        device: "auto", "cpu" or "cuda:N".
        warm: whether the worker loads the network and compiles before it is ready.
        log: "text" or "json": the worker's log style on the server's standard error.
    """

    def __init__(self, device: str, *, warm: bool, log: str) -> None:
        environment = dict(os.environ)
        name, _, number = device.partition(":")
        if number:
            environment["CUDA_VISIBLE_DEVICES"] = number
        elif name == "cpu":
            environment["CUDA_VISIBLE_DEVICES"] = ""
        words = [sys.executable, "-m", "dineuro_server.workers.main", name, log]
        self._process = subprocess.Popen(  # noqa: S603 - our own module, no text of a client
            [*words, *(["warm"] if warm else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            # Ctrl-C at the terminal is for the server, which ends its workers.
            start_new_session=True,
        )
        self.pid = self._process.pid
        self._watched = psutil.Process(self.pid)
        self._messages: queue.Queue[dict[str, Any] | None] = queue.Queue()
        threading.Thread(target=self._listen, name=f"worker {self.pid}", daemon=True).start()

    def _listen(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - a pipe, see above
        with self._process.stdout as lines:
            for line in lines:
                # A worker that is killed while it writes leaves an incomplete line.
                with contextlib.suppress(ValueError):
                    self._messages.put(json.loads(line))
        self._messages.put(None)

    def send(self, message: dict[str, Any]) -> None:
        """Send a message to the worker.

        Raises:
            Gone: the worker has ended.
        """
        assert self._process.stdin is not None  # noqa: S101 - a pipe, see above
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except (OSError, ValueError) as error:
            raise Gone from error

    def receive(self, timeout: float) -> dict[str, Any] | None:
        """The worker's next message; None if there is none within `timeout` seconds.

        Raises:
            Gone: the worker has ended.
        """
        try:
            message = self._messages.get(timeout=timeout)
        except queue.Empty:
            return None
        if message is None:
            self._messages.put(None)
            raise Gone
        return message

    def memory(self) -> int:
        """Bytes of the worker's own memory, without the files that are mapped into it."""
        try:
            used = self._watched.memory_info()
        except psutil.Error:
            return 0
        return int(used.rss) - int(getattr(used, "shared", 0))

    def kill(self) -> None:
        """End the worker and the processes that it started at once."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._close()

    def stop(self, timeout: float) -> None:
        """End the worker once it is idle, or after `timeout` seconds."""
        assert self._process.stdin is not None  # noqa: S101 - a pipe, see above
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._close()

    def _close(self) -> None:
        self._process.wait()
        with contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
