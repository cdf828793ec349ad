"""The results of a done job as HTTP answers: stored files, converted volumes, a zip file."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

from fastapi.responses import FileResponse, Response

from dineuro_bridge.parts import PARTS, Part
from dineuro_bridge.volumes.formats import read_volume, write_volume
from dineuro_bridge.volumes.volume import Volume
from dineuro_server.doors.http.negotiation import ZIP
from dineuro_server.doors.http.service import Service
from dineuro_server.doors.http.temporary import TemporaryFileResponse, temporary_file
from dineuro_server.jobs.records import Job
from dineuro_server.jobs.results import Results


def part_answer(service: Service, job: Job, part: Part, media_type: str) -> Response:
    """A part of a done job's result; blocks while it reads and converts.

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
    results = service.engine.results(job)
    path = results.path(part)
    suffix = next(end for end, one in part.media_types.items() if one == media_type)
    name = part.file_name(_stem(job), suffix)
    if media_type == part.media_type:
        return FileResponse(
            path, headers=_headers(job), media_type=media_type, filename=name,
            content_disposition_type="inline" if part.inline else "attachment",
        )  # fmt: skip
    with temporary_file(_spool_folder(service), suffix) as converted:
        volume = read_volume(path, max_bytes=service.settings.max_bytes)
        volume = Volume(volume.voxels, _spacing(results))
        write_volume(converted, volume, compress=suffix == ".tif")
    return _temporary_answer(converted, job, media_type, name)


def zip_answer(service: Service, job: Job) -> Response:
    """The parts for users in a zip file, named after the image; errors as `part_answer`."""
    paths = service.engine.results(job).select(lambda part: part.is_delivered)
    stem = _stem(job)
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


def _spacing(results: Results) -> tuple[float, float, float] | None:
    """The voxel size (z, y, x) in µm by the job's report; a stored volume does not hold it."""
    settings = json.loads(results.path(PARTS["report"]).read_bytes())["settings"]
    spacing = settings["spacing_um_xyz"]
    return None if spacing is None else (spacing[2], spacing[1], spacing[0])


def _stem(job: Job) -> str:
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
