"""/v1/jobs/ID/path: the cheapest path between two places, for a join or an extension."""

from __future__ import annotations

import json
import math
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.concurrency import run_in_threadpool

from dineuro_bridge.errors import BadParameter
from dineuro_bridge.parts import PARTS
from dineuro_server.doors.http.answers import spacing_of
from dineuro_server.doors.http.openapi import problems
from dineuro_server.doors.http.records import PathRecord
from dineuro_server.doors.http.service import JobOf, Service, ServiceOf
from dineuro_server.jobs.records import Job

router = APIRouter(prefix="/v1/jobs", tags=["edits"], responses=problems(401, 403, 404, 409))

_PLACE = "x,y,z in voxels of the full volume."


@router.get("/{job_id}/path", responses=problems(413, 422, 503))
async def get_path(
    job: JobOf,
    service: ServiceOf,
    begin: Annotated[str, Query(alias="from", description=_PLACE, max_length=100)],
    to: Annotated[str, Query(description=_PLACE, max_length=100)],
) -> PathRecord:
    """The cheapest path between two places, through the probability that the job was traced in.

    A path is cheap where the neurite is deep and bright. It may cross the background, so that
    `supported` says how much of it lies in the mask.
    """
    places = {"from": _place("from", begin), "to": _place("to", to)}
    request = await run_in_threadpool(_request, service, job, places)
    return PathRecord(**await service.paths.find(job.owner, request))


def _request(service: Service, job: Job, places: dict[str, list[float]]) -> dict[str, Any]:
    """The request for the process that finds paths."""
    results = service.engine.results(job)
    settings = json.loads(results.path(PARTS["report"]).read_bytes())["settings"]
    return {
        **places,
        "probability": str(results.kept(PARTS["probability"])),
        "origin": (settings["roi"] or [0, 0, 0])[:3],
        "threshold": settings["threshold"],
        "spacing": spacing_of(results),
    }


def _place(name: str, text: str) -> list[float]:
    """The place x, y, z of a query.

    Raises:
        BadParameter: it is none.
    """
    try:
        place = [float(word) for word in text.split(",")]
    except ValueError:
        place = []
    if len(place) != 3 or not all(map(math.isfinite, place)) or max(map(abs, place)) > 1e9:
        raise BadParameter(f"{name} {text[:40]}: must be x,y,z in voxels")
    return place
