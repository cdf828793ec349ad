"""/v1/jobs: the state of one's jobs, their events, and their results."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal, cast
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from dineuro_bridge.errors import BadParameter, BadRequest
from dineuro_bridge.options import OPTIONS
from dineuro_bridge.parts import PARTS, Part
from dineuro_server.doors.http.answers import part_answer, zip_answer
from dineuro_server.doors.http.follow import events_of
from dineuro_server.doors.http.negotiation import ZIP, choose
from dineuro_server.doors.http.openapi import BINARY, content_schema, problems
from dineuro_server.doors.http.records import JobList, JobRecord, record_of
from dineuro_server.doors.http.service import JobOf, OwnerOf, ServiceOf, body_of
from dineuro_server.jobs.kinds import Kind
from dineuro_server.jobs.proofreading import parsed
from dineuro_server.jobs.records import Selection, State

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], responses=problems(401, 403))

#: Bytes of the longest change: a name of the most characters, all escaped.
_LONGEST = 2**16
_CHANGE = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {"name": OPTIONS["name"].schema()},
                    "required": ["name"],
                    "additionalProperties": False,
                },
                "example": {"name": "cell 3, second try"},
            }
        },
    }
}


@router.get("", responses=problems(422))
def list_jobs(
    service: ServiceOf,
    owner: OwnerOf,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    before: Annotated[float | None, Query(allow_inf_nan=False, description="See `next`.")] = None,
    state: Annotated[State | None, Query(description="Only jobs in this state.")] = None,
    kind: Annotated[Kind | None, Query(description="Only jobs of this kind.")] = None,
) -> JobList:
    """Your jobs, the newest first."""
    jobs = service.engine.jobs(owner, Selection(before, limit, state, kind))
    following = None
    if len(jobs) == limit:
        filters = {"limit": limit, "before": jobs[-1].created, "state": state, "kind": kind}
        query = urlencode({name: value for name, value in filters.items() if value is not None})
        following = f"/v1/jobs?{query}"
    return JobList(jobs=[record_of(job) for job in jobs], next=following)


@router.get("/{job_id}", responses=problems(404))
def get_job(job: JobOf) -> JobRecord:
    """The state of a job."""
    return record_of(job)


@router.patch(
    "/{job_id}",
    response_model=JobRecord,
    responses=problems(400, 404, 409, 413, 422),
    openapi_extra=_CHANGE,
)
async def change_job(job: JobOf, service: ServiceOf, request: Request) -> JobRecord:
    """Rename a job that has ended. Its results keep the name under which they were made."""
    change = parsed(await body_of(request, _LONGEST, "a change"), "a change")
    if not isinstance(change, dict) or list(change) != ["name"] or change["name"] is None:
        raise BadParameter("a change of a job has a name and nothing else")
    renamed = await run_in_threadpool(service.engine.rename, job.id, job.owner, change["name"])
    return record_of(renamed)


@router.delete("/{job_id}", responses=problems(404))
def delete_job(job: JobOf, service: ServiceOf, response: Response) -> JobRecord:
    """Cancel a job that waits or runs, or remove one that has ended.

    The status 202 says that a running job ends within about a second.
    """
    if job.ended:
        service.engine.remove(job.id, job.owner)
        return record_of(job)
    after = service.engine.cancel(job.id, job.owner)
    if not after.ended:
        response.status_code = 202
    return record_of(after)


def _after(last_event_id: Annotated[str | None, Header()] = None) -> int:
    """The number of the last event that the client has.

    It is checked before the stream begins, while an error can still have a status of its own.
    """
    if last_event_id is None:
        return 0
    if not last_event_id.isdecimal() or len(last_event_id) > 15:
        raise BadRequest(f"Last-Event-ID {last_event_id[:40]}: must be the number of an event")
    return int(last_event_id)


@router.get("/{job_id}/events", response_class=EventSourceResponse, responses=problems(400, 404))
async def events(
    job: JobOf,
    service: ServiceOf,
    after: Annotated[int, Depends(_after)],
) -> AsyncIterator[ServerSentEvent]:
    """The events of a job, as server-sent events, until it has ended.

    `state` events carry the state, and code and detail of an error. `progress` events carry stage,
    done and total. A client that reconnects with Last-Event-ID gets the events that it missed.
    """
    async for event in events_of(service.engine, job, after):
        yield ServerSentEvent(data=event.data, event=event.kind, id=str(event.number))


@router.get(
    "/{job_id}/results.zip",
    response_class=Response,
    responses={200: {"content": {ZIP: BINARY}}, **problems(404, 409)},
)
async def results(job: JobOf, service: ServiceOf) -> Response:
    """All results of a done job in a zip file."""
    return await zip_answer(service, job)


def _add_part(part: Part) -> None:
    """The routes of one part; a volume has also one by the suffix of its format."""

    async def by_accept(job: JobOf, service: ServiceOf, request: Request) -> Response:
        media_type = choose(request.headers.get("accept"), tuple(part.media_types.values()))
        return await part_answer(service, job, part, media_type)

    async def as_stored(job: JobOf, service: ServiceOf) -> Response:
        return await part_answer(service, job, part, part.media_type)

    async def by_suffix(job: JobOf, service: ServiceOf, suffix: Any) -> Response:
        return await part_answer(service, job, part, part.media_types[suffix])

    schema = content_schema(part)
    content = {media_type: {"schema": schema} for media_type in part.media_types.values()}
    several = len(content) > 1
    add = functools.partial(router.add_api_route, methods=["GET"], response_class=Response)
    add(
        f"/{{job_id}}/{part.segment}",
        by_accept if several else as_stored,
        name=part.name,
        description=part.description + several * " The Accept header chooses the format.",
        responses={200: {"content": content}, **problems(404, *[406] * several, 409)},
    )
    if several:
        # The framework reads the choices from the annotation.
        by_suffix.__annotations__["suffix"] = cast(Any, Literal)[tuple(part.media_types)]
        add(
            f"/{{job_id}}/{part.segment}{{suffix}}",
            by_suffix,
            name=f"{part.name}_as",
            description=f"{part.description} The suffix chooses the format.",
            responses={200: {"content": content}, **problems(404, 409, 422)},
        )


for _part in PARTS.values():
    if _part.is_served:
        _add_part(_part)
