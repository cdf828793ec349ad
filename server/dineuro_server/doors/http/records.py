"""The JSON records of the HTTP interface: jobs, models, health and problems."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from pydantic.config import JsonDict

from dineuro_server.jobs.kinds import KINDS, Kind
from dineuro_server.jobs.records import Job, State

_EXAMPLE: JsonDict = {
    "id": "5f0c6a3d8e9b4f21a7c4d2e8b1f03a96",
    "kind": "trace",
    "state": "running",
    "created": "2026-05-04T09:12:31.402Z",
    "started": "2026-05-04T09:12:31.533Z",
    "finished": None,
    "expires": None,
    "priority": 0,
    "attempts": 1,
    "reused": False,
    "progress": {"stage": "enhance", "done": 12, "total": 40},
    "error": None,
    "input_sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "source": None,
    "path": None,
    "parameters": {"name": "neuron.tif", "enhancer": "auto", "threshold": 128},
    "time_limit": 3600.0,
    "result_bytes": 0,
    "links": {
        "self": "/v1/jobs/5f0c6a3d8e9b4f21a7c4d2e8b1f03a96",
        "events": "/v1/jobs/5f0c6a3d8e9b4f21a7c4d2e8b1f03a96/events",
    },
}


class ProgressRecord(BaseModel):
    """`done` of `total` steps of a stage; the unit of a step is the stage's own."""

    stage: str
    done: int
    total: int


class ErrorRecord(BaseModel):
    """Why a job failed: `code` is for programs, `detail` is for people."""

    code: str
    detail: str


class JobRecord(BaseModel):
    """A job; times are UTC.

    `result_bytes` is the size of its results on the server's disk. `path` names a volume that was
    not uploaded; that of a folder, or of a job in blocks, has no `input_sha256`.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    id: str
    kind: Kind
    state: State
    created: datetime
    started: datetime | None
    finished: datetime | None
    expires: datetime | None
    priority: int
    attempts: int
    reused: bool
    progress: ProgressRecord | None
    error: ErrorRecord | None
    input_sha256: str | None
    source: str | None
    path: str | None
    parameters: dict[str, Any]
    time_limit: float
    result_bytes: int
    links: dict[str, str]


class JobList(BaseModel):
    """Jobs, the newest first; `next` is the address of older ones."""

    jobs: list[JobRecord]
    next: str | None


class LevelRecord(BaseModel):
    """One resolution of a volume, as z, y, x.

    `shape` is in its own voxels, and `scale` is the voxels of the volume that one of them stands
    for along each axis.
    """

    level: int
    shape: tuple[int, int, int]
    scale: tuple[int, int, int]


class TilesRecord(BaseModel):
    """The slices of a volume.

    `tile` is the side of a tile in pixels, `low` and `high` are the intensities of the values 0 and
    255, and `window` holds the values that are black and white at a first look. `spacing` is the
    voxel size as z, y, x in µm.
    """

    levels: list[LevelRecord]
    tile: int
    low: float
    high: float
    window: tuple[int, int]
    spacing: tuple[float, float, float] | None


class EditRecord(BaseModel):
    """One edit.

    The fields of the operation stand beside these. `points` is the number of points of its path.
    `in_force` says whether it has not been taken back; undo and redo are never in force.
    """

    model_config = ConfigDict(extra="allow")

    revision: int
    op: str
    author: str
    time: datetime
    in_force: bool


class EditsRecord(BaseModel):
    """The edits of a job's tree, the oldest first, and the answers to its doubts.

    `moot` holds the numbers of the doubts without an answer whose place an edit has taken away.
    """

    revision: int
    can_undo: bool
    can_redo: bool
    operations: list[EditRecord]
    doubts: dict[int, Literal["accepted", "rejected"]]
    moot: list[int]


class PathRecord(BaseModel):
    """A path from one place to another.

    `path` holds x, y, z in voxels and the radius in finest voxels; its ends are the two places.
    `supported` is the share of the path whose probability reaches the threshold.
    """

    path: list[tuple[float, float, float, float]]
    supported: float


class ModelRecord(BaseModel):
    """A network; `name` is the value of the parameter `model`."""

    name: str
    sha256: str
    description: str
    default: bool


class ModelList(BaseModel):
    """The installed networks, the default one first."""

    models: list[ModelRecord]


class Health(BaseModel):
    """Whether the server is alive, or ready; `detail` says what it is waiting for."""

    status: Literal["ok", "starting", "failing", "stopping"]
    detail: str


class Problem(BaseModel):
    """An error (RFC 9457); `code` is for programs, and the server's log has the `id` too."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:dineuro:problem:bad_parameter",
                    "title": "Unprocessable Entity",
                    "status": 422,
                    "detail": "threshold: input should be less than or equal to 255",
                    "code": "bad_parameter",
                    "id": "3f9c2b7a1d5e8c40",
                }
            ]
        },
    )

    type: str
    title: str
    status: int
    detail: str
    code: str
    id: str


def record_of(job: Job) -> JobRecord:
    """The job for a client, without owner, paths and keys."""
    here = f"/v1/jobs/{job.id}"
    links = {"self": here, "events": f"{here}/events"}
    if job.state == "done":
        parts = [part for part in KINDS[job.kind].parts if part.is_served]
        links |= {part.name: f"{here}/{part.segment}" for part in parts}
    return JobRecord(
        id=job.id,
        kind=job.kind,
        state=job.state,
        created=_time(job.created),
        started=None if job.started is None else _time(job.started),
        finished=None if job.finished is None else _time(job.finished),
        expires=None if job.expires is None else _time(job.expires),
        priority=job.priority,
        attempts=job.attempts,
        reused=job.reused,
        progress=None
        if job.stage is None
        else ProgressRecord(stage=job.stage, done=job.done, total=job.total),
        error=None
        if job.error_code is None
        else ErrorRecord(code=job.error_code, detail=job.error_text or ""),
        input_sha256=None if job.place is not None and job.place.by_stamp else job.input,
        source=job.source,
        path=None if job.place is None else job.place.named,
        parameters=job.parameters,
        time_limit=job.time_limit_s,
        result_bytes=job.result_bytes,
        links=links,
    )


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
