"""/v1/jobs/ID/edits: the log of a tree's edits, one more edit, and the edited tree."""

from __future__ import annotations

import re
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from dineuro_bridge.errors import BadRequest, NoRevision, Outdated
from dineuro_bridge.trees.swc import swc_text
from dineuro_server.doors.http.answers import spacing_of, stem_of
from dineuro_server.doors.http.openapi import problems
from dineuro_server.doors.http.problems import problem_of
from dineuro_server.doors.http.records import EditsRecord
from dineuro_server.doors.http.service import JobOf, Service, ServiceOf, body_of
from dineuro_server.jobs.proofreading import Proofread, parsed
from dineuro_server.jobs.records import Job
from dineuro_tracing.measure import measure

router = APIRouter(prefix="/v1/jobs", tags=["edits"], responses=problems(401, 403, 404, 409))

#: Bytes of the longest operation: a tree of about 200,000 nodes.
_LONGEST = 2**23
_SWC = "application/x-swc"
_OPERATION = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {"op": {"type": "string"}},
                    "required": ["op"],
                },
                "example": {"op": "cut", "node": 17},
            }
        },
    }
}
Paths = Annotated[bool, Query(description="Whether paths and trees are whole, not counted.")]


@router.get("/{job_id}/edits")
def get_edits(
    job: JobOf, service: ServiceOf, response: Response, paths: Paths = False
) -> EditsRecord:
    """The edits of a job's tree. The ETag is the revision, for the next edit's If-Match."""
    state = _state(service, job)
    response.headers["ETag"] = _etag(state)
    return _record(state, paths=paths)


@router.post(
    "/{job_id}/edits",
    status_code=201,
    response_model=EditsRecord,
    responses=problems(400, 412, 413, 422, 428, 503, 507),
    openapi_extra=_OPERATION,
)
async def post_edit(
    job: JobOf,
    service: ServiceOf,
    request: Request,
    if_match: Annotated[str | None, Header(description="The ETag of the edits.")] = None,
) -> Response:
    """Edit a job's tree. The edit is on the server's disk before it is answered.

    `accept` and `reject` answer a doubt by its number; a rejected join or segment leaves the tree
    with all that hangs on it, and a rejected end or branch gets the piece that was left out.
    `cut`, `delete`, `root` and `reverse` have a `node`. `type` has a `node`, a `type` and a
    `scope` (`branch` or `subtree`). `extend` has `from` and a `path` of [x, y, z, radius]; `join`
    has also `to`. `replace` has a `tree`, SWC text in voxels, which takes the place of all; the
    traced tree stays at `swc`. `undo` and `redo` have no further field.

    Nodes are named by their ids in `edits/tree`. Where somebody else has edited the tree meanwhile,
    the answer is 412 with the present record.
    """
    revision = _revision(if_match)
    operation = parsed(await body_of(request, _LONGEST, "an edit"))
    return await run_in_threadpool(_edited, service, job, revision, operation)


@router.get(
    "/{job_id}/edits/tree",
    response_class=Response,
    responses={200: {"content": {_SWC: {"schema": {"type": "string"}}}}},
)
def get_tree(job: JobOf, service: ServiceOf) -> Response:
    """The edited tree in voxels, whose nodes have the ids that edits use."""
    state = _state(service, job)
    tree, ids = state.tree()
    return Response(swc_text(tree, ids.tolist()), media_type=_SWC, headers={"ETag": _etag(state)})


@router.get(
    "/{job_id}/edits/tree.swc",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def get_swc(job: JobOf, service: ServiceOf) -> Response:
    """The edited tree in voxels for other programs: nodes from 1 on, and comments on the edits."""
    state = _state(service, job)
    name = quote(f"{stem_of(job)}_edited.swc")
    headers = {
        "ETag": _etag(state),
        "Content-Disposition": f"attachment; filename*=utf-8''{name}",
    }
    return Response(swc_text(state.tree()[0]), media_type="text/plain", headers=headers)


@router.get("/{job_id}/measurements")
def get_measurements(
    job: JobOf,
    service: ServiceOf,
    edited: Annotated[bool, Query(description="Whether the edited tree is measured.")] = False,
) -> dict[str, Any]:
    """Length, tips, forks, Strahler's order, tortuosity and Sholl's crossings of a job's tree.

    Lengths are in µm where the voxel size is known (`unit`), and otherwise in finest voxels.
    """
    results = service.engine.results(job)
    state = _state(service, job) if edited else service.engine.proofreading.original(results)
    return measure(state.edits.tree.as_tree()[0], spacing_of(results)).as_dict()


def _state(service: Service, job: Job) -> Proofread:
    engine = service.engine
    return engine.proofreading.state(job, engine.results(job))


def _edited(service: Service, job: Job, revision: int, operation: object) -> Response:
    """The answer to an edit; blocks."""
    engine = service.engine
    results = engine.results(job)
    try:
        state = engine.proofreading.edit(job, results, revision, job.owner, operation)
    except Outdated as error:
        state = engine.proofreading.state(job, results)
        answer = problem_of(error, current=_record(state).model_dump(mode="json"))
    else:
        answer = JSONResponse(_record(state).model_dump(mode="json"), 201)
    answer.headers["ETag"] = _etag(state)
    return answer


def _record(state: Proofread, *, paths: bool = False) -> EditsRecord:
    return EditsRecord.model_validate(state.record(paths=paths))


def _etag(state: Proofread) -> str:
    return f'"{state.edits.revision}"'


def _revision(if_match: str | None) -> int:
    """The revision that an edit is based on.

    Raises:
        NoRevision: the header is missing.
        BadRequest: it is no ETag of edits.
    """
    if if_match is None:
        raise NoRevision("an edit needs the header If-Match with the ETag of the edits")
    found = re.fullmatch(r'\s*"(\d{1,9})"\s*', if_match)
    if found is None:
        raise BadRequest(f'If-Match {if_match[:40]}: must be the ETag of the edits, as in "7"')
    return int(found[1])
