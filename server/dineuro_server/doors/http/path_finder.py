"""Finds paths in the stored probabilities of jobs, in a process that is started when it is needed.

The libraries that search, and the memory that they take, stay out of the server.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from dineuro_bridge.errors import DineuroError, ServerStopping, TimeLimit, error_for
from dineuro_server.jobs.fair_queue import FairThreads
from dineuro_server.jobs.line_process import LineProcess

#: Seconds for one path, with the unpacking of the probability; a usual one takes less than one.
LIMIT_S = 20.0
_MODULE = "dineuro_server.doors.http.path_process"


class PathFinder:
    """One process that finds paths, for the owners in turn.

    Args:
        limit_s: seconds after which a path is given up and the process replaced.
    """

    def __init__(self, limit_s: float = LIMIT_S) -> None:
        self._limit_s = limit_s
        self._threads = FairThreads(1, "path")
        self._lock = threading.Lock()
        self._process: LineProcess | None = None
        self._closed = False

    async def find(self, owner: str, request: dict[str, Any]) -> dict[str, Any]:
        """The answer of the process to a request, once it is its owner's turn.

        Raises:
            TimeLimit: the search takes too long.
            ServerStopping: the server ends.
            DineuroError: as `path_between` and `read_volume`.
        """
        call = self._threads.submit(owner, lambda: self._ask({**request, "limit_s": self._limit_s}))
        return await asyncio.wrap_future(call)

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            if self._closed:
                raise ServerStopping("the server is shutting down")
            process = self._process = self._process or LineProcess(_MODULE)
        try:
            reply = process.ask(request, self._limit_s)
        except (EOFError, BrokenPipeError, TimeoutError) as error:
            with self._lock:
                self._process = None
            process.end()
            if isinstance(error, TimeoutError):
                raise TimeLimit("the path takes too long: go there in shorter steps") from error
            raise DineuroError("the process that finds paths has ended") from error
        if "code" in reply:
            raise error_for(reply["code"], reply["detail"])
        return reply

    def close(self) -> None:
        """End the process and the thread."""
        with self._lock:
            self._closed, process = True, self._process
        if process is not None:
            process.end()
        self._threads.close()
