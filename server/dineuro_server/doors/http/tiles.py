"""/v1/jobs/ID/tiles: slices of a volume as pictures, cut from a file that the worker wrote."""

from __future__ import annotations

import struct
import zlib
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Header, Path, Query
from fastapi.responses import Response
from numpy.typing import NDArray

from dineuro.files.slices import TILE, Plane, Slices, open_slices
from dineuro_bridge.errors import NotFound
from dineuro_bridge.parts import PARTS
from dineuro_server.doors.http.answers import spacing_of
from dineuro_server.doors.http.openapi import BINARY, problems
from dineuro_server.doors.http.records import LevelRecord, TilesRecord
from dineuro_server.doors.http.service import JobOf, Service, ServiceOf
from dineuro_server.jobs.records import Job

router = APIRouter(prefix="/v1/jobs", tags=["slices"], responses=problems(401, 403, 404, 409))

#: The slices of a job never change, and only its owner may have them.
_FOREVER = "private, max-age=31536000, immutable"
#: An index of a voxel or a tile.
Index = Annotated[int, Path(ge=0, lt=2**31)]


@router.get("/{job_id}/tiles")
def get_tiles(job: JobOf, service: ServiceOf) -> TilesRecord:
    """The resolutions of a job's volume, and what its 8 bits mean."""
    slices = _slices(service, job)
    return TilesRecord(
        levels=[
            LevelRecord(level=number, shape=one.shape, scale=one.scale)
            for number, one in enumerate(slices.levels)
        ],
        tile=TILE,
        low=slices.low,
        high=slices.high,
        window=slices.window,
        spacing=spacing_of(service.engine.results(job)),
    )


@router.get(
    "/{job_id}/tiles/{level}/{z}/{y}/{x}",
    response_class=Response,
    responses={
        200: {"content": {"image/png": BINARY}},
        304: {"description": "The client has the tile."},
        **problems(422),
    },
)
def get_tile(
    job: JobOf,
    service: ServiceOf,
    level: Index,
    z: Index,
    y: Index,
    x: Index,
    plane: Annotated[Plane, Query(description="The two axes of the tile.")] = "xy",
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """A tile of a slice, 8-bit gray.

    Across the plane, the index counts voxels of the level. Along its two axes, the indices count
    tiles. The columns of `xy` and `xz` run along x, and those of `yz` along z. Tiles at the ends of
    the axes are smaller.
    """
    headers = {"Cache-Control": _FOREVER, "ETag": f'"{job.id}-{level}-{plane}-{z}-{y}-{x}"'}
    slices = _slices(service, job)
    if level >= len(slices.levels) or not slices.levels[level].holds(plane, (z, y, x)):
        raise NotFound(f"job {job.id}: level {level} has no tile {z}/{y}/{x} of the plane {plane}")
    if if_none_match is not None and headers["ETag"] in if_none_match:
        return Response(status_code=304, headers=headers)
    picture = png(slices.tile(level, plane, (z, y, x)))
    return Response(picture, headers=headers, media_type="image/png")


def _slices(service: Service, job: Job) -> Slices:
    """The slices of a done job; errors as `Results.kept`."""
    return open_slices(service.engine.results(job).kept(PARTS["slices"]))


def png(gray: NDArray[np.uint8]) -> bytes:
    """(rows, columns) as a PNG of 8-bit gray.

    Huffman codes alone take a third of the time of zlib's level 1, and noise has no repetitions
    that longer searches would find.
    """
    height, width = gray.shape
    lines = np.zeros((height, width + 1), dtype=np.uint8)  # each line begins with its filter, 0
    lines[:, 1:] = gray
    packer = zlib.compressobj(1, zlib.DEFLATED, 15, 9, zlib.Z_HUFFMAN_ONLY)
    data = packer.compress(lines.tobytes()) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = (_chunk(b"IHDR", head), _chunk(b"IDAT", data), _chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG file with its length and its checksum."""
    check = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + check
