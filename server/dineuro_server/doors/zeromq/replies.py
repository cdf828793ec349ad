"""The messages that the door sends about jobs and errors, and the files behind their parts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dineuro_bridge.errors import (
    Cancelled,
    DineuroError,
    FileAccess,
    NotFound,
    TryLater,
    Unauthorized,
    error_for,
)
from dineuro_bridge.parts import PARTS, Part
from dineuro_bridge.protocol import Message
from dineuro_bridge.volumes.v3draw import HEADER_BYTES as VOLUME_OFFSET
from dineuro_bridge.volumes.v3draw import read_header
from dineuro_server.engine import Engine
from dineuro_server.jobs.records import Job

_INTERNAL = "an error of the server's own: its log has it under this id"
#: Longest text of an error, and longest name of a request, transfer or job in an ERROR.
_LONGEST_DETAIL, _LONGEST_NAME = 4000, 200


def queued(request: str, job: Job) -> Message:
    """The QUEUED of a request that became a job."""
    return Message("QUEUED", {"request": request, "job": job.id, "reused": job.reused})


def rejected(request: str, error: DineuroError) -> Message:
    """The REJECT of a request that becomes no job."""
    header: dict[str, Any] = {"request": request, "code": error.code, "detail": detail_of(error)}
    if isinstance(error, TryLater):
        header["retry_after"] = error.retry_after
    return Message("REJECT", header)


def refused(error: Exception, about: Mapping[str, Any], problem_id: str) -> Message:
    """The ERROR, or the CANCELLED, that an exception becomes.

    Args:
        error: any exception; the client learns only the text of the project's own errors.
        about: names of the request, transfer and job concerned.
        problem_id: id of the problem, which is also in the log.
    """
    if isinstance(error, Cancelled) and "job" in about:
        return Message("CANCELLED", {"job": about["job"]})
    names = {key: value[:_LONGEST_NAME] for key, value in about.items() if isinstance(value, str)}
    code = error.code if isinstance(error, DineuroError) else DineuroError.code
    detail = _INTERNAL if is_internal(error) else detail_of(error)
    header: dict[str, Any] = {**names, "code": code, "detail": detail, "id": problem_id}
    if isinstance(error, TryLater):
        header["retry_after"] = error.retry_after
    return Message("ERROR", header)


def is_internal(error: Exception) -> bool:
    """Whether an error's text is for the log alone: it may hold paths of the server."""
    return not isinstance(error, DineuroError) or isinstance(error, FileAccess)


def revoked() -> Unauthorized:
    """The error of a key that was revoked."""
    return Unauthorized("the key is not valid here any more: ask who runs the server")


def swept(job_id: str) -> NotFound:
    """The error of a job whose results have been removed."""
    return NotFound(f"job {job_id}: its results have been swept")


def detail_of(error: Exception) -> str:
    """The text of an error, cut to what fits into a header."""
    return str(error)[:_LONGEST_DETAIL]


def state_of(engine: Engine, job: Job) -> Message:
    """The PROGRESS, RESULT or CANCELLED that describes a job's present state.

    Raises:
        DineuroError: the job's own error, if it failed.
    """
    if job.state == "cancelled":
        return Message("CANCELLED", {"job": job.id})
    if job.error_code is not None:
        raise error_for(job.error_code, job.error_text or "")
    if job.state != "done":
        header: dict[str, Any] = {"job": job.id, "state": job.state}
        if job.stage is not None:
            header |= {"stage": job.stage, "done": job.done, "total": job.total}
        return Message("PROGRESS", header)
    return Message("RESULT", {"job": job.id, "parts": _parts(engine, job), "reused": job.reused})


def part_file(engine: Engine, job: Job, name: str) -> tuple[Path, int]:
    """The file of a part of a done job, and the offset in bytes at which the part begins.

    Raises:
        Conflict: the job is not done.
        NotFound: its kind has no such part.
    """
    part = PARTS.get(name)
    if part is None or not part.is_delivered:
        raise NotFound(f"job {job.id}: has no {name[:40]}")
    # A volume travels as its samples alone; the RESULT tells their shape.
    return engine.results(job).path(part), VOLUME_OFFSET if part.content == "volume" else 0


def _parts(engine: Engine, job: Job) -> dict[str, dict[str, Any]]:
    """The descriptors of a done job's parts, by name."""
    paths = engine.results(job).select(lambda part: part.is_delivered)
    return {name: _descriptor(PARTS[name], path) for name, path in paths.items()}


def _descriptor(part: Part, path: Path) -> dict[str, Any]:
    """The descriptor of one part: its size, and the shape and dtype of a volume."""
    nbytes = path.stat().st_size
    if part.content != "volume":
        return {"nbytes": nbytes}
    shape = list(read_header(path).shape)
    return {"nbytes": nbytes - VOLUME_OFFSET, "shape": shape, "dtype": "uint8"}
