"""The thread of one device: takes the next job, hands it to the worker, and watches it.

Jobs in blocks have a runner of their own, so that no other job waits for them. Its worker is
started for one job, and ends with it.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import asdict
from typing import Any

from dineuro_bridge.errors import DineuroError, error_for
from dineuro_server.jobs.records import Job, WorkFigures
from dineuro_server.settings import Settings
from dineuro_server.workers.process import Gone, WorkerProcess
from dineuro_server.workers.source import JobSource
from dineuro_server.workers.watch import JobWatch

#: Time between two checks of a running job's limits (seconds).
_CHECK_S = 0.1
#: Pause before a worker that could not start is started again: the first and the longest (seconds).
_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 30.0
#: Time in which an idle worker has to end (seconds).
_FAREWELL_S = 5.0

log = logging.getLogger(__name__)


class _Leave(Exception):
    """The server shuts down before the job has ended."""


class _Killed(Exception):
    """The worker was killed, and its job has ended."""


class Runner(threading.Thread):
    """A thread with one worker process.

    Args:
        source: the queue that the jobs come from.
        settings: the server's settings.
        device: "auto", "cpu" or "cuda:N".
        in_blocks: whether it does jobs in blocks, or the others.

    Attributes:
        device: "auto", "cpu" or "cuda:N".
        ready: whether the worker is warm.
    """

    def __init__(
        self, source: JobSource, settings: Settings, device: str, *, in_blocks: bool = False
    ) -> None:
        super().__init__(name=f"runner {device}{' in blocks' * in_blocks}", daemon=True)
        self.device = device
        self._in_blocks = in_blocks
        self.ready = False
        self._source, self._settings = source, settings
        self._job: Job | None = None
        self._worker: WorkerProcess | None = None
        self._deadline: float | None = None
        self._left = threading.Event()

    @property
    def leaving(self) -> bool:
        """Whether the runner begins no further job."""
        return self._deadline is not None

    @property
    def memory(self) -> int:
        """Bytes of the worker's memory."""
        return 0 if self._worker is None else self._worker.memory()

    def leave(self, deadline: float) -> None:
        """Begin no further job, and put the running one back at `deadline` (`time.monotonic`)."""
        self._deadline = deadline
        self._left.set()

    def run(self) -> None:
        """Do jobs until `leave` is called; a worker that dies is replaced."""
        pause = _PAUSE_S
        while not self.leaving:
            try:
                self._lose_job()
                if self._in_blocks:
                    self._do_one()
                else:
                    self._do_jobs(self._start_worker())
            except _Leave:
                break
            except (Gone, _Killed):
                self._source.worker_lost()
                pause = _PAUSE_S if self.ready else min(2 * pause, _LONGEST_PAUSE_S)
                if not self.ready:
                    log.error("the worker on %s cannot start: see above", self.device)
                    self._left.wait(pause)
            except Exception:
                # The runner outlives errors that it cannot mend, such as a full disk.
                log.exception("the runner of %s failed: an error of DINeuro's own", self.device)
                self._left.wait(pause)
            finally:
                self.ready = False
                if self._worker is not None:
                    self._worker.kill()
        self._lose_job()

    def _lose_job(self) -> None:
        """Report a job that was begun and has not ended as lost."""
        if self._job is not None:
            self._source.lost(self._job)
            self._job = None

    def _start_worker(self) -> WorkerProcess:
        """Start a worker and wait until it is ready.

        Raises:
            Gone: the worker ended first.
            _Leave: the server shuts down.
        """
        warm = self._settings.warm and not self._in_blocks
        worker = WorkerProcess(self.device, warm=warm, log=self._settings.log)
        self._worker = worker
        while not self.leaving:
            message = worker.receive(_CHECK_S)
            if message is not None and "ready" in message:
                self.ready = True
                what = "for blocks" if self._in_blocks else f"on {self.device}"
                log.info("the worker %s is ready (process %d)", what, worker.pid)
                return worker
        raise _Leave

    def _do_jobs(self, worker: WorkerProcess) -> None:
        """Do one job after the other until the worker dies or the runner leaves."""
        while (job := self._next_job()) is not None:
            self._job = job
            self._do(worker, job)
            self._job = None
        worker.stop(_FAREWELL_S)

    def _do_one(self) -> None:
        """Wait for a job, and do it with a worker of its own."""
        self._job = job = self._next_job()
        if job is None:
            return
        try:
            worker = self._start_worker()
        except _Leave:
            self._put_back(job)
            raise
        self._do(worker, job)
        self._job = None

    def _next_job(self) -> Job | None:
        return self._source.next_job(lambda: self.leaving, in_blocks=self._in_blocks)

    def _put_back(self, job: Job) -> None:
        self._source.put_back(job)
        self._job = None

    def _do(self, worker: WorkerProcess, job: Job) -> None:
        """Hand a job to the worker and watch it until it has ended.

        Raises:
            Gone: the worker died.
            _Killed: the worker was killed; the job has ended.
            _Leave: the server shuts down; the job is queued again.
        """
        try:
            task = self._source.task(job)
        except DineuroError as error:
            self._source.fail(job, error)
            return
        watch = JobWatch(self._source, self._settings, job, worker)
        worker.send(asdict(task))
        while True:
            message = worker.receive(_CHECK_S)
            if message is not None and message.get("job") == job.id and self._ends(job, message):
                return
            try:
                watch.check()
            except DineuroError as error:
                worker.kill()
                self._source.fail(job, error)
                self._job = None
                raise _Killed from error
            if self._deadline is not None and time.monotonic() > self._deadline:
                self._put_back(job)
                raise _Leave

    def _ends(self, job: Job, message: dict[str, Any]) -> bool:
        """Pass a worker's message on to the queue; returns whether it ends the job."""
        if "progress" in message:
            self._source.progress(job.id, *message["progress"])
            return False
        if "failed" in message:
            self._source.fail(job, error_for(*message["failed"]))
        else:
            self._source.complete(job, WorkFigures(**message["done"]))
        return True
