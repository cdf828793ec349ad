"""/v1/jobs: what became of one's jobs, as it happens, and their results."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from dineuro_bridge.errors import BadRequest
from dineuro_server.doors.http.answers import result_answer
from dineuro_server.doors.http.follow import events_of
from dineuro_server.doors.http.negotiation import JSON, MARKER, MASKS, PNG, SWC, VIEW, ZIP, choose
from dineuro_server.doors.http.openapi import problems
from dineuro_server.doors.http.records import JobList, JobRecord, record_of
from dineuro_server.doors.http.service import JobOf, OwnerOf, ServiceOf

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], responses=problems(401, 403))

_BY_SUFFIX = {suffix: kind for kind, suffix in MASKS.items()}
_BINARY = {"schema": {"type": "string", "format": "binary"}}


@router.get("", responses=problems(422))
def list_jobs(
    service: ServiceOf,
    owner: OwnerOf,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    before: Annotated[float | None, Query(allow_inf_nan=False, description="See `next`.")] = None,
) -> JobList:
    """Your jobs, the newest first."""
    jobs = service.engine.jobs(owner, before=before, limit=limit)
    more = f"/v1/jobs?limit={limit}&before={jobs[-1].created!r}" if len(jobs) == limit else None
    return JobList(jobs=[record_of(job) for job in jobs], next=more)


@router.get("/{job_id}", responses=problems(404))
def get_job(job: JobOf) -> JobRecord:
    """A job as it stands."""
    return record_of(job)


@router.delete("/{job_id}", responses=problems(404))
def delete_job(job: JobOf, service: ServiceOf, response: Response) -> JobRecord:
    """Cancel a job that waits or runs (202: in a second it has ended); forget an ended one."""
    if job.ended:
        service.engine.remove(job.id, job.owner)
        return record_of(job)
    after = service.engine.cancel(job.id, job.owner)
    if not after.ended:
        response.status_code = 202
    return record_of(after)


def _after(last_event_id: Annotated[str | None, Header()] = None) -> int:
    """The number after which events are wanted; looked at before the stream has begun."""
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
    """What happens to a job, as server-sent events, until it has ended.

    `state` events carry the state, and code and detail of an error; `progress` events carry stage,
    done and total. Who comes again with Last-Event-ID gets what was missed.
    """
    async for event in events_of(service.engine, job, after):
        yield ServerSentEvent(data=event.data, event=event.kind, id=str(event.number))


@router.get(
    "/{job_id}/swc",
    response_class=Response,
    responses={200: {"content": {SWC: {"schema": {"type": "string"}}}}, **problems(404, 409)},
)
def swc(job: JobOf, service: ServiceOf) -> Response:
    """The tree of a done job as SWC."""
    return result_answer(service, job, SWC)


@router.get(
    "/{job_id}/mask",
    response_class=Response,
    responses={200: {"content": dict.fromkeys(MASKS, _BINARY)}, **problems(404, 406, 409)},
)
def mask(job: JobOf, service: ServiceOf, request: Request) -> Response:
    """The mask of a done job (uint8, 0 and 255) in the format accepted."""
    kind = choose(request.headers.get("accept"), tuple(MASKS))
    return result_answer(service, job, kind)


@router.get(
    "/{job_id}/mask{suffix}",
    response_class=Response,
    responses={200: {"content": dict.fromkeys(MASKS, _BINARY)}, **problems(404, 409, 422)},
)
def mask_as(
    job: JobOf, service: ServiceOf, suffix: Literal[".tif", ".v3draw", ".v3dpbd"]
) -> Response:
    """The mask of a done job in the format of the suffix."""
    return result_answer(service, job, _BY_SUFFIX[suffix])


@router.get(
    "/{job_id}/report",
    response_class=Response,
    responses={200: {"content": {JSON: {"schema": {"type": "object"}}}}, **problems(404, 409)},
)
def report(job: JobOf, service: ServiceOf) -> Response:
    """The report of a done job: figures, settings, warnings."""
    return result_answer(service, job, JSON)


@router.get(
    "/{job_id}/doubts",
    response_class=Response,
    responses={200: {"content": {MARKER: {"schema": {"type": "string"}}}}, **problems(404, 409)},
)
def doubts(job: JobOf, service: ServiceOf) -> Response:
    """The places in the tree to look at first, the worst first, as Vaa3D's markers."""
    return result_answer(service, job, MARKER)


@router.get(
    "/{job_id}/preview.png",
    response_class=Response,
    responses={200: {"content": {PNG: _BINARY}}, **problems(404, 409)},
)
def preview(job: JobOf, service: ServiceOf) -> Response:
    """Three projections of the volume with the tree over them."""
    return result_answer(service, job, PNG)


@router.get(
    "/{job_id}/view",
    response_class=Response,
    responses={200: {"content": {VIEW: _BINARY}}, **problems(404, 409)},
)
def view(job: JobOf, service: ServiceOf) -> Response:
    """Volume and mask for a browser, at most 256 voxels along an axis.

    Little-endian: `DNV1`; nine int32: shape, step and origin, each z, y, x; then a byte a voxel, x
    running fastest: brightness in the upper seven bits, the mask in the lowest. A view's voxel is
    the brightest of its block of `step` voxels.
    """
    return result_answer(service, job, VIEW)


@router.get(
    "/{job_id}/results.zip",
    response_class=Response,
    responses={200: {"content": {ZIP: _BINARY}}, **problems(404, 409)},
)
def results(job: JobOf, service: ServiceOf) -> Response:
    """All results of a done job in a zip."""
    return result_answer(service, job, ZIP)
