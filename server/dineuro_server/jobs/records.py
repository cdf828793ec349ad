"""The records of the service: what is asked, what became of it, what happened meanwhile."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Kind = Literal["trace", "enhance", "retrace"]
State = Literal["queued", "running", "done", "failed", "cancelled"]
KINDS: tuple[Kind, ...] = ("trace", "enhance", "retrace")
#: States that a job never leaves.
ENDED: tuple[State, ...] = ("done", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class Blob:
    """A complete input on disk.

    Attributes:
        sha256: of its bytes, in hexadecimal; its name.
        suffix: ".tif", ".v3draw" or ".v3dpbd", by its content.
        nbytes: its size.
        path: where it lies; never told to a client.
    """

    sha256: str
    suffix: str
    nbytes: int
    path: Path


@dataclass(frozen=True, slots=True)
class JobSpec:
    """What a door asks the engine to do.

    Attributes:
        kind: "trace" (tree, mask, report), "enhance" (mask, report), "retrace" (a mask in, or the
            probability of an earlier job; tree and report, without the network).
        owner: who may see the job: the name of a token or key, or `security.LOCAL`.
        input: SHA-256 of the blob; None for a retrace of an earlier job.
        source: id of the earlier job whose probability is traced again; None for the others.
        parameters: of a `TraceOptions`; JSON values only.
        priority: -10..10; of one owner's jobs the highest goes first.
        idempotency_key: a second submission of the same owner with it gives the first one's job.
        time_limit_s: seconds that it may run; the server's own limit is kept in any case.
        reuse: answer from the store where the same was asked before.
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


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it stood when it was looked up; times are seconds since 1970.

    Attributes:
        id: unguessable, 32 hexadecimal digits.
        owner, kind, input, source, parameters, priority, idempotency_key, reuse: of its `JobSpec`.
        state: "queued", "running", "done", "failed" or "cancelled".
        time_limit_s: that holds for it.
        created, started, finished: None where it has not come to that.
        expires: when its results are swept.
        attempts: how often a worker began it.
        stage, done, total: its last progress; stage None before the first.
        error_code, error_text: of a failed or cancelled one; see `dineuro_bridge.errors`.
        reused: whether it was answered from the store.
        result_bytes: its results' size on disk.
    """

    id: str
    owner: str
    kind: Kind
    state: State
    input: str | None
    source: str | None
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

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in ENDED


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to a job.

    Attributes:
        number: from 1, without a gap within its job.
        time: seconds since 1970.
        kind: "state" (data: state, and code and detail of an error) or "progress" (data: stage,
            done, total).
        data: JSON values.
    """

    number: int
    time: float
    kind: Literal["state", "progress"]
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Usage:
    """What one owner has: jobs that wait or run, and bytes of inputs and results."""

    jobs: int
    nbytes: int
