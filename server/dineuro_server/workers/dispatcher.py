"""The queue between engine and runners: which job is next, how it begins, and how it ends."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from dineuro_bridge.errors import (
    Cancelled,
    Conflict,
    DineuroError,
    DiskFull,
    TryLater,
    WorkerLost,
)
from dineuro_server.jobs.fair_queue import FairQueue
from dineuro_server.jobs.kinds import KINDS
from dineuro_server.jobs.listeners import Listeners
from dineuro_server.jobs.records import Job, State, WorkFigures
from dineuro_server.jobs.results import PROBABILITY, REPORT
from dineuro_server.jobs.roots import Roots
from dineuro_server.jobs.store import JobStore
from dineuro_server.ops.metrics import Metrics
from dineuro_server.settings import Settings
from dineuro_server.workers.source import BlockWork, Task

#: Pause before a change of the store that failed is tried again (seconds).
_RETRY_S = 1.0
#: Time for which a job that cannot be begun is passed over (seconds).
_POSTPONED_S = 30.0
#: Run time of a job before any job has ended (seconds).
_FIRST_GUESS_S = 10.0

log = logging.getLogger(__name__)


class Dispatcher:
    """Hands queued jobs to the runners and records how they end; it is their `JobSource`.

    Args:
        store: the store of all jobs.
        settings: the server's settings.
        metrics: counts ended jobs and lost workers.
        roots: the folders whose files jobs may name.
        room: returns the bytes that an owner has left.

    Attributes:
        changed: the condition that is notified at every event of a job; its lock also guards
            changes of a job that several threads may attempt.
        listeners: callbacks by job.
    """

    def __init__(
        self,
        store: JobStore,
        settings: Settings,
        metrics: Metrics,
        roots: Roots,
        room: Callable[[str], int],
    ) -> None:
        self._store, self._settings, self._metrics, self._roots = store, settings, metrics, roots
        self._room = room
        self.changed = threading.Condition(threading.RLock())
        self.listeners = Listeners()
        self._queues = {False: FairQueue(), True: FairQueue()}
        self._cancelled: set[str] = set()
        self._postponed: dict[str, float] = {}
        self._closed = threading.Event()
        self._run_times: deque[float] = deque(maxlen=20)

    @property
    def mean_run_time(self) -> float:
        """Mean run time of the last jobs (seconds)."""
        run_times = self._run_times
        return sum(run_times) / len(run_times) if run_times else _FIRST_GUESS_S

    # For the engine

    def enqueue(self, job: Job) -> None:
        """Answer a queued job from the store, or leave it in the queue for a runner."""
        with self.changed:
            if not self._answer(job):
                log.info("queued: %s", job.kind, extra={"job": job.id, "owner": job.owner})
        self.notify(job.id)

    def cancel(self, job: Job) -> None:
        """End a queued job, or mark a running one as cancelled for its runner."""
        with self.changed:
            if job.state == "queued":
                self._end(job, "cancelled", error=Cancelled("the job was cancelled"))
            elif job.state == "running":
                self._store.request_cancel(job.id)
                self._cancelled.add(job.id)

    def close(self) -> None:
        """Give up changes of the store that fail: the next start of the server repeats them."""
        self._closed.set()

    def notify(self, job_id: str) -> None:
        """Wake everyone who waits for an event of a job."""
        self.listeners.notify(job_id)
        with self.changed:
            self.changed.notify_all()

    # For the runners

    def next_job(self, leaving: Callable[[], bool], *, in_blocks: bool = False) -> Job | None:
        """See `JobSource.next_job`."""
        with self.changed:
            while not leaving():
                try:
                    job = self._queues[in_blocks].choose(self._due(in_blocks))
                except TryLater as error:
                    log.warning("the queue cannot be read: %s", error)
                    self.changed.wait(_RETRY_S)
                    continue
                if job is None:
                    self.changed.wait(_RETRY_S if self._postponed else None)
                elif self._begin(job):
                    return self._store.job(job.id)
        return None

    def _due(self, in_blocks: bool) -> list[Job]:
        """The queued jobs of a runner that are not postponed, the oldest first."""
        now = time.monotonic()
        self._postponed = {job: until for job, until in self._postponed.items() if until > now}
        return [
            job
            for job in self._store.in_state("queued")
            if job.id not in self._postponed and KINDS[job.kind].in_blocks == in_blocks
        ]

    def _begin(self, job: Job) -> bool:
        """Begin a queued job, unless the store answers it; no error of one job holds up the next.

        Returns:
            Whether the job is for the caller to do.
        """
        try:
            if self._answer(job):
                return False
            self._metrics.begun(self._store.begin(job.id))
            self.notify(job.id)
        except Exception as error:
            busy = isinstance(error, TryLater | DiskFull)
            log.exception("the job cannot be begun", extra={"job": job.id})
            self._postponed[job.id] = time.monotonic() + (_RETRY_S if busy else _POSTPONED_S)
            if not busy:
                with contextlib.suppress(TryLater, DiskFull):
                    self._end(job, "failed", error=_internal_error(job))
            return False
        return True

    def task(self, job: Job) -> Task:
        """The work of a job, for its worker.

        Raises:
            NotFound: the input is not in the store any more.
            Conflict: the earlier job of a retrace was deleted meanwhile.
            Forbidden: the file's folder is not served any more.
        """
        if job.input is None:
            raise ValueError(f"job {job.id} has no input")
        probability = report = None
        if job.source is not None:
            source = self._store.results.folder(job.source)
            probability, report = str(source / PROBABILITY), str(source / REPORT)
            if not (source / PROBABILITY).exists():
                raise Conflict(f"job {job.source}: was deleted and cannot be traced again")
        if job.place is not None:
            self._roots.check(job.place)
        return Task(
            job=job.id,
            kind=job.kind,
            input="" if job.place is not None else str(self._store.blob(job.input).path),
            place=None if job.place is None else asdict(job.place),
            sha256=job.input,
            parameters=job.parameters,
            output=str(self._store.results.unfinished(job.id)),
            max_bytes=self._settings.max_bytes,
            probability=probability,
            report=report,
            blocks=self._block_work(job) if KINDS[job.kind].in_blocks else None,
        )

    def _block_work(self, job: Job) -> dict[str, Any]:
        """The fields of the `BlockWork` of a job in blocks."""
        settings = self._settings
        count, memory = settings.block_workers
        work = BlockWork(
            folder=str(self._store.results.run(job.id)),
            tells_folder=settings.runs is not None,
            edge=settings.large_block,
            scheduler=settings.scheduler,
            workers=count,
            memory=memory,
            most_bytes=self._room(job.owner),
        )
        return asdict(work)

    def is_cancelled(self, job_id: str) -> bool:
        """Whether the owner has cancelled a running job."""
        return job_id in self._cancelled

    def progress(self, job_id: str, stage: str, done: int, total: int) -> None:
        """Record the progress of a running job."""
        try:
            self._store.progress(job_id, stage, done, total)
        except (TryLater, DiskFull) as error:
            log.warning("the progress is not recorded: %s", error, extra={"job": job_id})
        self.notify(job_id)

    def complete(self, job: Job, figures: WorkFigures) -> None:
        """Publish the results of a running job; the job is done."""
        self._store.results.publish(job.id)
        if job.started is not None and not KINDS[job.kind].in_blocks:
            self._run_times.append(max(0.0, time.time() - job.started))
        self._retry(lambda: self._end(job, "done", figures=figures))
        self._store.results.trim_run(job.id)

    def fail(self, job: Job, error: DineuroError) -> None:
        """End a running job with an error: it is cancelled or failed."""
        self._store.results.discard(job.id)
        self._store.results.drop_run(job.id)
        state: State = "cancelled" if isinstance(error, Cancelled) else "failed"
        self._retry(lambda: self._end(job, state, error=error))

    def lost(self, job: Job) -> None:
        """Queue a job once more after its worker died, or fail it after the last attempt."""
        self._store.results.discard(job.id)
        if job.cancel_requested or self.is_cancelled(job.id):
            self.fail(job, Cancelled("the job was cancelled"))
        elif job.attempts < KINDS[job.kind].attempts:
            self._retry(lambda: self._store.requeue(job.id, counted=True))
            log.warning("the worker was lost: the job is queued again", extra={"job": job.id})
            self.notify(job.id)
        else:
            text = (
                f"the process that worked on it died {job.attempts} times: the machine's memory "
                "may be too small for it: trace a part of it (roi)"
            )
            self.fail(job, WorkerLost(text))

    def put_back(self, job: Job) -> None:
        """Queue a running job for the next start of the server; the attempt does not count."""
        self._retry(lambda: self._store.requeue(job.id, counted=False))
        log.info("put back into the queue", extra={"job": job.id})
        self.notify(job.id)

    def worker_lost(self) -> None:
        """Count a worker that died or was killed."""
        self._metrics.worker_lost()

    # The end of a job

    def _answer(self, job: Job) -> bool:
        """Answer a queued job with an earlier job's results; returns whether there were any."""
        source = self._store.answered(job.answer_key, job.owner) if job.reuse else None
        if source is None:
            return False
        try:
            self._store.results.link(source.id, job.id)
        except OSError as error:
            log.warning("not answered from the store: %s", error, extra={"job": job.id})
            self._store.results.discard(job.id)
            return False
        self._end(job, "done", source=source)
        return True

    def _end(
        self,
        job: Job,
        state: State,
        *,
        error: DineuroError | None = None,
        figures: WorkFigures | None = None,
        source: Job | None = None,
    ) -> None:
        """Record the end of a job.

        Args:
            job: the job before its end.
            state: "done", "failed" or "cancelled".
            error: error of a job that is not done.
            figures: the worker's measurements of a job that it did.
            source: the earlier job whose results answer this one.
        """
        reused = source is not None
        result_bytes = source.result_bytes if source else figures.nbytes if figures else 0
        with self.changed:
            self._store.end(
                job.id,
                state,
                keep_s=self._settings.keep_hours * 3600,
                error=None if error is None else (error.code, str(error)),
                reused=reused,
                result_bytes=result_bytes,
            )
            self._cancelled.discard(job.id)
        self._metrics.ended(job, state, error, figures, reused=reused)
        log.info(
            "%s%s",
            "answered from the store" if reused else state,
            "" if error is None else f": {error.code}",
            extra={"job": job.id, "owner": job.owner},
        )
        self.notify(job.id)

    def _retry(self, change: Callable[[], None]) -> None:
        """Make a change of the store; repeat it while the store is locked or the disk is full.

        Only for a runner's thread, without the lock of `changed`: the call may block.

        Raises:
            TryLater, DiskFull: the server shuts down before the change is possible.
        """
        while True:
            try:
                return change()
            except (TryLater, DiskFull) as error:
                log.warning("the store cannot be changed: %s", error)
                if self._closed.wait(_RETRY_S):
                    raise


def _internal_error(job: Job) -> DineuroError:
    """The error of a job that failed through no fault of its input."""
    name = job.parameters["name"]
    return DineuroError(f"{name}: an internal error; the server's log has it under this job")
