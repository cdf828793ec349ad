"""POST /v1/trace, /v1/enhance and /v1/retrace: a volume in, its result or its job out."""

from __future__ import annotations

import asyncio
import functools
from dataclasses import dataclass
from typing import Any

from anyio import CancelScope
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from dineuro_bridge.errors import BadParameter, BadRequest, DineuroError
from dineuro_bridge.parts import Part
from dineuro_server.doors.http.answers import part_answer, zip_answer
from dineuro_server.doors.http.follow import ended
from dineuro_server.doors.http.negotiation import choose, offers
from dineuro_server.doors.http.openapi import submission_docs
from dineuro_server.doors.http.problems import problem_of
from dineuro_server.doors.http.records import record_of
from dineuro_server.doors.http.service import OwnerOf, Service, ServiceOf
from dineuro_server.doors.http.uploads import announced_bytes, check_content_type, receive
from dineuro_server.jobs.kinds import ASKED, JobKind
from dineuro_server.jobs.records import Job, JobSpec

router = APIRouter(prefix="/v1", tags=["volumes"])

#: The query's parameters that are not parameters of the pipeline.
_CONTROLS = ("priority", "time_limit", "deadline", "reuse", "job", "path", "fingerprint")
#: Longest idempotency key (characters).
_LONGEST_KEY = 200


@dataclass(frozen=True, slots=True)
class _Submission:
    """The values of a submission's query, form and headers.

    Attributes:
        parameters: parameters of the pipeline, not checked yet.
        priority: see `JobSpec`.
        time_limit_s: see `JobSpec`.
        wait_s: time that the request waits for the result; 0 answers with the job at once.
        reuse: see `JobSpec`.
        job: id of the earlier job of a retrace.
        idempotency_key: see `JobSpec`.
    """

    parameters: dict[str, Any]
    priority: int
    time_limit_s: float | None
    wait_s: float
    reuse: bool
    job: str | None
    idempotency_key: str | None


async def _submit(kind: JobKind, request: Request, service: Service, owner: str) -> Response:
    offered = offers(kind)
    media_type = choose(request.headers.get("accept"), tuple(offered))
    query = _query(request)
    if "path" in query or "fingerprint" in query:
        job, submission = await _place(kind, request, service, owner, query)
    elif kind.retraces and "job" in query:
        submission = _submission(request, query, service)
        job = await run_in_threadpool(
            service.engine.submit, _spec(kind, owner, submission, None, submission.job)
        )
    else:
        job, submission = await _upload(kind, request, service, owner, query)
    job = await ended(service.engine, job, submission.wait_s)
    if job.ended:
        return await _answer(service, job, offered[media_type], media_type)
    headers = {"Location": f"/v1/jobs/{job.id}", "Retry-After": "1"}
    if _prefers(request):
        headers["Preference-Applied"] = ", ".join(_prefers(request))
    return JSONResponse(record_of(job).model_dump(mode="json"), 202, headers)


async def _place(
    kind: JobKind, request: Request, service: Service, owner: str, query: dict[str, str]
) -> tuple[Job, _Submission]:
    """The job of a volume that lies on the server's machine.

    Raises:
        BadRequest: the request has a volume too, or names a job too.
    """
    headers = request.headers
    if "job" in query or "path" not in query:
        raise BadRequest("path: stands alone, or with its fingerprint; a job is another input")
    if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
        raise BadRequest("path: names the volume, so that the request has no body")
    submission = _submission(request, query, service)
    submit = functools.partial(
        service.engine.submit_place,
        _spec(kind, owner, submission, None, None),
        query["path"],
        query.get("fingerprint"),
    )
    return await asyncio.wrap_future(service.engine.checks.submit(owner, submit)), submission


