"""What a runner may ask of the queue and tell it; the store stays behind this protocol."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from dineuro_bridge.errors import DineuroError
from dineuro_server.jobs.kinds import Kind
from dineuro_server.jobs.records import Job, WorkFigures


@dataclass(frozen=True, slots=True)
class BlockWork:
    """Where and by whom a job in blocks is done; all fields are JSON values.

    Attributes:
        folder: of the run; the next attempt goes on in it.
        tells_folder: whether the report tells the folder.
        edge: of a block in voxels.
        scheduler: address of a Dask cluster; None starts processes here.
        workers: number of processes to start; 0 without Dask.
        memory: of each of them (bytes).
        most_bytes: that the run may take on disk.
    """

    folder: str
    tells_folder: bool
    edge: int
    scheduler: str | None
    workers: int
    memory: int
    most_bytes: int


@dataclass(frozen=True, slots=True)
class Task:
    """One job as its worker gets it; all fields are JSON values.

    Attributes:
        job: id of the job.
        kind: "trace", "enhance", "retrace" or "brain".
        input: path of the volume; of the mask for a retrace without `probability`. Empty with a
            `place`.
        sha256: SHA-256 of that file, in hexadecimal.
        parameters: values of `dineuro_bridge.options.TraceOptions`.
        output: path of the folder for the results; it does not exist yet.
        max_bytes: limit of a volume in memory.
        probability, report: paths of an earlier job's results, for a retrace of that job.
        place: fields of the `jobs.records.Place` of a volume that a path named.
        blocks: fields of the `BlockWork` of a job in blocks.
    """

    job: str
    kind: Kind
    input: str
    sha256: str
    parameters: dict[str, Any]
    output: str
    max_bytes: int
    probability: str | None = None
    report: str | None = None
    place: dict[str, Any] | None = None
    blocks: dict[str, Any] | None = None


class JobSource(Protocol):
    """The queue as a runner sees it; every method may be called from any thread."""

    def next_job(self, leaving: Callable[[], bool], *, in_blocks: bool = False) -> Job | None:
        """Begin the next job; blocks until there is one, and returns None once `leaving()`.

        Args:
            leaving: whether the runner begins no further job.
            in_blocks: whether it does jobs in blocks, or the others.
        """

    def task(self, job: Job) -> Task:
        """The work of a job, for its worker."""

    def is_cancelled(self, job_id: str) -> bool:
        """Whether the owner has cancelled a running job."""

    def progress(self, job_id: str, stage: str, done: int, total: int) -> None:
        """Record the progress of a running job."""

    def complete(self, job: Job, figures: WorkFigures) -> None:
        """Publish the results of a running job; the job is done."""

    def fail(self, job: Job, error: DineuroError) -> None:
        """End a running job with an error: it is cancelled or failed."""

    def lost(self, job: Job) -> None:
        """Queue a job once more after its worker died, or fail it after the last attempt."""

    def put_back(self, job: Job) -> None:
        """Queue a running job for the next start of the server; the attempt does not count."""

    def worker_lost(self) -> None:
        """Count a worker that died or was killed."""
