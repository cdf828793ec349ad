"""`AsyncClient`: the client for asyncio."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from dineuro_bridge.client.client import AnyVolume, Client
from dineuro_bridge.client.jobs import TreeEdits
from dineuro_bridge.client.transport import TraceResult
from dineuro_bridge.errors import Cancelled
from dineuro_bridge.options import RetraceKwargs, TraceKwargs
from dineuro_bridge.progress import Progress, ProgressCallback, silent
from dineuro_bridge.trees.tree import Tree


class AsyncClient:
    """`Client` for asyncio: each call runs in a thread, and cancelling its task cancels the job.

    Arguments and errors are those of `Client`.
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
        self._client = Client(
            address, token=token, key=key, server_key=server_key, patience_s=patience_s
        )

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    async def trace(
        self,
        volume: AnyVolume,
        *,
        progress: ProgressCallback = silent,
        deadline_s: float | None = None,
        reuse: bool = True,
        by_path: bool = False,
        **options: Unpack[TraceKwargs],
    ) -> TraceResult:
        """See `Client.trace`."""
        return await _in_thread(
            lambda watch: self._client.trace(
                volume,
                progress=watch,
                deadline_s=deadline_s,
                reuse=reuse,
                by_path=by_path,
                **options,
            ),
            progress,
        )

    async def enhance(
        self,
        volume: AnyVolume,
        *,
        progress: ProgressCallback = silent,
        deadline_s: float | None = None,
        reuse: bool = True,
        by_path: bool = False,
        **options: Unpack[TraceKwargs],
    ) -> TraceResult:
        """See `Client.enhance`."""
        return await _in_thread(
            lambda watch: self._client.enhance(
                volume,
                progress=watch,
                deadline_s=deadline_s,
                reuse=reuse,
                by_path=by_path,
                **options,
            ),
            progress,
        )

    async def retrace(
        self,
        job: str,
        *,
        progress: ProgressCallback = silent,
        deadline_s: float | None = None,
        **options: Unpack[RetraceKwargs],
    ) -> TraceResult:
        """See `Client.retrace`."""
        return await _in_thread(
            lambda watch: self._client.retrace(
                job, progress=watch, deadline_s=deadline_s, **options
            ),
            progress,
        )

    async def submit(
        self,
        volume: AnyVolume,
        *,
        kind: str = "trace",
        reuse: bool = True,
        **options: Unpack[TraceKwargs],
    ) -> str:
        """See `Client.submit`. A cancelled task does not take back what was sent."""
        return await asyncio.to_thread(
            self._client.submit, volume, kind=kind, reuse=reuse, **options
        )

    async def attach(
        self,
        job: str,
        *,
        progress: ProgressCallback = silent,
        deadline_s: float | None = None,
    ) -> TraceResult:
        """See `Client.attach`. A cancelled task waits no more, and the job goes on."""
        return await _in_thread(
            lambda watch: self._client.attach(job, progress=watch, deadline_s=deadline_s), progress
        )

    async def jobs(self, limit: int = 100) -> list[dict[str, Any]]:
        """See `Client.jobs`."""
        return await asyncio.to_thread(self._client.jobs, limit)

    async def rename(self, job: str, name: str) -> dict[str, Any]:
        """See `Client.rename`."""
        return await asyncio.to_thread(self._client.rename, job, name)

    async def models(self) -> list[str]:
        """See `Client.models`."""
        return await asyncio.to_thread(self._client.models)

    async def cancel(self, job: str) -> None:
        """See `Client.cancel`."""
        await asyncio.to_thread(self._client.cancel, job)

    async def edits(self, job: str, *, paths: bool = False) -> TreeEdits:
        """See `Client.edits`."""
        return await asyncio.to_thread(self._client.edits, job, paths=paths)

    async def edit(self, job: str, operation: Mapping[str, Any], revision: int) -> TreeEdits:
        """See `Client.edit`. A cancelled task does not take back an edit that was sent."""
        return await asyncio.to_thread(self._client.edit, job, operation, revision)

    async def edited_tree(self, job: str) -> Tree:
        """See `Client.edited_tree`."""
        return await asyncio.to_thread(self._client.edited_tree, job)

    async def numbered_tree(self, job: str) -> tuple[Tree, NDArray[np.int64]]:
        """See `Client.numbered_tree`."""
        return await asyncio.to_thread(self._client.numbered_tree, job)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


async def _in_thread(
    call: Callable[[ProgressCallback], TraceResult], progress: ProgressCallback
) -> TraceResult:
    """Run a call in a thread; where the task is cancelled, its next progress cancels the job."""
    cancelled = threading.Event()

    def watch(step: Progress) -> None:
        if cancelled.is_set():
            raise Cancelled("the task was cancelled")
        progress(step)

    try:
        return await asyncio.to_thread(call, watch)
    except asyncio.CancelledError:
        cancelled.set()
        raise
