"""Headers of uploads are read in processes of their own, bounded in time and memory.

A header is the sender's: a file of a few kilobytes can ask a library for hours or for gigabytes.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import selectors
import subprocess
import sys
import threading
import time
from pathlib import Path

from dineuro_bridge.errors import BadFile, error_for

#: Seconds for one header; a usual one takes milliseconds.
LIMIT_S = 5.0
#: Seconds for the start of a process.
_START_S = 60.0
_PROCESSES = 2
#: Bytes of the longest answer.
_LONGEST = 2**16
#: Bytes of a process's last words that the log keeps.
_LAST_WORDS = 1000

log = logging.getLogger(__name__)


class HeaderReader:
    """A few processes that read headers, started when they are needed; safe from several threads.

    Args:
        limit_s: seconds after which a header is refused and its process replaced.
    """

    def __init__(self, limit_s: float = LIMIT_S) -> None:
        self._limit_s = limit_s
        self._free = threading.Semaphore(_PROCESSES)
        self._lock = threading.Lock()
        self._idle: list[_Process] = []
        self._closed = False

    def prepare(self) -> None:
        """Start a process if there is none, without waiting for it."""
        with self._lock:
            if not self._idle and not self._closed and self._free.acquire(blocking=False):
                try:
                    self._idle.append(_Process())
                finally:
                    self._free.release()

    def suffix(self, path: Path, max_bytes: int) -> str:
        """Check a file's header, and return the suffix that fits its content.

        Raises:
            BadFile: the header takes too long, or too much memory.
            DineuroError: as `open_volume` and `Header.check`.
        """
        request: dict[str, object] = {
            "path": str(path),
            "max_bytes": max_bytes,
            "limit_s": self._limit_s,
        }
        try:
            with self._free:
                try:
                    reply = self._ask(request)
                except (EOFError, BrokenPipeError):
                    # The process may have died for another reason, before this request.
                    reply = self._ask(request)
        except (EOFError, BrokenPipeError, TimeoutError) as error:
            raise BadFile(
                f"{path}: its header cannot be read within {self._limit_s:g} s and the memory of "
                "a header: it is damaged, or no microscope wrote it"
            ) from error
        if "code" in reply:
            raise error_for(reply["code"], reply["detail"])
        return reply["suffix"]

    def _ask(self, request: dict[str, object]) -> dict[str, str]:
        """The answer of an idle process or of a new one."""
        with self._lock:
            process = self._idle.pop() if self._idle else None
        process = process or _Process()
        try:
            reply = process.ask(request, self._limit_s)
        except BaseException:
            words = process.end()
            log.warning("a process that reads headers has ended: %s", words or "without a word")
            raise
        self._keep(process)
        return reply

    def _keep(self, process: _Process) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(process)
                return
        process.end()

    def close(self) -> None:
        """End the processes; a header that is being read is finished first."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for process in idle:
            process.end()


class _Process:
    """One process; it answers one request at a time."""

    def __init__(self) -> None:
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        self._popen = subprocess.Popen(
            # -P: no module is imported from the folder in which the server was started.
            [sys.executable, "-P", "-m", "dineuro_server.jobs.header_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # What it writes there may repeat the file, and would forge lines of the server's log.
            stderr=subprocess.PIPE,
            env=os.environ | threads,
        )
        self._started = False
        self._words = b""

    def ask(self, request: dict[str, object], limit_s: float) -> dict[str, str]:
        """The answer to a request.

        Raises:
            TimeoutError: it took longer.
            EOFError, BrokenPipeError: the process died.
        """
        if not self._started:
            self._reply(_START_S)
            self._started = True
        if self._popen.stdin is not None:
            self._popen.stdin.write(json.dumps(request).encode() + b"\n")
            self._popen.stdin.flush()
        return self._reply(limit_s)

    def _reply(self, limit_s: float) -> dict[str, str]:
        """The next line."""
        deadline, line = time.monotonic() + limit_s, b""
        with selectors.DefaultSelector() as selector:
            for pipe in (self._popen.stdout, self._popen.stderr):
                if pipe is not None:
                    selector.register(pipe.fileno(), selectors.EVENT_READ, pipe)
            while not line.endswith(b"\n"):
                ready = selector.select(max(0.0, deadline - time.monotonic()))
                if not ready or time.monotonic() > deadline:
                    raise TimeoutError
                for key, _ in ready:
                    piece = os.read(key.fd, _LONGEST)
                    if key.data is self._popen.stdout:
                        line += piece
                        if not piece or len(line) > _LONGEST:
                            raise EOFError
                    elif piece:
                        self._words = (self._words + piece)[-_LAST_WORDS:]
                    else:
                        selector.unregister(key.fd)
        reply: dict[str, str] = json.loads(line)
        return reply

    def end(self) -> str:
        """Kill the process and wait for its end.

        Returns:
            The last that it wrote to its standard error.
        """
        self._popen.kill()
        self._popen.wait()
        if self._popen.stderr is not None:
            os.set_blocking(self._popen.stderr.fileno(), False)
            with contextlib.suppress(BlockingIOError):
                self._words += os.read(self._popen.stderr.fileno(), _LONGEST)
        for pipe in (self._popen.stdin, self._popen.stdout, self._popen.stderr):
            # Closing flushes, which fails where the process died before it read its input.
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()
        return self._words[-_LAST_WORDS:].decode(errors="replace").strip()
