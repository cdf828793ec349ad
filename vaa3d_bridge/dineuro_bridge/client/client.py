"""`Client`: one interface for both doors of a server."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Unpack

import numpy as np

from dineuro_bridge.client.http import HttpTransport
from dineuro_bridge.client.jobs import JobsOfServer
from dineuro_bridge.client.transport import (
    Deadline,
    Job,
    TraceResult,
    Transport,
    understood,
    upload_of,
)
from dineuro_bridge.errors import BadParameter, plain_text
from dineuro_bridge.fingerprint import fingerprint_of
from dineuro_bridge.options import RetraceKwargs, TraceKwargs, TraceOptions
from dineuro_bridge.progress import ProgressCallback, silent
from dineuro_bridge.volumes.volume import Volume

AnyVolume = Volume | np.ndarray[Any, Any] | Path | str


class Client(JobsOfServer):
    """The client of a server.

    Args:
        address: tcp://HOST:PORT (ZeroMQ) or http://HOST:PORT, https://HOST.
        token: the token for the HTTP door, if the server requires one.
        key: the file of the user's CURVE keys (NAME.key_secret), if the ZeroMQ door requires them.
        server_key: the file of the server's public key (server.key).
        patience_s: the time for which the client repeats a request to a full server.

    Raises:
        BadParameter: the address is malformed.
        FileAccess: a key file cannot be read.
    """

    def __init__(
        self,
        address: str,
        *,
        token: str | None = None,
        key: Path | str | None = None,
        server_key: Path | str | None = None,
        patience_s: float = 300.0,
    ) -> None:
        self._door: Transport
        self._address = address
        if address.startswith(("http://", "https://")):
            self._door = HttpTransport(address, token, patience_s)
        elif address.startswith("tcp://"):
            from dineuro_bridge.client.zeromq import CurveKeys, ZmqTransport

            if (key is None) != (server_key is None):
                raise BadParameter("key and server_key belong together: give both files")
            keys = None if key is None else CurveKeys(Path(key), Path(server_key or ""))
            self._door = ZmqTransport(address, keys, patience_s)
        else:
            raise BadParameter(f"{address}: must be tcp://HOST:PORT or http://HOST:PORT")

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def trace(
        self,
        volume: AnyVolume,
        *,
        progress: ProgressCallback = silent,
        deadline_s: float | None = None,
        reuse: bool = True,
        by_path: bool = False,
        **options: Unpack[TraceKwargs],
    ) -> TraceResult:
        """Trace a volume.

        Args:
            volume: a file, which is sent as it is; a `Volume`; or an array (Z, Y, X) or
                (C, Z, Y, X) of uint8, uint16 or float32, which is not copied.
            progress: called during upload, work and download. An exception of it cancels the job.
            deadline_s: the time limit of the whole job; None is no limit.
            reuse: whether a stored result may be the answer.
            by_path: name the file by its absolute path instead of sending it; the server reads it,
                if it lies below a folder that the server serves. It may be an OME-Zarr folder. A
                file that is here too must be the same one.
            options: the fields of `TraceOptions`. Missing ones have the server's defaults. The
                default name is the file's. A `Volume` states its spacing and its row order.

        Raises:
            DineuroError: the server refused the volume or an option, or the job failed.
            ServerGone: the server does not answer.
            TimeLimit: the deadline is over, and the job is cancelled.
        """
        return self._run("trace", volume, progress, deadline_s, reuse, by_path, options)

    def enhance(
        self,
        volume: AnyVolume,
        *,
        progress: ProgressCallback = silent,
        deadline_s: float | None = None,
        reuse: bool = True,
        by_path: bool = False,
        **options: Unpack[TraceKwargs],
    ) -> TraceResult:
        """Make the mask alone, without a tree. Arguments and errors as in `trace`."""
        return self._run("enhance", volume, progress, deadline_s, reuse, by_path, options)

    def retrace(
        self,
        job: str,
        *,
        progress: ProgressCallback = silent,
        deadline_s: float | None = None,
        **options: Unpack[RetraceKwargs],
    ) -> TraceResult:
        """Trace the probability of a finished job again, with other options.

        Args:
            job: the `job` of an earlier result.
            progress: see `trace`.
            deadline_s: see `trace`.
            options: the fields of `TraceOptions` that a retrace may change. Missing ones have the
                values of the earlier job.

        Raises:
            NotFound: this client has no such job.
            DineuroError: see `trace`.
        """
        params = _checked(options)
        return self._ask(Job("retrace", params, source=job), progress, deadline_s)

    def submit(
        self,
        volume: AnyVolume,
        *,
        kind: str = "trace",
        progress: ProgressCallback = silent,
        reuse: bool = True,
        **options: Unpack[TraceKwargs],
    ) -> str:
        """Send a volume and return the id of its job, without waiting; for `attach`. HTTP alone.

        Args:
            volume: see `trace`.
            kind: "trace" or "enhance".
            progress: called during the upload.
            reuse: see `trace`.
            options: see `trace`.
        """
        job = _job_of(kind, volume, reuse, options)
        with understood(self._address, progress) as watched:
            return self._http().submit(job, watched, Deadline(None))

    def models(self) -> list[str]:
        """Return the names of the server's networks, the default first."""
        with understood(self._address, silent):
            return [plain_text(name) for name in self._door.models()]

    def cancel(self, job: str) -> None:
        """Cancel a job. A job that has ended does not change."""
        with understood(self._address, silent):
            self._door.cancel(job)

    def close(self) -> None:
        """Close the connection."""
        self._door.close()

    def _run(
        self,
        kind: str,
        volume: AnyVolume,
        progress: ProgressCallback,
        deadline_s: float | None,
        reuse: bool,
        by_path: bool,
        options: TraceKwargs,
    ) -> TraceResult:
        if by_path:
            return self._ask(_named(kind, volume, reuse, options), progress, deadline_s)
        return self._ask(_job_of(kind, volume, reuse, options), progress, deadline_s)

    def _ask(self, job: Job, progress: ProgressCallback, deadline_s: float | None) -> TraceResult:
        """Run a job through the door."""
        with understood(self._address, progress) as watched:
            return self._door.run(job, watched, Deadline(deadline_s))


def _job_of(kind: str, volume: AnyVolume, reuse: bool, options: TraceKwargs) -> Job:
    """Return the request for a job; errors as `Client.trace`."""
    params = _checked(options)
    upload = upload_of(volume, params.get("name"))
    if isinstance(volume, Volume):
        params = {"row_order": volume.row_order, **params}
        if volume.spacing is not None:
            params = {"spacing": list(volume.spacing[::-1]), **params}
    return Job(kind, {**params, "name": upload.name}, upload, reuse=reuse)


def _named(kind: str, volume: AnyVolume, reuse: bool, options: TraceKwargs) -> Job:
    """The job of a volume that is named by its path.

    Raises:
        BadParameter: the volume is no path.
        FileAccess: the file is here and cannot be read.
    """
    if not isinstance(volume, str | Path):
        raise BadParameter("by_path: names a file, and this volume is in memory")
    path = Path(volume).absolute()
    # A path of the server's machine alone has nothing to compare.
    fingerprint = fingerprint_of(path) if path.exists() else None
    params = {"name": path.name, **_checked(options)}
    return Job(kind, params, path=str(path), fingerprint=fingerprint, reuse=reuse)


def _checked(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a caller as JSON values.

    Raises:
        BadParameter: a value is not allowed, or a name is not an option.
    """
    every = TraceOptions.from_dict(options).as_dict()
    return {name: every[name] for name in options}
