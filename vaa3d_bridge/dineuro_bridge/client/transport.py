"""The parts that the clients of both doors share: uploads, jobs and results."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from dineuro_bridge.errors import DineuroError, NotFound, ServiceError, TimeLimit, plain_text
from dineuro_bridge.files import size_of_file
from dineuro_bridge.parts import PARTS
from dineuro_bridge.progress import Progress, ProgressCallback
from dineuro_bridge.trees.swc import parse_swc
from dineuro_bridge.trees.tree import Tree
from dineuro_bridge.volumes import v3draw
from dineuro_bridge.volumes.volume import Volume

#: The number of bytes of one read from a file.
PIECE = 2**20


@dataclass(frozen=True, slots=True, eq=False)
class Upload:
    """A volume for a server: an unchanged file, or voxels (C, Z, Y, X) in memory."""

    name: str
    path: Path | None = None
    voxels: np.ndarray[Any, Any] | None = None

    @property
    def nbytes(self) -> int:
        """The size of the file, or of the samples."""
        if self.path is not None:
            return size_of_file(self.path)
        assert self.voxels is not None  # noqa: S101 - one of both, see `upload_of`
        return int(self.voxels.nbytes)

    def v3draw_start(self) -> bytes:
        """The .v3draw header that precedes the samples; empty for a file."""
        if self.voxels is None:
            return b""
        return v3draw.start_of(v3draw.MAGIC, self.voxels.shape, self.voxels.dtype, self.name)

    def pieces(self, size: int = PIECE, start: int = 0) -> Iterator[memoryview | bytes]:
        """Yield the bytes from position `start` on, without copying memory."""
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
    """Return the upload of a volume.

    Args:
        volume: a path, a `Volume`, or an array (Z, Y, X) or (C, Z, Y, X).
        name: the name of the volume on the server; if None, the name of the file.

    Raises:
        FileAccess: the file does not exist.
        UnsupportedFormat: the samples are not uint8, uint16 or float32.
    """
    if isinstance(volume, str | Path):
        path = Path(volume)
        size_of_file(path)
        return Upload(name or path.name, path)
    voxels = volume.voxels if isinstance(volume, Volume) else np.asarray(volume)
    source = Path(volume.source).name if isinstance(volume, Volume) else ""
    voxels = voxels if voxels.ndim == 4 else voxels[None]
    little = np.ascontiguousarray(voxels, dtype=voxels.dtype.newbyteorder("<"))
    upload = Upload(name or source or "volume", voxels=little)
    upload.v3draw_start()  # refuses an unsupported sample type before the upload starts
    return upload


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """A request to a server.

    Attributes:
        kind: "trace", "enhance" or "retrace".
        params: the parameters, with `name`.
        upload: the volume; None for a retrace of `source`, and for a `path`.
        source: the id of the job that a retrace traces again.
        path: the volume's absolute path on the server's machine, instead of an upload.
        fingerprint: the fingerprint of the client's own file at that path.
        reuse: whether a stored result may be the answer.
        request: a random text that identifies the job when the request is repeated.
    """

    kind: str
    params: Mapping[str, Any]
    upload: Upload | None = None
    source: str | None = None
    path: str | None = None
    fingerprint: str | None = None
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

    def __repr__(self) -> str:
        what = repr(self.tree) if self.swc else "no tree"
        return f"TraceResult(job {self.job}, {what}, {len(self.report['warnings'])} warnings)"

    def _repr_png_(self) -> bytes | None:
        """The projections, which Jupyter shows."""
        return self.preview or None

    @property
    def swc(self) -> str:
        """The tree as SWC text; empty for "enhance"."""
        return self.files.get("swc", b"").decode()

    @property
    def mask(self) -> Volume:
        """The mask, (1, Z, Y, X) uint8, 0 and 255.

        Raises:
            NotFound: the volume was traced in blocks, and its mask stays on the server.
        """
        if "mask" not in self.volumes:
            raise NotFound(f"job {self.job}: was traced in blocks: its mask stays on the server")
        return self.volumes["mask"]

    @property
    def doubts(self) -> str:
        """The places to proofread first, as the text of a .marker file; empty for "enhance"."""
        return self.files.get("doubts", b"").decode()

    @property
    def preview(self) -> bytes:
        """Three projections with the tree, as PNG; empty for a volume that was traced in blocks."""
        return self.files.get("preview", b"")

    @cached_property
    def tree(self) -> Tree:
        """The tree; empty for "enhance"."""
        return parse_swc(self.swc, self.job) if self.swc else Tree.empty()


#: Errors that an answer can cause which is not that of a DINeuro server.
_MISUNDERSTANDINGS = (
    ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError,
)  # fmt: skip


@contextmanager
def understood(address: str, progress: ProgressCallback) -> Iterator[ProgressCallback]:
    """Turn what a wrong answer causes in the block into an error that names the server.

    Args:
        address: the address of the server.
        progress: the caller's callback.

    Yields:
        The callback for the block, whose exceptions pass through unchanged.

    Raises:
        ServiceError: the server does not answer as a DINeuro server does.
    """
    own: list[BaseException] = []

    def watched(step: Progress) -> None:
        plain = Progress(plain_text(str(step.stage)), int(step.done), int(step.total))
        try:
            progress(plain)
        except BaseException as error:
            own.append(error)
            raise

    try:
        yield watched
    except _MISUNDERSTANDINGS as error:
        if isinstance(error, DineuroError) or error in own:
            raise
        raise ServiceError(
            f"{plain_text(address)}: does not answer as a DINeuro server of this version does"
        ) from error


class Deadline:
    """The time limit of a whole job.

    Args:
        seconds: None is no limit.
    """

    def __init__(self, seconds: float | None) -> None:
        self._until = None if seconds is None else time.monotonic() + seconds

    def left(self, most: float) -> float:
        """Return the seconds that are left, at most `most`.

        Raises:
            TimeLimit: no time is left.
        """
        if self._until is None:
            return most
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeLimit("the server did not finish within the time limit")
        return min(left, most)


class Transport(Protocol):
    """The client of one door."""

    def run(self, job: Job, progress: ProgressCallback, deadline: Deadline) -> TraceResult:
        """Run a job. An exception of `progress` also cancels the job on the server.

        Raises:
            DineuroError: the error that the server reported.
            ServerGone: the server does not answer.
        """
        ...

    def models(self) -> list[str]:
        """Return the names of the server's networks, the default first."""
        ...

    def cancel(self, job: str) -> None:
        """Cancel a job."""
        ...

    def edits(self, job: str, what: str) -> bytes:
        """Return a job's "edits" as JSON, with whole "paths", or its edited "tree" or "swc"."""
        ...

    def edit(self, job: str, operation: Mapping[str, Any], revision: int) -> bytes:
        """Edit a job's tree of a revision, and return its edits as JSON."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


def result_of(
    job: str,
    names: Iterable[str],
    fetch: Callable[[str], bytes],
    shapes: Mapping[str, tuple[int, ...]],
    reused: bool,
) -> TraceResult:
    """Make a result from its parts.

    Args:
        job: the job's id.
        names: the parts that the server has.
        fetch: returns the bytes of a part.
        shapes: the shape (C, Z, Y, X) of each volume part that consists of samples alone. The
            other volume parts are .v3draw files.
        reused: whether the server had the result already.

    Raises:
        ServiceError: a required part is missing.
    """
    names = set(names)
    in_blocks = any(part.in_blocks == "alone" for part in PARTS.values() if part.name in names)
    required = ("report", "swc") if in_blocks else ("report", "mask", "preview")
    missing = [name for name in required if name not in names]
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
    """Return a volume part (C, Z, Y, X) uint8 with voxel size, rows and source of the report."""
    if shape is None:
        shape = tuple(np.frombuffer(data, "<i4", 4, v3draw.HEADER_BYTES - 16)[::-1].tolist())
        data = data[v3draw.HEADER_BYTES :]
    settings = report["settings"]
    size = settings["spacing_um_xyz"]
    return Volume(
        np.frombuffer(data, np.uint8).reshape(shape),
        None if size is None else (size[2], size[1], size[0]),
        row_order=settings["row_order"],
        source=report["input"],
    )
