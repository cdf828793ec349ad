"""`Client` and `AsyncClient`: one interface before either door of a server."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from dineuro_bridge.client.http import HttpTransport
from dineuro_bridge.client.transport import Deadline, Job, TraceResult, Transport, upload_of
from dineuro_bridge.errors import BadParameter, Cancelled
from dineuro_bridge.progress import Progress, ProgressCallback, silent
from dineuro_bridge.volumes.volume import Volume

AnyVolume = Volume | np.ndarray[Any, Any] | Path | str


class Client:
    """A server by its address.

    Args:
        address: tcp://HOST:PORT (ZeroMQ) or http://HOST:PORT, https://HOST.
        token: of the HTTP door, where it asks for one.
        key: file with one's own CURVE keys (NAME.key_secret), where the ZeroMQ door asks for them.
        server_key: file with the server's public key (server.key).
        patience_s: how long a server that is full is asked again.

    Raises:
        BadParameter: an address that is none.
        FileAccess: a key's file cannot be read.
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
        if address.startswith(("http://", "https://")):
            self._door = HttpTransport(address, token, patience_s)
        elif address.startswith("tcp://"):
            from dineuro_bridge.client.zeromq import CurveKeys, ZmqTransport

            if (key is None) != (server_key is None):
                raise BadParameter("key and server_key belong together: give both")
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
        name: str | None = None,
        progress: ProgressCallback = silent,
        deadline_s: float | None = None,
        reuse: bool = True,
        **params: Any,
    ) -> TraceResult:
        """Trace a volume.

        Args:
            volume: a file, which is sent as it is; a `Volume`; or an array (Z, Y, X) or
                (C, Z, Y, X) of uint8, uint16 or float32, which is not copied.
            name: of the image, for the results; a file's own name if None.
            progress: told of upload, work and download; what it raises cancels the job.
            deadline_s: for all together; None is for ever.
            reuse: whether the server may answer from its store.
            params: the server's parameters: enhancer, model, channel, roi, root, spacing, units,
                row_order, threshold, min_length, gap, trees, min_confidence, passes. A `Volume`
                brings its own spacing.

        Raises:
            DineuroError: what the server said: of the volume, a parameter, its queue.
            ServerGone: it does not answer.
            TimeLimit: the deadline is over; the job is cancelled.
        """
        return self._run("trace", volume, name, progress, deadline_s, reuse, params)

    def enhance(
        self,
        volume: AnyVolume,
        *,
        name: str | None = None,
        progress: ProgressCallback = silent,
        deadline_s: float | None = None,
        reuse: bool = True,
        **params: Any,
    ) -> TraceResult:
        """The mask alone, without a tree; as `trace`."""
        return self._run("enhance", volume, name, progress, deadline_s, reuse, params)

    def retrace(
        self,
        job: str,
        *,
        progress: ProgressCallback = silent,
        deadline_s: float | None = None,
        **params: Any,
    ) -> TraceResult:
        """Trace a finished job's probability again with other parameters of the tracer.

        Args:
            job: the `job` of an earlier result.
            progress: as of `trace`.
            deadline_s: as of `trace`.
            params: threshold, min_length, gap, trees, min_confidence, root, units, name.

        Raises:
            NotFound: there is no such job of this client's.
            DineuroError: as `trace`.
        """
        return self._door.run(Job("retrace", params, source=job), progress, Deadline(deadline_s))

    def models(self) -> list[str]:
        """The server's networks, the default one first."""
        return self._door.models()

    def cancel(self, job: str) -> None:
        """Ask a job to end; one that has ended stays as it is."""
        self._door.cancel(job)

    def close(self) -> None:
        """Let go of the connection."""
        self._door.close()

    def _run(
        self,
        kind: str,
        volume: AnyVolume,
        name: str | None,
        progress: ProgressCallback,
        deadline_s: float | None,
        reuse: bool,
        params: dict[str, Any],
    ) -> TraceResult:
        upload = upload_of(volume, name)
        if isinstance(volume, Volume) and volume.spacing is not None:
            params = {"spacing": list(volume.spacing[::-1]), **params}
        job = Job(kind, {"name": upload.name, **params}, upload, reuse=reuse)
        return self._door.run(job, progress, Deadline(deadline_s))


class AsyncClient:
    """The same for asyncio: a call runs in a thread; a task that is cancelled cancels its job.

    Args: as of `Client`.
    """

    def __init__(self, address: str, **more: Any) -> None:
        self._client = Client(address, **more)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    async def trace(self, volume: AnyVolume, **more: Any) -> TraceResult:
        """As `Client.trace`."""
        return await self._call(self._client.trace, volume, **more)

    async def enhance(self, volume: AnyVolume, **more: Any) -> TraceResult:
        """As `Client.enhance`."""
        return await self._call(self._client.enhance, volume, **more)

    async def retrace(self, job: str, **more: Any) -> TraceResult:
        """As `Client.retrace`."""
        return await self._call(self._client.retrace, job, **more)

    async def models(self) -> list[str]:
        """As `Client.models`."""
        return await asyncio.to_thread(self._client.models)

    async def cancel(self, job: str) -> None:
        """As `Client.cancel`."""
        await asyncio.to_thread(self._client.cancel, job)

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()

    async def _call(
        self, call: Any, what: Any, *, progress: ProgressCallback = silent, **more: Any
    ) -> TraceResult:
        stopped = threading.Event()

        def watched(step: Progress) -> None:
            if stopped.is_set():
                raise Cancelled("the task was cancelled")
            progress(step)

        try:
            result: TraceResult = await asyncio.to_thread(call, what, progress=watched, **more)
        except asyncio.CancelledError:
            stopped.set()
            raise
        return result
