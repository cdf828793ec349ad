"""The jobs of one server, as its doors see them: submit, follow, cancel, fetch results.

Every method may be called from any thread, and from both doors at once; a method that may block
says so. The store holds the state of all jobs: nothing is lost with the memory of this process.

A door takes in a job like this, and follows it with `subscribe` and `events`:

    with engine.spool(owner, name) as spool:
        for chunk in upload:
            spool.write(chunk)
        blob = spool.finish()
        job = engine.submit(JobSpec("trace", owner, blob.sha256, parameters={...}))
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import PurePath

import psutil

from dineuro_bridge.errors import (
    Conflict,
    NotFound,
    ServerStopping,
    error_for,
)
from dineuro_bridge.options import TraceOptions
from dineuro_model.catalog import ModelInfo, list_models
from dineuro_server.jobs.admission import Admission, Quota
from dineuro_server.jobs.answer_key import answer_key
from dineuro_server.jobs.fair_queue import FairThreads
from dineuro_server.jobs.kinds import KINDS
from dineuro_server.jobs.places import Places
from dineuro_server.jobs.proofreading import Proofreading
from dineuro_server.jobs.records import NEWEST, Event, Job, JobSpec, Selection
from dineuro_server.jobs.results import PROBABILITY, Results
from dineuro_server.jobs.roots import Roots
from dineuro_server.jobs.spool import Spool
from dineuro_server.jobs.store import JobStore
from dineuro_server.jobs.sweeper import Sweeper
from dineuro_server.jobs.validation import check_dask, checked
from dineuro_server.ops.metrics import Metrics
from dineuro_server.settings import Settings
from dineuro_server.workers.dispatcher import Dispatcher
from dineuro_server.workers.runner import Runner

#: Uploads that are checked at the same time. Two of them read their headers; see `HeaderReader`.
_CHECKS = 4

log = logging.getLogger(__name__)


class Engine:
    """The jobs of one state folder, and the workers that do them.

    Args:
        settings: the server's settings.
        quota_of: returns the quota of an owner; None gives every owner that of the settings.

    Attributes:
        settings: the server's settings.
        store: the store of all jobs.
        metrics: the server's figures.
        roots: the folders whose files jobs may name by their path.
        runners: the threads that do the jobs, one a device.
        checks: the threads that check uploads and submit their jobs, the owners in turn.
        proofreading: the edited trees.

    Raises:
        FileAccess: the state folder cannot be used, another server uses it, or a root is missing.
    """

    def __init__(self, settings: Settings, quota_of: Callable[[str], Quota] | None = None) -> None:
        self.settings = settings
        self.roots = Roots(settings.root_folders, settings.state)
        self.store = JobStore(settings.state, settings.runs)
        self.metrics = Metrics(self._gauges(), self.store.count_by_owner)
        self._admission = Admission(self.store, settings, quota_of)
        self._places = Places(
            self.roots, self._admission.headers, settings.max_bytes, settings.most_voxels
        )
        self._dispatcher = Dispatcher(
            self.store, settings, self.metrics, self.roots, self._admission.left
        )
        self.checks = FairThreads(_CHECKS, "check")
        self.proofreading = Proofreading(self.store.edits, settings.keep_hours * 3600)
        self._stopping = False
        self.runners = tuple(
            Runner(self._dispatcher, settings, device) for device in settings.device_names
        )
        # Jobs in blocks come from paths alone.
        self._block_runners = (
            (Runner(self._dispatcher, settings, settings.block_device, in_blocks=True),)
            if self.roots else ()
        )  # fmt: skip
        self._sweeper = Sweeper(self.sweep, self.store.shift_expiry)

    # Start and stop

    def start(self) -> None:
        """Clean up after the last run, queue its unfinished jobs, and start the workers."""
        shutil.rmtree(self.store.folder / "spool")
        (self.store.folder / "spool").mkdir(mode=0o700)
        self.store.remove_strays()
        for job in self.store.in_state("running"):
            log.info("was running when the server ended", extra={"job": job.id})
            self._dispatcher.lost(job)
        self.sweep()
        for runner in (*self.runners, *self._block_runners):
            runner.start()
        self._sweeper.start()

    def leave(self, drain: bool = True) -> None:
        """Accept no further uploads and begin no further jobs; returns at once. See `stop`."""
        deadline = time.monotonic() + (self.settings.drain_s if drain else 0.0)
        changed = self._dispatcher.changed
        self._dispatcher.close()
        with changed:
            self._stopping = True
            for runner in self.runners:
                runner.leave(deadline)
            for runner in self._block_runners:
                runner.leave(time.monotonic())  # what is done is kept: nothing is gained by waiting
            changed.notify_all()
        self._dispatcher.listeners.notify_all()

    def stop(self, drain: bool = True) -> None:
        """End the workers and release the state folder; blocks.

        Args:
            drain: whether running jobs have the settings' `drain_s` to end, counted from an earlier
                call of `leave`. Jobs that do not end in time go back into the queue, which the
                next start takes up.
        """
        if not (drain and self._stopping):
            self.leave(drain)
        for runner in (*self.runners, *self._block_runners):
            if runner.is_alive():
                runner.join()
        self._sweeper.end()
        self.checks.close()
        self._admission.close()
        self.store.close()

    @property
    def ready(self) -> bool:
        """Whether every worker is warm and jobs are accepted."""
        return not self._stopping and all(runner.ready for runner in self.runners)

    @property
    def stopping(self) -> bool:
        """Whether the server is shutting down."""
        return self._stopping

    @property
    def waiting(self) -> int:
        """Number of queued jobs."""
        return self.store.count("queued")

    def models(self) -> list[ModelInfo]:
        """The installed networks, the default one first."""
        return list_models()

    # Submit

    def admit(self, owner: str, nbytes: int = 0) -> None:
        """Check that a job with an upload of `nbytes` bytes would be accepted now.

        Raises:
            ServerStopping, QueueFull, QuotaExceeded, DiskFull: it would not.
        """
        self._check_open()
        mean_s = self._dispatcher.mean_run_time
        retry_after = max(1, min(300, round(mean_s / len(self.runners))))
        self._admission.admit(owner, nbytes, retry_after)

    def spool(self, owner: str, name: str = "volume") -> Spool:
        """Open the spool of a new upload.

        Raises:
            ServerStopping, TryLater, DiskFull: no upload is accepted now.
        """
        self._check_open()
        return self._admission.spool(owner, name)

    def _check_open(self) -> None:
        if self._stopping:
            raise ServerStopping("the server is shutting down: try again when it is back", 30)

    def submit(self, spec: JobSpec) -> Job:
        """Queue a job, or answer it from the store.

        Returns:
            The new job, already done if the store had its answer (`reused`); or the earlier job of
            the same idempotency key.

        Raises:
            BadParameter: names the parameter that is wrong.
            NotFound: the input or the source is not in the store, or belongs to another owner.
            Conflict: the idempotency key belongs to another request, or the source is not done.
            ServerStopping, QueueFull, QuotaExceeded, DiskFull: the job is not accepted.
        """
        models = self.models()
        spec = checked(spec, models, lambda job_id: self._retraceable(job_id, spec.owner))
        key = answer_key(spec, models)
        most = self.settings.time_limit_s
        if KINDS[spec.kind].in_blocks:
            check_dask(self.settings)
            most = self.settings.large_hours * 3600
        limit = min(spec.time_limit_s or most, most)
        with self._dispatcher.changed:
            earlier = self.store.job_of_key(spec)
            if earlier is None:
                self.admit(spec.owner, self._new_bytes(spec))
            job = self.store.add(spec, key, limit)
            if earlier is None:
                self._dispatcher.enqueue(job)
        return self.store.job(job.id)

    def submit_place(self, spec: JobSpec, path: str, fingerprint: str | None = None) -> Job:
        """Queue a job for a volume on this machine, which is not copied; blocks while it is read.

        Args:
            spec: the request without its input.
            path: path of the volume as the client wrote it; its last part is the default name.
            fingerprint: the fingerprint of the client's own file; None skips the comparison.

        A trace of a volume that is too large for the memory becomes a job in blocks.

        Raises:
            Forbidden, NotFound, Conflict: see `Places.find`.
            MissingDependency: it would run in blocks, and Dask is not installed.
            DineuroError: see `submit`.
        """
        self.admit(spec.owner)
        parameters = {"name": PurePath(path).name or "volume", **spec.parameters}
        roi = TraceOptions.from_dict(parameters).roi
        self._admission.headers.prepare()
        in_blocks = spec.kind == "trace"
        place = self._places.find(path, fingerprint, roi, in_blocks=in_blocks)
        return self.submit(replace(spec, parameters=parameters, input=place.sha256, place=place))

    def _new_bytes(self, spec: JobSpec) -> int:
        """Bytes that the input adds to its owner's; 0 if a job of the owner already has it."""
        if (
            spec.input is None
            or spec.place is not None
            or self.store.has_input(spec.owner, spec.input)
        ):
            return 0
        return self.store.blob(spec.input).nbytes

    def _retraceable(self, job_id: str, owner: str) -> Job:
        """The earlier job of a retrace.

        Raises:
            NotFound: see `get`.
            Conflict: the job has no probability to trace again.
        """
        source = self.get(job_id, owner)
        probability = self.store.results.folder(source.id) / PROBABILITY
        if source.state != "done" or not probability.exists():
            raise Conflict(f"job {source.id}: is {source.state} and has nothing to trace again")
        return source

    # Follow

    def get(self, job_id: str, owner: str) -> Job:
        """A job of an owner.

        Raises:
            NotFound: there is no such job, or it is another owner's; the message is the same.
        """
        job = self.store.job(job_id)
        if job.owner != owner:
            raise NotFound(f"job {job_id}: there is none, or it has been swept")
        return job

    def jobs(self, owner: str, selection: Selection = NEWEST) -> list[Job]:
        """The selected jobs of an owner, the newest first."""
        return self.store.jobs(owner, selection)

    def cancel(self, job_id: str, owner: str) -> Job:
        """Cancel a job; a running one ends about a second later, an ended one does not change.

        Raises:
            NotFound: see `get`.
        """
        with self._dispatcher.changed:
            self._dispatcher.cancel(self.get(job_id, owner))
        return self.store.job(job_id)

    def rename(self, job_id: str, owner: str, name: str) -> Job:
        """Give an ended job another name, by the same rule as at its creation.

        A job that waits or runs keeps its name, because it will be written into the results.

        Raises:
            BadParameter: the name is not allowed.
            NotFound: see `get`.
            Conflict: the job has not ended.
        """
        plain = TraceOptions.from_dict({"name": name}).name
        with self._dispatcher.changed:
            job = self.get(job_id, owner)
            if not job.ended:
                raise Conflict(f"job {job_id}: is {job.state}: rename it when it has ended")
            return self.store.rename(job.id, plain)

    def remove(self, job_id: str, owner: str) -> None:
        """Remove an ended job and its results at once.

        Raises:
            NotFound: see `get`.
            Conflict: the job has not ended.
        """
        with self._dispatcher.changed:
            job = self.get(job_id, owner)
            if not job.ended:
                raise Conflict(f"job {job_id}: is {job.state}: cancel it first")
            self.store.remove(job.id)
            self._admission.drop(job.input)

    def results(self, job: Job) -> Results:
        """The files of a done job.

        Raises:
            Conflict: the job is not done yet.
            DineuroError: the job's own error, if it failed or was cancelled.
        """
        if job.error_code is not None:
            raise error_for(job.error_code, job.error_text or "")
        if job.state != "done":
            raise Conflict(f"job {job.id}: is {job.state}: wait until it is done")
        return Results(job.id, job.kind, self.store.results.folder(job.id))

    def events(self, job_id: str, owner: str, after: int = 0) -> list[Event]:
        """The events of a job with a number above `after`; does not wait.

        Raises:
            NotFound: see `get`.
        """
        return self.store.events(self.get(job_id, owner).id, after)

    def subscribe(self, job_id: str, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` at every event of a job, from any thread; it must return quickly.

        Returns:
            A function that ends the subscription.
        """
        return self._dispatcher.listeners.add(job_id, callback)

    # Upkeep

    def sweep(self) -> None:
        """Remove the expired jobs with their results, and the inputs that no job has."""
        for job in self.store.expired(time.time()):
            with self._dispatcher.changed:  # no job is answered from results that are being removed
                self.store.remove(job.id)
            self._admission.drop(job.input)
            log.info("swept", extra={"job": job.id})
        for sha256 in self.store.unused_blobs():
            self._admission.drop(sha256)
        self.store.remove_stray_runs()

    def _gauges(self) -> dict[str, Callable[[], float]]:
        """The measurement of each gauge, by name."""
        return {
            "queue": lambda: self.waiting,
            "running": lambda: self.store.count("running"),
            "uploads": lambda: self._admission.uploads,
            "ready": lambda: self.ready,
            "memory_bytes": lambda: psutil.Process().memory_info().rss,
            "worker_memory_bytes": lambda: sum(
                runner.memory for runner in (*self.runners, *self._block_runners)
            ),
            "disk_free_bytes": lambda: shutil.disk_usage(self.store.folder).free,
        }
