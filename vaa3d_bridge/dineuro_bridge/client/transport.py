"""What both doors of a server have in common: what is sent, and what comes back."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from dineuro_bridge.errors import ServiceError, TimeLimit
from dineuro_bridge.files import size_of_file
from dineuro_bridge.parts import PARTS
from dineuro_bridge.progress import ProgressCallback
from dineuro_bridge.trees.swc import parse_swc
from dineuro_bridge.trees.tree import Tree
from dineuro_bridge.volumes import v3draw
from dineuro_bridge.volumes.volume import Volume

#: Bytes that are read from a file at a time.
PIECE = 2**20


@dataclass(frozen=True, slots=True, eq=False)
class Upload:
    """A volume to be sent: a file as it is, or voxels (C, Z, Y, X) from memory."""

    name: str
    path: Path | None = None
    voxels: np.ndarray[Any, Any] | None = None

    @property
    def nbytes(self) -> int:
        """Of the file, or of the samples."""
        if self.path is not None:
            return size_of_file(self.path)
        assert self.voxels is not None  # noqa: S101 - one of both, see `upload_of`
        return int(self.voxels.nbytes)

    def v3draw_start(self) -> bytes:
        """What makes a .v3draw file of the samples, before them; nothing before a file."""
        if self.voxels is None:
            return b""
        return v3draw.start_of(v3draw.MAGIC, self.voxels.shape, self.voxels.dtype, self.name)

    def pieces(self, size: int = PIECE, start: int = 0) -> Iterator[memoryview | bytes]:
        """The bytes from the one at `start` on; memory is not copied."""
        if self.voxels is not None:
            view = self.voxels.data.cast("B")
            for at in range(start, len(view), size):
                yield view[at : at + size]
            return
        assert self.path is not None  # noqa: S101 - one of both, see `upload_of`
        with self.path.open("rb") as file:
            file.seek(start)
            while piece := file.read(size):
                yield piece


def upload_of(volume: Volume | np.ndarray[Any, Any] | Path | str, name: str | None) -> Upload:
    """What is to be sent.

    Args:
        volume: a path, a `Volume`, or an array (Z, Y, X) or (C, Z, Y, X).
        name: what the server calls it; a path's own name if None.

    Raises:
        FileAccess: the file is not there.
        UnsupportedFormat: samples that are not uint8, uint16 or float32.
    """
    if isinstance(volume, str | Path):
        path = Path(volume)
        size_of_file(path)
        return Upload(name or path.name, path)
    voxels = volume.voxels if isinstance(volume, Volume) else np.asarray(volume)
    source = Path(volume.source).name if isinstance(volume, Volume) else ""
    voxels = voxels if voxels.ndim == 4 else voxels[None]
    little = np.ascontiguousarray(voxels, dtype=voxels.dtype.newbyteorder("<"))
    made = Upload(name or source or "volume", voxels=little)
    made.v3draw_start()  # a sample type that cannot be sent is refused before anything is sent
    return made


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """What is asked of a server.

    Attributes:
        kind: "trace", "enhance" or "retrace".
        params: the server's parameters; `name` among them.
        upload: the volume; None for a retrace of `source`.
        source: id of the job to be traced again.
        reuse: whether the store may answer.
        request: unguessable; the same once more means the same job.
    """

    kind: str
    params: Mapping[str, Any]
    upload: Upload | None = None
    source: str | None = None
    reuse: bool = True
    request: str = field(default_factory=lambda: secrets.token_hex(16))


@dataclass(frozen=True)
class TraceResult:
    """The result of a job.

    Attributes:
        job: the job's id on the server, for a retrace.
        report: figures, settings and warnings.
        files: the bytes of each part that is no volume, by name; see `dineuro_bridge.parts`.
        volumes: each part that is a volume, by name; (1, Z, Y, X) uint8.
        reused: whether the server had the result already.
    """

    job: str
    report: dict[str, Any]
    files: Mapping[str, bytes]
    volumes: Mapping[str, Volume]
    reused: bool

    @property
    def swc(self) -> str:
        """The tree as SWC text; empty for "enhance"."""
        return self.files.get("swc", b"").decode()

    @property
    def mask(self) -> Volume:
        """The mask, (1, Z, Y, X) uint8, 0 and 255."""
        return self.volumes["mask"]

    @property
    def doubts(self) -> str:
        """The places to proofread first, as the text of a .marker file; empty for "enhance"."""
        return self.files.get("doubts", b"").decode()

    @property
    def preview(self) -> bytes:
        """Three projections with the tree, as PNG."""
        return self.files["preview"]

    @cached_property
    def tree(self) -> Tree:
        """The tree; empty for "enhance"."""
        return parse_swc(self.swc, self.job) if self.swc else Tree.empty()


class Deadline:
    """How long all may take.

    Args:
        seconds: None is for ever.
    """

    def __init__(self, seconds: float | None) -> None:
        self._until = None if seconds is None else time.monotonic() + seconds

    def left(self, most: float) -> float:
        """Seconds to wait, at most so many.

        Raises:
            TimeLimit: none are left.
        """
        if self._until is None:
            return most
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeLimit("the server did not finish within the time allowed")
        return min(left, most)


class Transport(Protocol):
    """One door."""

    def run(self, job: Job, progress: ProgressCallback, deadline: Deadline) -> TraceResult:
        """Do a job; `progress` may raise, which cancels it on the server too.

        Raises:
            DineuroError: what the server said of it.
            ServerGone: it does not answer.
        """
        ...

    def models(self) -> list[str]:
        """The server's networks, the default one first."""
        ...

    def cancel(self, job: str) -> None:
        """Ask a job to end."""
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...


def result_of(
    job: str,
    names: Iterable[str],
    fetch: Callable[[str], bytes],
    shapes: Mapping[str, tuple[int, ...]],
    reused: bool,
) -> TraceResult:
    """A result from its parts.

    Args:
        job: the job's id.
        names: the parts that the server has.
        fetch: brings the bytes of a part.
        shapes: the shape (C, Z, Y, X) of each volume part that comes as its samples alone; the
            others come as .v3draw files.
        reused: whether the server had the result already.

    Raises:
        ServiceError: a part that every result has is missing.
    """
    names = set(names)
    missing = [name for name in ("report", "mask", "preview") if name not in names]
    if missing:
        raise ServiceError(f"job {job}: the server's result has no {missing[0]}")
    files = {
        name: fetch(name)
        for name, part in PARTS.items()
        if part.is_delivered and part.content != "volume" and name in names
    }
    report: dict[str, Any] = json.loads(files["report"])
    volumes = {
        name: _volume(fetch(name), shapes.get(name), report)
        for name, part in PARTS.items()
        if part.is_delivered and part.content == "volume" and name in names
    }
    return TraceResult(job, report, files, volumes, reused)


def _volume(data: bytes, shape: tuple[int, ...] | None, report: Mapping[str, Any]) -> Volume:
    """A volume part (C, Z, Y, X) uint8 with the voxel size and the source of the report."""
    if shape is None:
        shape = tuple(np.frombuffer(data, "<i4", 4, v3draw.HEADER_BYTES - 16)[::-1].tolist())
        data = data[v3draw.HEADER_BYTES :]
    size = report["settings"]["spacing_um_xyz"]
    spacing = None if size is None else (size[2], size[1], size[0])
    return Volume(np.frombuffer(data, np.uint8).reshape(shape), spacing, source=report["input"])
