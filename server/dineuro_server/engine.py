"""Who runs a job: a bounded, fair queue before one worker process a device.

Every method may be called from any thread, and from both doors at once; those that may wait say so.
The store is the truth: what stands in memory here is lost with the process and missed by nobody.

A door takes a job in like this:

    with engine.spool(owner, name) as spool:
        for chunk in upload:
            spool.write(chunk)
        blob = spool.finish()
        job = engine.submit(JobSpec("trace", owner, blob.sha256, parameters={...}))

and follows it with `events`, `subscribe` or `wait`, and `results`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil

from dineuro_bridge.errors import (
    Cancelled,
    Conflict,
    DineuroError,
    NotFound,
    ServerStopping,
    WorkerLost,
    error_for,
)
from dineuro_model.catalog import ModelInfo, list_models
from dineuro_server.jobs.admission import Intake, Quota
from dineuro_server.jobs.answer_key import answer_key
from dineuro_server.jobs.fair_queue import Turns
from dineuro_server.jobs.listeners import Listeners
from dineuro_server.jobs.records import Event, Job, JobSpec, State
from dineuro_server.jobs.results import Results
from dineuro_server.jobs.spool import Spool
from dineuro_server.jobs.store import JobStore
from dineuro_server.jobs.sweeper import Sweeper
from dineuro_server.jobs.validation import checked
from dineuro_server.ops.metrics import Metrics
from dineuro_server.settings import Settings
from dineuro_server.workers.runner import Runner
from dineuro_server.workers.task import TaskDone

#: A job whose worker was lost is tried so many times in all.
_ATTEMPTS = 2

log = logging.getLogger(__name__)


class Engine:
    """The jobs of one state folder, and the workers that do them.

    Args:
        settings: of the server.
        quota_of: an owner's quota; None gives all that of the settings.

    Raises:
        FileAccess: the state folder cannot be used, or another server uses it.
    """

    def __init__(self, settings: Settings, quota_of: Callable[[str], Quota] | None = None) -> None:
        self.settings = settings
        self.store = JobStore(settings.state)
        self._intake = Intake(self.store, settings, quota_of)
        self._changed = threading.Condition(threading.RLock())
        self._stopping = False
        self._cancelled: set[str] = set()
        self._turns = Turns()
        self._listeners = Listeners()
        #: Seconds of the last jobs, by which it is told when to try again.
        self._lately: deque[float] = deque(maxlen=20)
        self._runners = [Runner(self, name) for name in settings.device_names]
        self._sweeper = Sweeper(self.sweep, self.store.shift_expiry)
        self.metrics = Metrics(self._gauges())

    # Life

    def start(self) -> None:
        """Take up what the last run left, and start the workers; returns at once."""
        shutil.rmtree(self.store.folder / "spool")
        (self.store.folder / "spool").mkdir(mode=0o700)
        for unfinished in (self.store.folder / "results").glob("*.part"):
            shutil.rmtree(unfinished, ignore_errors=True)
        for job in self.store.in_state("running"):
            log.info("was running when the server ended", extra={"job": job.id})
            self.lost(job)
        self.sweep()
        for runner in self._runners:
            runner.start()
        self._sweeper.start()

    def leave(self, drain: bool = True) -> None:
        """Take nothing in any more and begin no further job; returns at once. See `stop`."""
        until = time.monotonic() + (self.settings.drain_s if drain else 0.0)
        with self._changed:
            self._stopping = True
            for runner in self._runners:
                runner.leave(until)
            self._changed.notify_all()
        self._listeners.tell_all()

    def stop(self, drain: bool = True) -> None:
        """End the workers, and let go of the state folder; waits.

        Args:
            drain: running jobs may go on for the settings' `drain_s`, counted from `leave` where
                that was said before; what is not done by then, or without `drain`, is put back
                into the queue, which the next start takes up.
        """
        if not (drain and self._stopping):
            self.leave(drain)
        for runner in self._runners:
            if runner.is_alive():
                runner.join()
        self._sweeper.end()
        self.store.close()

    @property
    def ready(self) -> bool:
        """Whether every worker is warm and jobs are taken."""
        return not self._stopping and all(runner.ready for runner in self._runners)

    @property
    def stopping(self) -> bool:
        """Whether it is shutting down."""
        return self._stopping

    def models(self) -> list[ModelInfo]:
        """The networks that may be asked for, the default one first."""
        return list_models()

    @property
    def runners(self) -> tuple[Runner, ...]:
        """Who does the jobs, one a device."""
        return tuple(self._runners)

    @property
    def waiting(self) -> int:
        """How many jobs wait for their turn."""
        return self.store.count("queued")

    # In

    def admit(self, owner: str, nbytes: int = 0) -> None:
        """Whether a job with an upload of so many bytes would be taken now.

        Raises:
            ServerStopping, QueueFull, QuotaExceeded, DiskFull: it would not.
        """
        self._check_open()
        self._intake.admit(owner, nbytes, self._retry_after())

    def spool(self, owner: str, name: str = "volume") -> Spool:
        """Where an upload goes; see there.

        Raises:
            ServerStopping, TryLater, DiskFull: it cannot be taken now.
        """
        self._check_open()
        return self._intake.spool(owner, name)

    def _check_open(self) -> None:
        if self._stopping:
            raise ServerStopping("the server is shutting down: try again when it is back", 30)

    def submit(self, spec: JobSpec) -> Job:
        """Queue a job, or answer it from the store.

        Returns:
            The new job, which is done already where it was answered from the store (`reused`); or
            the earlier one of the same idempotency key.

        Raises:
            BadParameter: parameters that cannot be; the message names which.
            NotFound: the input or the source is not in the store, or is another's.
            Conflict: the idempotency key was used for another request, or the source is not done.
            ServerStopping, QueueFull, QuotaExceeded, DiskFull: it is not taken.
        """
        models = self.models()
        spec = checked(spec, models, lambda job: self._traced_before(job, spec.owner))
        key = answer_key(spec, models)
        limit = min(spec.time_limit_s or self.settings.time_limit_s, self.settings.time_limit_s)
        with self._changed:
            before = self.store.by_key(spec)
            if before is None:
                self.admit(spec.owner, self._new_bytes(spec))
            job = self.store.add(spec, key, limit)
            if before is None and not self._answered(job):
                log.info("queued: %s", job.kind, extra={"job": job.id, "owner": job.owner})
        self._tell(job.id)
        return self.store.job(job.id)

    def _new_bytes(self, spec: JobSpec) -> int:
        """What the input adds to the owner's bytes: nothing if the owner had sent it before."""
        if spec.input is None or self.store.has_input(spec.owner, spec.input):
            return 0
        return self.store.blob(spec.input).nbytes

    def _traced_before(self, identity: str, owner: str) -> Job:
        """The earlier job of a retrace.

        Raises:
            NotFound: as `get`.
            Conflict: it has nothing to be traced again.
        """
        source = self.get(identity, owner)
        if source.state != "done" or not self.probability(source.id).exists():
            raise Conflict(f"job {source.id}: is {source.state} and has nothing to be traced again")
        return source

    def _answered(self, job: Job) -> bool:
        """Whether the store had the answer; if so the job is done now."""
        source = self.store.answered(job.answer_key, job.owner) if job.reuse else None
        if source is None:
            return False
        folder = self.store.result_folder(job.id)
        shutil.copytree(
            self.store.result_folder(source.id), folder, copy_function=os.link, dirs_exist_ok=True
        )
        self.end(job, "done", source=source)
        return True

    # Out

    def get(self, identity: str, owner: str) -> Job:
        """A job of the owner's.

        Raises:
            NotFound: there is none, or it is another's: nobody learns which.
        """
        job = self.store.job(identity)
        if job.owner != owner:
            raise NotFound(f"job {identity}: there is none, or it has been swept")
        return job

    def jobs(self, owner: str, *, before: float | None = None, limit: int = 100) -> list[Job]:
        """The owner's jobs, the newest first, those made before a time (seconds since 1970)."""
        return self.store.jobs(owner, before=before, limit=limit)

    def cancel(self, identity: str, owner: str) -> Job:
        """Ask a job to end; a running one has ended about a second later, an ended one stays so.

        Raises:
            NotFound: as `get`.
        """
        with self._changed:
            job = self.get(identity, owner)
            if job.state == "queued":
                self.end(job, "cancelled", error=Cancelled("the job was cancelled"))
            elif job.state == "running":
                self._cancelled.add(identity)
        return self.store.job(identity)

    def remove(self, identity: str, owner: str) -> None:
        """Forget an ended job and its results, at once.

        Raises:
            NotFound: as `get`.
            Conflict: it has not ended.
        """
        with self._changed:
            job = self.get(identity, owner)
            if not job.ended:
                raise Conflict(f"job {identity}: is {job.state}: cancel it first")
            self.store.remove(job.id)
            self._intake.drop(job.input)

    def results(self, job: Job) -> Results:
        """The files of a done job.

        Raises:
            Conflict: it is not done yet.
            DineuroError: it failed or was cancelled: its own error.
        """
        if job.error_code is not None:
            raise error_for(job.error_code, job.error_text or "")
        if job.state != "done":
            raise Conflict(f"job {job.id}: is {job.state}: wait until it is done")
        return Results.of(self.store.result_folder(job.id), job.kind)

    def wait(self, identity: str, timeout: float) -> Job:
        """The job once it has ended, or as it is after so many seconds; blocks."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                job, left = self.store.job(identity), deadline - time.monotonic()
                if job.ended or left <= 0:
                    return job
                self._changed.wait(left)

    def events_since(self, identity: str, owner: str, after: int = 0) -> list[Event]:
        """What happened to a job after the event of that number; does not wait.

        Raises:
            NotFound: as `get`.
        """
        self.get(identity, owner)
        return self.store.events(identity, after)

    def subscribe(self, identity: str, wake: Callable[[], None]) -> Callable[[], None]:
        """Call `wake` whenever something happened to a job, from some thread; it must be quick.

        Returns what ends the subscription.
        """
        return self._listeners.add(identity, wake)

    async def events(self, identity: str, owner: str, after: int = 0) -> AsyncIterator[Event]:
        """What happens to a job, as it happens, until it has ended, or waits for the next start.

        Args:
            identity: of the job.
            owner: whose it must be.
            after: begin behind the event of this number.

        Raises:
            NotFound: as `get`.
        """
        loop, woken = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            loop.call_soon_threadsafe(woken.set)

        leave = self.subscribe(identity, wake)
        try:
            while True:
                woken.clear()
                job, news = await asyncio.to_thread(self._look, identity, owner, after)
                for event in news:
                    after = event.number
                    yield event
                if job.ended or (self._stopping and job.state == "queued"):
                    return
                await woken.wait()
        finally:
            leave()

    def _look(self, identity: str, owner: str, after: int) -> tuple[Job, list[Event]]:
        """The job first: an event of its end cannot come between unseen."""
        return self.get(identity, owner), self.events_since(identity, owner, after)

    def _tell(self, identity: str) -> None:
        """Something happened to a job."""
        self._listeners.tell(identity)
        with self._changed:
            self._changed.notify_all()

    # For the runners

    def next_job(self, runner: Runner) -> Job | None:
        """The job whose turn it is, begun; waits for one. None when the runner is to leave."""
        with self._changed:
            while not runner.leaving:
                job = self._turns.choose(self.store.in_state("queued"))
                if job is None:
                    self._changed.wait()
                elif not self._answered(job):
                    job = self.store.begin(job.id)
                    self._tell(job.id)
                    return job
                else:
                    self._tell(job.id)
        return None

    def is_cancelled(self, identity: str) -> bool:
        """Whether its owner wants a running job to end."""
        return identity in self._cancelled

    def progress(self, identity: str, stage: str, done: int, total: int) -> None:
        """How far a running job is."""
        self.store.progress(identity, stage, done, total)
        self._tell(identity)

    def end(
        self,
        job: Job,
        state: State,
        *,
        error: DineuroError | None = None,
        done: TaskDone | None = None,
        source: Job | None = None,
    ) -> None:
        """A job has come to its end.

        Args:
            job: as it was.
            state: "done", "failed" or "cancelled".
            error: why it is not done.
            done: what the worker said of it; the results are in their place.
            source: the earlier job that it was answered from.
        """
        reused = source is not None
        result_bytes = source.result_bytes if source is not None else done.nbytes if done else 0
        told = None if error is None else (error.code, str(error))
        with self._changed:
            self._cancelled.discard(job.id)
            self.store.end(
                job.id,
                state,
                keep_s=self.settings.keep_hours * 3600,
                error=told,
                reused=reused,
                result_bytes=result_bytes,
            )
            if state == "done" and not reused and job.started is not None:
                self._lately.append(max(0.0, time.time() - job.started))
        self.metrics.ended(job, state, error, done, reused=reused)
        how = "answered from the store" if reused else state
        log.info(
            "%s%s", how, "" if error is None else f": {error.code}",
            extra={"job": job.id, "owner": job.owner},
        )  # fmt: skip
        self._tell(job.id)

    def put_back(self, job: Job) -> None:
        """The server leaves before the job was done; the next start takes it up."""
        self.store.requeue(job.id, counted=False)
        log.info("put back into the queue", extra={"job": job.id})
        self._tell(job.id)

    def lost(self, job: Job) -> None:
        """Whoever worked on the job is gone: it is tried once more, and then given up."""
        if self.is_cancelled(job.id):
            self.end(job, "cancelled", error=Cancelled("the job was cancelled"))
        elif job.attempts < _ATTEMPTS:
            self.store.requeue(job.id, counted=True)
            log.warning("its worker was lost: it waits again", extra={"job": job.id})
            self._tell(job.id)
        else:
            text = (
                f"the process that worked on it died {job.attempts} times: the machine's memory "
                "may be too small for it: trace a part of it (roi)"
            )
            self.end(job, "failed", error=WorkerLost(text))

    def probability(self, identity: str) -> Path:
        """Where the probability that a job's tree was made from lies, if its kind has one."""
        return self.store.result_folder(identity) / "probability.v3dpbd"

    # Upkeep

    def sweep(self) -> None:
        """Throw out the results whose time is over, and inputs that no job has."""
        for job in self.store.expired(time.time()):
            with self._changed:  # or a job might be answered from what is being removed
                self.store.remove(job.id)
            self._intake.drop(job.input)
            log.info("swept", extra={"job": job.id})
        for sha256 in self.store.unused_blobs():
            self._intake.drop(sha256)

    def _gauges(self) -> dict[str, tuple[str, Callable[[], float]]]:
        """What is measured when somebody asks."""
        store, runners = self.store, self._runners
        return {
            "queue": ("Jobs that wait", lambda: self.waiting),
            "running": ("Jobs that run", lambda: store.count("running")),
            "uploads": ("Uploads under way", lambda: self._intake.uploads),
            "ready": ("1 when every worker is warm", lambda: self.ready),
            "memory_bytes": (
                "Memory of the server's process",
                lambda: psutil.Process().memory_info().rss,
            ),
            "worker_memory_bytes": (
                "Memory of all workers",
                lambda: sum(runner.memory for runner in runners),
            ),
            "disk_free_bytes": (
                "Room left on the disk of the state folder",
                lambda: shutil.disk_usage(store.folder).free,
            ),
        }

    def _retry_after(self) -> int:
        """Seconds until there may be room, by how long the last jobs took."""
        mean = sum(self._lately) / len(self._lately) if self._lately else 10.0
        return max(1, min(300, round(mean / len(self._runners))))
