"""The results of a done job as answers: files as they lie, masks in other formats, all in a zip."""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from pathlib import Path

from fastapi.responses import FileResponse, Response
from starlette.background import BackgroundTask

from dineuro_bridge.errors import NotFound
from dineuro_bridge.volumes.formats import read_volume, write_volume
from dineuro_bridge.volumes.volume import Volume
from dineuro_server.doors.http.negotiation import JSON, MARKER, MASKS, PNG, SWC, VIEW, ZIP
from dineuro_server.doors.http.service import Service
from dineuro_server.jobs.records import Job
from dineuro_server.jobs.results import Results

#: What a client is offered of a job at its own address, by kind, the default one first.
OFFERED = {
    "trace": (SWC, ZIP, JSON, *MASKS, PNG),
    "retrace": (SWC, ZIP, JSON, *MASKS, PNG),
    "enhance": (*MASKS, ZIP, JSON, PNG),
}
_UTF8 = "; charset=utf-8"


def result_answer(service: Service, job: Job, kind: str) -> Response:
    """A done job's result in one of the media types offered; blocks while it reads and converts.

    Raises:
        DineuroError: the job's own error, if it has one.
        Conflict: it is not done yet.
        NotFound: its kind has no such result.
    """
    results = service.engine.results(job)
    headers = {"X-DINeuro-Job": job.id, "X-DINeuro-Reused": str(job.reused).lower()}
    stem = Path(job.parameters["name"]).stem or "volume"
    if kind == ZIP:
        made = _temporary(service, ".zip")
        _zip(made, results, stem)
        return _file(made, kind, f"{stem}.zip", headers, passing=True)
    if kind in MASKS:
        return _mask(service, results, kind, f"{stem}_mask", headers)
    path, name = {
        SWC: (results.swc, f"{stem}_dineuro.swc"),
        JSON: (results.report, f"{stem}_report.json"),
        PNG: (results.preview, f"{stem}_preview.png"),
        MARKER: (results.doubts, f"{stem}_doubts.marker"),
        VIEW: (results.view, f"{stem}_view.u8"),
    }[kind]
    if path is None:
        raise NotFound(f"job {job.id}: a job of the kind {job.kind} has no tree")
    if kind == VIEW and not path.exists():
        raise NotFound(f"job {job.id}: was done by an earlier version, which made no view")
    return _file(path, kind + (_UTF8 if kind == SWC else ""), name, headers)


def _mask(
    service: Service, results: Results, kind: str, stem: str, headers: dict[str, str]
) -> Response:
    """The mask, which lies there as .v3draw, in the format asked for, with its voxel size."""
    suffix = MASKS[kind]
    if suffix == ".v3draw":
        return _file(results.mask, kind, stem + suffix, headers)
    told = json.loads(results.report.read_bytes())["settings"]["spacing_um_xyz"]
    lying = read_volume(results.mask, max_bytes=service.settings.max_bytes)
    made = _temporary(service, suffix)
    try:
        spacing = None if told is None else (told[2], told[1], told[0])
        write_volume(made, Volume(lying.voxels, spacing), compress=suffix == ".tif")
    except BaseException:
        made.unlink(missing_ok=True)
        raise
    return _file(made, kind, stem + suffix, headers, passing=True)


def _zip(target: Path, results: Results, stem: str) -> None:
    """All results under names after the image's."""
    named = {
        f"{stem}_dineuro.swc": results.swc,
        f"{stem}_mask.v3draw": results.mask,
        f"{stem}_report.json": results.report,
        f"{stem}_preview.png": results.preview,
        f"{stem}_doubts.marker": results.doubts,
    }
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, path in named.items():
            if path is not None:
                # No date: the same results give the same bytes.
                entry = zipfile.ZipInfo(name)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.file_size = path.stat().st_size
                with path.open("rb") as source, archive.open(entry, "w") as member:
                    shutil.copyfileobj(source, member, 2**20)


def _temporary(service: Service, suffix: str) -> Path:
    """A name for a file that is gone when it has been sent; the next start removes what is left."""
    with tempfile.NamedTemporaryFile(
        dir=service.engine.store.folder / "spool", suffix=suffix, delete=False
    ) as file:
        return Path(file.name)


def _file(
    path: Path, kind: str, name: str, headers: dict[str, str], *, passing: bool = False
) -> Response:
    after = BackgroundTask(path.unlink, missing_ok=True) if passing else None
    return FileResponse(
        path, headers=headers, media_type=kind, filename=name, background=after,
        content_disposition_type="inline" if kind.startswith(("text/", PNG)) else "attachment",
    )  # fmt: skip
