"""Headers of uploads are read in processes of their own, bounded in time and memory.

A header is the sender's: a file of a few kilobytes can ask a library for hours or for gigabytes.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any, NamedTuple

from dineuro_bridge.errors import BadFile, error_for
from dineuro_bridge.volumes.terms import Roi
from dineuro_server.jobs.line_process import LineProcess

#: Seconds for one header; a usual one takes milliseconds.
LIMIT_S = 5.0
_PROCESSES = 2
_MODULE = "dineuro_server.jobs.header_process"

log = logging.getLogger(__name__)


class Checked(NamedTuple):
    """The suffix that fits a volume's content, and whether the volume runs in blocks."""

    suffix: str
    in_blocks: bool


class HeaderReader:
    """A few processes that read headers, started when they are needed; safe from several threads.

    Args:
        limit_s: seconds after which a header is refused and its process replaced.
    """

    def __init__(self, limit_s: float = LIMIT_S) -> None:
        self._limit_s = limit_s
        self._free = threading.Semaphore(_PROCESSES)
        self._lock = threading.Lock()
        self._idle: list[LineProcess] = []
        self._closed = False

    def prepare(self) -> None:
        """Start a process if there is none, without waiting for it."""
        with self._lock:
            if not self._idle and not self._closed and self._free.acquire(blocking=False):
                try:
                    self._idle.append(LineProcess(_MODULE))
                finally:
                    self._free.release()

    def check(
        self,
        path: Path,
        max_bytes: int,
        roi: Roi | None = None,
        *,
        by_path: bool = False,
        most_voxels: int | None = None,
    ) -> Checked:
        """Check a volume's header.

        Args:
            path: path of the file or folder.
            max_bytes: limit of the volume in memory.
            roi: the region of a folder that will be read; None is all of it.
            by_path: whether it lies below a served folder; else it is an upload.
            most_voxels: voxels of a channel above which it runs in blocks, where its format can be
                read so, and then without a limit; None runs it in memory.

        Raises:
            UnsupportedFormat: a format that is not read from an upload.
            BadFile: the header takes too long, or too much memory.
            DineuroError: as `open_volume` and `Header.check`.
        """
        request: dict[str, object] = {
            "path": str(path),
            "max_bytes": max_bytes,
            "limit_s": self._limit_s,
            "roi": roi,
            "by_path": by_path,
            "most_voxels": most_voxels,
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
        return Checked(reply["suffix"], reply["in_blocks"])

    def _ask(self, request: dict[str, object]) -> dict[str, Any]:
        """The answer of an idle process or of a new one."""
        with self._lock:
            process = self._idle.pop() if self._idle else None
        process = process or LineProcess(_MODULE)
        try:
            reply = process.ask(request, self._limit_s)
        except BaseException:
            words = process.end()
            log.warning("a process that reads headers has ended: %s", words or "without a word")
            raise
        self._keep(process)
        return reply

    def _keep(self, process: LineProcess) -> None:
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