async def _upload(
    kind: JobKind, request: Request, service: Service, owner: str, query: dict[str, str]
) -> tuple[Job, _Submission]:
    """The job of the volume in the request's body."""
    check_content_type(request)
    nbytes = announced_bytes(request, service.settings.max_bytes)
    submission = _submission(request, query, service)
    await run_in_threadpool(service.engine.admit, owner, nbytes)
    spool = await run_in_threadpool(service.engine.spool, owner, query.get("name", "volume"))
    try:
        fields = await receive(request, spool)
        if "path" in fields:
            raise BadRequest("path: is a parameter of the query, of a request without a file")
        repeated = [name for name in fields if name in query and name != "name"]
        if repeated:
            raise BadParameter(f"{repeated[0]}: is both in the query and in the form")
        submission = _submission(request, fields | query, service)
        with CancelScope(shield=True):  # one thread at a time may use the spool
            blob = await asyncio.wrap_future(service.engine.checks.submit(owner, spool.finish))
        spec = _spec(kind, owner, submission, blob.sha256, None)
        return await run_in_threadpool(service.engine.submit, spec), submission
    finally:
        await run_in_threadpool(spool.close)


def _spec(
    kind: JobKind, owner: str, submission: _Submission, sha256: str | None, job: str | None
) -> JobSpec:
    return JobSpec(
        kind=kind.name,
        owner=owner,
        input=sha256,
        source=job,
        parameters=submission.parameters,
        priority=submission.priority,
        idempotency_key=submission.idempotency_key,
        time_limit_s=submission.time_limit_s,
        reuse=submission.reuse,
    )


async def _answer(service: Service, job: Job, part: Part | None, media_type: str) -> Response:
    """One part of an ended job, or the zip file without a part; a failed job gives its problem."""
    try:
        if part is None:
            answer = await zip_answer(service, job)
        else:
            answer = await part_answer(service, job, part, media_type)
    except DineuroError as error:
        answer = problem_of(error, job=job.id)
    answer.headers["Location"] = f"/v1/jobs/{job.id}"
    return answer


def _query(request: Request) -> dict[str, str]:
    """The parameters of the query.

    Raises:
        BadParameter: a parameter occurs twice.
    """
    query: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name in query:
            raise BadParameter(f"{name}: occurs twice in the query")
        query[name] = value
    return query


def _submission(request: Request, words: dict[str, str], service: Service) -> _Submission:
    """The submission of a request.

    Args:
        request: the request, for its headers.
        words: the parameters of its query and form.
        service: the server, for its longest waiting time.

    Raises:
        BadParameter: a control parameter is no number, or is out of its range.
        BadRequest: the idempotency key is too long or not printable.
    """
    parameters = {name: value for name, value in words.items() if name not in _CONTROLS}
    key = request.headers.get("idempotency-key")
    if key is not None and not (0 < len(key) <= _LONGEST_KEY and key.isprintable()):
        raise BadRequest(f"Idempotency-Key: must have 1 to {_LONGEST_KEY} printable characters")
    wait = service.settings.wait_s
    if "deadline" in words:
        wait = min(wait, _number("deadline", words["deadline"]))
    for preference in _prefers(request):
        if preference == "respond-async":
            wait = 0.0
        elif preference.startswith("wait="):
            wait = min(wait, _number("Prefer: wait", preference.removeprefix("wait=")))
    limit = words.get("time_limit")
    return _Submission(
        parameters=parameters,
        priority=_whole("priority", words.get("priority", "0")),
        time_limit_s=None if limit is None else _number("time_limit", limit),
        wait_s=wait,
        reuse=_flag("reuse", words.get("reuse", "true")),
        job=words.get("job"),
        idempotency_key=key,
    )


def _prefers(request: Request) -> list[str]:
    """The preferences (RFC 7240) of the request that the server applies."""
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


def _add_route(kind: JobKind) -> None:
    """The route that takes jobs of one kind."""

    async def submit(request: Request, service: ServiceOf, owner: OwnerOf) -> Response:
        return await _submit(kind, request, service, owner)

    router.add_api_route(
        f"/{kind.name}",
        submit,
        methods=["POST"],
        name=kind.name,
        description=kind.description,
        **submission_docs(kind),
    )


for _kind in ASKED.values():
    _add_route(_kind)
