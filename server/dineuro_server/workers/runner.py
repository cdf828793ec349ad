"""One device's thread: takes the job whose turn it is, hands it to the worker, watches it."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dineuro_bridge.errors import (
    Cancelled,
    DineuroError,
    MemoryLimit,
    TimeLimit,
    error_for,
)
from dineuro_server.jobs.records import Job
from dineuro_server.workers.process import Gone, WorkerProcess
from dineuro_server.workers.task import TaskDone

if TYPE_CHECKING:
    from dineuro_server.engine import Engine

#: How often the watched job's limits are looked at (seconds).
_LOOK_S = 0.1
#: A worker that cannot start is tried again after so many seconds, at first and at most.
_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 30.0
#: An idle worker that is told to leave is given so long (seconds).
_FAREWELL_S = 5.0

log = logging.getLogger(__name__)


class _Leave(Exception):
    """The server goes down before the job is done."""


class _Killed(Exception):
    """The worker had to be killed; its job has ended with that."""


class Runner(threading.Thread):
    """A thread with one worker process.

    Attributes:
        device: "auto", "cpu" or "cuda:N".
        ready: whether the worker is warm.
        job: what it works on, if anything.
    """

    def __init__(self, engine: Engine, device: str) -> None:
        super().__init__(name=f"runner {device}", daemon=True)
        self.device = device
        self.ready = False
        self.job: Job | None = None
        self._engine = engine
        self._worker: WorkerProcess | None = None
        self._until: float | None = None
        self._left = threading.Event()

    @property
    def leaving(self) -> bool:
        """Whether no further job is to be begun."""
        return self._until is not None

    @property
    def memory(self) -> int:
        """Bytes of the worker's memory."""
        return 0 if self._worker is None else self._worker.memory()

    def leave(self, until: float) -> None:
        """Begin nothing more; put back what is not done at that `time.monotonic`."""
        self._until = until
        self._left.set()

    def run(self) -> None:
        """Until `leave`."""
        pause = _PAUSE_S
        while not self.leaving:
            try:
                self._give_up()
                self._work(self._warm_worker())
            except _Leave:
                break
            except (Gone, _Killed):
                self._engine.metrics.worker_lost()
                pause = _PAUSE_S if self.ready else min(2 * pause, _LONGEST_PAUSE_S)
                if not self.ready:
                    log.error("the worker on %s cannot start: see above", self.device)
                    self._left.wait(pause)
            except Exception:
                # The disk may be full, for one: the runner must outlive what it cannot help.
                log.exception("the runner of %s failed: an error of DINeuro's own", self.device)
                self._left.wait(pause)
            finally:
                self.ready = False
                if self._worker is not None:
                    self._worker.kill()
        self._give_up()

    def _give_up(self) -> None:
        """A job that was begun and has come to no end is lost."""
        if self.job is not None:
            shutil.rmtree(unfinished(self._engine, self.job), ignore_errors=True)
            self._engine.lost(self.job)
            self.job = None

    def _warm_worker(self) -> WorkerProcess:
        """A new worker, once it is ready.

        Raises:
            Gone: it ended before.
            _Leave: the server goes down.
        """
        settings = self._engine.settings
        worker = WorkerProcess(self.device, warm=settings.warm, log=settings.log)
        self._worker = worker
        while not self.leaving:
            message = worker.receive(_LOOK_S)
            if message is not None and "ready" in message:
                self.ready = True
                log.info("the worker on %s is ready (process %d)", self.device, worker.pid)
                return worker
        raise _Leave

    def _work(self, worker: WorkerProcess) -> None:
        """One job after the other, until the worker is gone or the runner is to leave."""
        while (job := self._engine.next_job(self)) is not None:
            self.job = job
            self._do(worker, job)
            self.job = None
        worker.stop(_FAREWELL_S)

    def _do(self, worker: WorkerProcess, job: Job) -> None:
        """Hand the job over, and watch it until it has ended in some way."""
        watch = _Watch(self._engine, job, worker)
        worker.send(self._order(job))
        while True:
            message = worker.receive(_LOOK_S)
            if message is not None and message.get("job") == job.id and self._heard(job, message):
                return
            try:
                watch.look()
            except DineuroError as error:
                worker.kill()
                shutil.rmtree(unfinished(self._engine, job), ignore_errors=True)
                self._end(job, error)
                self.job = None
                raise _Killed from error
            if self._until is not None and time.monotonic() > self._until:
                self._engine.put_back(job)
                self.job = None
                raise _Leave

    def _order(self, job: Job) -> dict[str, Any]:
        """What the worker has to know."""
        engine = self._engine
        order: dict[str, Any] = {
            "job": job.id,
            "kind": job.kind,
            "parameters": job.parameters,
            "input": None if job.input is None else str(engine.store.blob(job.input).path),
            "sha256": job.input,
            "output": str(unfinished(engine, job)),
            "max_bytes": engine.settings.max_bytes,
        }
        if job.source is not None:
            order["probability"] = str(engine.probability(job.source))
            order["report"] = str(engine.store.result_folder(job.source) / "report.json")
        return order

    def _heard(self, job: Job, message: dict[str, Any]) -> bool:
        """Take in what the worker says; whether the job has ended with that."""
        if "progress" in message:
            self._engine.progress(job.id, *message["progress"])
            return False
        if "failed" in message:
            self._end(job, error_for(*message["failed"]))
            return True
        target = self._engine.store.result_folder(job.id)
        # A server that died between the two steps left results of which the store knows nothing.
        shutil.rmtree(target, ignore_errors=True)
        unfinished(self._engine, job).rename(target)
        self._engine.end(job, "done", done=TaskDone(**message["done"]))
        return True

    def _end(self, job: Job, error: DineuroError) -> None:
        stopped = isinstance(error, Cancelled)
        self._engine.end(job, "cancelled" if stopped else "failed", error=error)


class _Watch:
    """The limits of one running job."""

    def __init__(self, engine: Engine, job: Job, worker: WorkerProcess) -> None:
        self._engine, self._job, self._worker = engine, job, worker
        self._until = time.monotonic() + job.time_limit_s
        self._kill_at: float | None = None

    def look(self) -> None:
        """Tell the worker of a cancel; find out whether it must be killed.

        Raises:
            Cancelled: it did not heed a cancel in time.
            TimeLimit, MemoryLimit: it takes more than it may.
            Gone: it has ended.
        """
        now, settings, name = time.monotonic(), self._engine.settings, self._job.parameters["name"]
        if self._kill_at is None and self._engine.is_cancelled(self._job.id):
            self._kill_at = now + settings.cancel_s
            self._worker.send({"cancel": self._job.id})
        if self._kill_at is not None and now > self._kill_at:
            raise Cancelled("the job was cancelled")
        if now > self._until:
            raise TimeLimit(
                f"{name}: took longer than the {self._job.time_limit_s:g} s allowed: trace a part "
                "of it (roi), or ask who runs the server for more"
            )
        if self._worker.memory() > settings.memory_bytes:
            raise MemoryLimit(
                f"{name}: took more memory than the {settings.memory_bytes / 2**30:.3g} GiB "
                "allowed: trace a part of it (roi)"
            )


def unfinished(engine: Engine, job: Job) -> Path:
    """Where a job's results are made, before they get to their place all at once."""
    return engine.store.folder / "results" / f"{job.id}.part"
