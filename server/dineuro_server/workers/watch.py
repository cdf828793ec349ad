"""The limits of a running job: its time, its worker's memory, and its owner's cancel."""

from __future__ import annotations

import time

from dineuro_bridge.errors import Cancelled, MemoryLimit, TimeLimit
from dineuro_server.jobs.records import Job
from dineuro_server.settings import Settings
from dineuro_server.workers.process import WorkerProcess
from dineuro_server.workers.source import JobSource


class JobWatch:
    """Checks the limits of one running job.

    Args:
        source: knows whether the job is cancelled.
        settings: the limits.
        job: the running job.
        worker: the process that works on it.
    """

    def __init__(
        self, source: JobSource, settings: Settings, job: Job, worker: WorkerProcess
    ) -> None:
        self._source, self._settings, self._job, self._worker = source, settings, job, worker
        self._deadline = time.monotonic() + job.time_limit_s
        self._kill_at: float | None = None

    def check(self) -> None:
        """Pass a cancel on to the worker, and check whether the worker must be killed.

        Raises:
            Cancelled: the worker did not end in time after a cancel.
            TimeLimit, MemoryLimit: the job exceeds a limit.
            Gone: the worker has ended.
        """
        now, settings = time.monotonic(), self._settings
        name = self._job.parameters["name"]
        if self._kill_at is None and self._source.is_cancelled(self._job.id):
            self._kill_at = now + settings.cancel_s
            self._worker.send({"cancel": self._job.id})
        if self._kill_at is not None and now > self._kill_at:
            raise Cancelled("the job was cancelled")
        if now > self._deadline:
            raise TimeLimit(
                f"{name}: took longer than the {self._job.time_limit_s:g} s allowed: trace a part "
                "of it (roi), or ask who runs the server for more"
            )
        if self._worker.memory() > settings.memory_bytes:
            raise MemoryLimit(
                f"{name}: took more memory than the {settings.memory_bytes / 2**30:.3g} GiB "
                "allowed: trace a part of it (roi)"
            )
