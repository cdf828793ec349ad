"""POST /v1/trace, /v1/enhance and /v1/retrace: a volume in, its result or its job out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from dineuro_bridge.errors import BadParameter, BadRequest, DineuroError
from dineuro_server.doors.http.answers import OFFERED, result_answer
from dineuro_server.doors.http.follow import ended
from dineuro_server.doors.http.negotiation import choose
from dineuro_server.doors.http.openapi import submission_docs
from dineuro_server.doors.http.problems import problem_of
from dineuro_server.doors.http.records import record_of
from dineuro_server.doors.http.service import OwnerOf, Service, ServiceOf
from dineuro_server.doors.http.uploads import announced_bytes, check_content_type, receive
from dineuro_server.jobs.records import Job, JobSpec, Kind

router = APIRouter(prefix="/v1", tags=["volumes"])

_CONTROLS = ("priority", "time_limit", "deadline", "reuse", "job")
_LONGEST_KEY = 200


@router.post("/trace", **submission_docs("trace"))
async def trace(request: Request, service: ServiceOf, owner: OwnerOf) -> Response:
    """Trace a volume: the tree as SWC; by Accept all results as a zip, the mask or the report."""
    return await _submit("trace", request, service, owner)


@router.post("/enhance", **submission_docs("enhance"))
async def enhance(request: Request, service: ServiceOf, owner: OwnerOf) -> Response:
    """Enhance a volume: the mask of its neurites, without a tree."""
    return await _submit("enhance", request, service, owner)


@router.post("/retrace", **submission_docs("retrace"))
async def retrace(request: Request, service: ServiceOf, owner: OwnerOf) -> Response:
    """Trace a mask, or with `job=ID` a finished job again with other parameters of the tracer.

    The network does not run.
    """
    return await _submit("retrace", request, service, owner)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A submission's words, from its query, form and headers.

    Attributes:
        parameters: for the pipeline, not checked yet.
        wait_s: seconds that the client wants to wait; 0 wants the job at once.
        job: of a retrace, the earlier job's id.
    """

    parameters: dict[str, Any]
    priority: int
    time_limit_s: float | None
    wait_s: float
    reuse: bool
    job: str | None
    idempotency_key: str | None


async def _submit(kind: Kind, request: Request, service: Service, owner: str) -> Response:
    wanted = choose(request.headers.get("accept"), OFFERED[kind])
    query = _query(request)
    if kind == "retrace" and "job" in query:
        asked = _asked(request, query, service)
        job = await run_in_threadpool(
            service.engine.submit, _spec(kind, owner, asked, None, asked.job)
        )
    else:
        job, asked = await _upload(kind, request, service, owner, query)
    job = await ended(service.engine, job, asked.wait_s)
    if job.ended:
        return await run_in_threadpool(_answer, service, job, wanted)
    headers = {"Location": f"/v1/jobs/{job.id}", "Retry-After": "1"}
    if _prefers(request):
        headers["Preference-Applied"] = ", ".join(_prefers(request))
    return JSONResponse(record_of(job).model_dump(mode="json"), 202, headers)


async def _upload(
    kind: Kind, request: Request, service: Service, owner: str, query: dict[str, str]
) -> tuple[Job, _Asked]:
    """The job of a volume that the request brings."""
    check_content_type(request)
    nbytes = announced_bytes(request, service.settings.max_bytes)
    asked = _asked(request, query, service)
    await run_in_threadpool(service.engine.admit, owner, nbytes)
    spool = await run_in_threadpool(service.engine.spool, owner, query.get("name", "volume"))
    try:
        fields = await receive(request, spool)
        doubled = [name for name in fields if name in query and name != "name"]
        if doubled:
            raise BadParameter(f"{doubled[0]}: stands in the query and in the form")
        asked = _asked(request, fields | query, service)
        blob = await run_in_threadpool(spool.finish)
        spec = _spec(kind, owner, asked, blob.sha256, None)
        return await run_in_threadpool(service.engine.submit, spec), asked
    finally:
        await run_in_threadpool(spool.close)


def _spec(kind: Kind, owner: str, asked: _Asked, sha256: str | None, job: str | None) -> JobSpec:
    return JobSpec(
        kind=kind,
        owner=owner,
        input=sha256,
        source=job,
        parameters=asked.parameters,
        priority=asked.priority,
        idempotency_key=asked.idempotency_key,
        time_limit_s=asked.time_limit_s,
        reuse=asked.reuse,
    )


def _answer(service: Service, job: Job, wanted: str) -> Response:
    """The result of an ended job, or the problem that it came to."""
    try:
        answer = result_answer(service, job, wanted)
    except DineuroError as error:
        answer = problem_of(error, job=job.id)
    answer.headers["Location"] = f"/v1/jobs/{job.id}"
    return answer


def _query(request: Request) -> dict[str, str]:
    """The query's words, each once."""
    query: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name in query:
            raise BadParameter(f"{name}: stands twice in the query")
        query[name] = value
    return query


def _asked(request: Request, words: dict[str, str], service: Service) -> _Asked:
    """What the words mean.

    Raises:
        BadParameter: a control that is no number or out of its range.
        BadRequest: an idempotency key that is none.
    """
    parameters = {name: value for name, value in words.items() if name not in _CONTROLS}
    key = request.headers.get("idempotency-key")
    if key is not None and not (0 < len(key) <= _LONGEST_KEY and key.isprintable()):
        raise BadRequest(f"Idempotency-Key: must be 1 to {_LONGEST_KEY} printable signs")
    wait = service.settings.wait_s
    if "deadline" in words:
        wait = min(wait, _number("deadline", words["deadline"]))
    for preference in _prefers(request):
        if preference == "respond-async":
            wait = 0.0
        elif preference.startswith("wait="):
            wait = min(wait, _number("Prefer: wait", preference.removeprefix("wait=")))
    limit = words.get("time_limit")
    return _Asked(
        parameters=parameters,
        priority=_whole("priority", words.get("priority", "0")),
        time_limit_s=None if limit is None else _number("time_limit", limit),
        wait_s=wait,
        reuse=_flag("reuse", words.get("reuse", "true")),
        job=words.get("job"),
        idempotency_key=key,
    )


def _prefers(request: Request) -> list[str]:
    """The preferences (RFC 7240) that are heeded here."""
    words = [word.strip().lower() for word in request.headers.get("prefer", "").split(",")]
    return [word for word in words if word == "respond-async" or word.startswith("wait=")]


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e9:
        raise BadParameter(f"{name} {text}: must be seconds, 0 or more")
    return value


def _whole(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise BadParameter(f"{name} {text}: must be a whole number") from error


def _flag(name: str, text: str) -> bool:
    if text.lower() not in ("true", "false", "1", "0"):
        raise BadParameter(f"{name} {text}: must be true or false")
    return text.lower() in ("true", "1")
