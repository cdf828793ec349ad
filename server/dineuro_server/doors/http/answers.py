"""The results of a done job as HTTP answers: stored files, converted volumes, a zip file."""

from __future__ import annotations

import functools
import json
import shutil
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

from fastapi.responses import FileResponse, Response
from starlette.concurrency import run_in_threadpool

from dineuro_bridge.parts import PARTS, Part
from dineuro_server.doors.http.negotiation import ZIP
from dineuro_server.doors.http.service import Service
from dineuro_server.doors.http.temporary import TemporaryFileResponse, temporary_file
from dineuro_server.jobs.records import Job
from dineuro_server.jobs.results import Results


async def part_answer(service: Service, job: Job, part: Part, media_type: str) -> Response:
    """A part of a done job's result.

    Args:
        service: the server.
        job: the job.
        part: the part.
        media_type: one of the part's media types.

    Raises:
        DineuroError: the job's own error, if it failed.
        Conflict: the job is not done yet.
        NotFound: the job has no such part.
    """
    if media_type == part.media_type:
        return await run_in_threadpool(_stored, service, job, part)
    make = functools.partial(_converted, service, job, part, media_type)
    return await service.conversions.run(job.owner, make)


async def zip_answer(service: Service, job: Job) -> Response:
    """The parts for users in a zip file, named after the image; errors as `part_answer`."""
    return await service.conversions.run(job.owner, functools.partial(_zipped, service, job))


def _stored(service: Service, job: Job, part: Part) -> Response:
    """A part as it is stored."""
    return FileResponse(
        service.engine.results(job).path(part), headers=_headers(job), media_type=part.media_type,
        filename=part.file_name(stem_of(job), next(iter(part.media_types))),
        content_disposition_type="inline" if part.inline else "attachment",
    )  # fmt: skip


def _converted(service: Service, job: Job, part: Part, media_type: str) -> Response:
    """A volume in another format than it is stored in; blocks."""
    results = service.engine.results(job)
    path, spool = results.path(part), _spool_folder(service)
    suffix = next(end for end, one in part.media_types.items() if one == media_type)
    with temporary_file(spool, suffix) as answer, TemporaryDirectory(dir=spool) as folder:
        # What a process leaves that ended early goes with its folder.
        target = Path(folder) / answer.name
        spacing = spacing_of(results)
        service.conversions.convert(path, target, spacing, service.settings.max_bytes)
        target.replace(answer)
    return _temporary_answer(answer, job, media_type, part.file_name(stem_of(job), suffix))


def _zipped(service: Service, job: Job) -> Response:
    """The zip file; blocks."""
    paths = service.engine.results(job).select(lambda part: part.is_delivered)
    stem = stem_of(job)
    with temporary_file(_spool_folder(service), ".zip") as archive:
        _zip(archive, {PARTS[name].file_name(stem): path for name, path in paths.items()})
    return _temporary_answer(archive, job, ZIP, f"{stem}.zip")


def _zip(target: Path, paths: dict[str, Path]) -> None:
    """Write a zip file of some files under the names given as keys."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, path in paths.items():
            # An entry without a date: the same results give the same bytes.
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.file_size = path.stat().st_size
            with path.open("rb") as source, archive.open(entry, "w") as member:
                shutil.copyfileobj(source, member, 2**20)


def spacing_of(results: Results) -> tuple[float, float, float] | None:
    """The voxel size (z, y, x) in µm by the job's report; a stored volume does not hold it."""
    settings = json.loads(results.path(PARTS["report"]).read_bytes())["settings"]
    spacing = settings["spacing_um_xyz"]
    return None if spacing is None else (spacing[2], spacing[1], spacing[0])


def stem_of(job: Job) -> str:
    """The image's name without its suffix."""
    return Path(job.parameters["name"]).stem or "volume"


def _headers(job: Job) -> dict[str, str]:
    return {"X-DINeuro-Job": job.id, "X-DINeuro-Reused": str(job.reused).lower()}


def _spool_folder(service: Service) -> Path:
    """The folder of temporary files, which each start of the server empties."""
    return service.engine.store.folder / "spool"


def _temporary_answer(path: Path, job: Job, media_type: str, name: str) -> Response:
    """A temporary file as an answer."""
    return TemporaryFileResponse(
        path, headers=_headers(job), media_type=media_type, filename=name,
        content_disposition_type="attachment",
    )  # fmt: skip
