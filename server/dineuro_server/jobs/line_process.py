"""The server's end of a process that answers one JSON object a line, within a time.

The server takes nothing else from it. A process that hangs is killed, and its words are kept.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import time
from typing import Any

#: Seconds for the start of a process.
_START_S = 60.0
#: Bytes of the longest answer.
_LONGEST = 2**16
#: Bytes of a process's last words that are kept.
_LAST_WORDS = 1000


class LineProcess:
    """One process; it answers one request at a time.

    Args:
        module: it writes a line when it is ready.
    """

    def __init__(self, module: str) -> None:
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        self._popen = subprocess.Popen(  # noqa: S603 - our own module, no text of a client
            # -P: no module is imported from the folder in which the server was started.
            [sys.executable, "-P", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # What it writes there may repeat the file, and would forge lines of the server's log.
            stderr=subprocess.PIPE,
            env=os.environ | threads,
        )
        self._started = False
        self._words = b""

    def ask(self, request: dict[str, object], limit_s: float) -> dict[str, Any]:
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

    def _reply(self, limit_s: float) -> dict[str, Any]:
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
        reply: dict[str, Any] = json.loads(line)
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
