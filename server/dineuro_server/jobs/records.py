"""The records of the service: inputs, requests, jobs, their events and their figures."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from dineuro_server.jobs.kinds import Kind

State = Literal["queued", "running", "done", "failed", "cancelled"]
#: The final states.
ENDED: tuple[State, ...] = ("done", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class Blob:
    """A complete input on disk.

    Attributes:
        sha256: SHA-256 of its bytes, in hexadecimal.
        suffix: ".tif", ".v3draw" or ".v3dpbd", by its content.
        nbytes: size in bytes.
        path: path of the file; it is never sent to a client.
    """

    sha256: str
    suffix: str
    nbytes: int
    path: Path


@dataclass(frozen=True, slots=True)
class Place:
    """A volume that lies on the server's machine, as it was when a job named it.

    Attributes:
        root: the served folder that it lies below.
        path: its path in this folder, without links.
        named: its path as the client wrote it.
        suffix: the suffix of its format, by its content.
        is_folder: whether it is a folder.
        stamp: a text that differs if it has changed; see `pins.Status`.
        sha256: SHA-256 of the file's bytes, or of what identifies a folder or a volume that runs in
            blocks, in hexadecimal.
        in_blocks: whether it is too large for the memory, and runs in blocks.
    """

    root: str
    path: str
    named: str
    suffix: str
    is_folder: bool
    stamp: str
    sha256: str
    in_blocks: bool = False

    @property
    def by_stamp(self) -> bool:
        """Whether it is known by sizes, names and times, because its bytes may be too many."""
        return self.is_folder or self.in_blocks

    @property
    def full_path(self) -> str:
        """Its path on the server's machine."""
        return os.path.normpath(f"{self.root}/{self.path}")


@dataclass(frozen=True, slots=True)
class JobSpec:
    """A request for a job, as a door hands it to the engine.

    Attributes:
        kind: "trace" (tree, mask, report), "enhance" (mask, report) or "retrace" (tree and report
            of a mask, or of an earlier job's probability, without the network). A trace whose
            volume is too large for the memory becomes "brain" (trees of all neurons, report).
        owner: name of the token or key, or `access.tokens.LOCAL`.
        input: SHA-256 of the input, or of what identifies a folder; None for a retrace of an
            earlier job.
        source: id of the earlier job that is traced again; None for other requests.
        place: where the input lies, if a path named it; None for an upload.
        parameters: values of `dineuro_bridge.options.TraceOptions`, as JSON.
        priority: -10..10; an owner's jobs of higher priority run first.
        idempotency_key: a second request of the owner with this key returns the first one's job.
        time_limit_s: run time in seconds; the server's own limit holds in any case.
        reuse: whether the answer to an earlier equal request may be used.
    """

    kind: Kind
    owner: str
    input: str | None = None
    source: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    priority: int = 0
    idempotency_key: str | None = None
    time_limit_s: float | None = None
    reuse: bool = True
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """The state of a job at the time of a query; times are seconds since 1970.

    Attributes:
        id: 32 random hexadecimal digits.
        owner, kind, input, source, place, parameters, priority, idempotency_key, reuse: see
            `JobSpec`.
        state: "queued", "running", "done", "failed" or "cancelled".
        answer_key: equal for requests that must get the same answer.
        time_limit_s: run time in seconds after which the job is ended.
        created, started, finished: None until the job has reached that point.
        expires: time at which the results are swept.
        attempts: number of times that a worker began the job.
        stage, done, total: the last progress; `stage` is None before the first.
        error_code, error_text: error of a failed or cancelled job; see `dineuro_bridge.errors`.
        reused: whether the job was answered from the store.
        result_bytes: size of the results on disk.
        cancel_requested: whether its owner has cancelled it.
    """

    id: str
    owner: str
    kind: Kind
    state: State
    input: str | None
    source: str | None
    place: Place | None
    parameters: dict[str, Any]
    priority: int
    idempotency_key: str | None
    answer_key: str
    reuse: bool
    time_limit_s: float
    created: float
    started: float | None
    finished: float | None
    expires: float | None
    attempts: int
    stage: str | None
    done: int
    total: int
    error_code: str | None
    error_text: str | None
    reused: bool
    result_bytes: int
    cancel_requested: bool

    @property
    def ended(self) -> bool:
        """Whether the state is final."""
        return self.state in ENDED


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a job.

    Attributes:
        number: counted from 1 within the job, without a gap.
        time: seconds since 1970.
        kind: "state" or "progress".
        data: JSON values: `state`, with `code` and `detail` of an error; or `stage`, `done` and
            `total`.
    """

    number: int
    time: float
    kind: Literal["state", "progress"]
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class LoggedEdit:
    """One edit of a job's tree.

    Attributes:
        revision: counted from 1 within the job, without a gap.
        time: seconds since 1970.
        author: name of the token or key that sent it.
        operation: JSON values; see `dineuro_bridge.trees.operations`.
    """

    revision: int
    time: float
    author: str
    operation: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which jobs of an owner are listed; None of a field selects all.

    Attributes:
        before: jobs created before this time (seconds since 1970).
        limit: maximal number of jobs; the newest are listed.
        state: jobs in this state.
        kind: jobs of this kind.
    """

    before: float | None = None
    limit: int = 100
    state: State | None = None
    kind: Kind | None = None


#: The newest jobs of any state and kind.
NEWEST = Selection()


@dataclass(frozen=True, slots=True)
class Usage:
    """Use of the store by one owner: queued and running jobs, and bytes of inputs and results."""

    jobs: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class WorkFigures:
    """What a worker measured while it did a job.

    Attributes:
        nbytes: size of the results on disk.
        voxels: voxels of one channel of the volume.
        seconds: run time of each stage.
        gpu_bytes: peak of the GPU memory; 0 without a GPU.
    """

    nbytes: int
    voxels: int
    seconds: dict[str, float]
    gpu_bytes: int
