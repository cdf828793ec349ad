"""A trace of a volume on a server, and what every trace gives: an `Outcome`.

`local` traces on this machine.
"""

from __future__ import annotations

import contextlib
import queue
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dineuro_bridge.client import Client
from dineuro_bridge.client.transport import TraceResult
from dineuro_bridge.errors import (
    BadParameter,
    BadVolume,
    Cancelled,
    DineuroError,
    ServiceError,
)
from dineuro_bridge.options import TraceOptions
from dineuro_bridge.progress import Progress, ProgressCallback
from dineuro_bridge.trees.swc import parse_swc
from dineuro_bridge.trees.tree import Tree
from dineuro_bridge.volumes.volume import Volume
from dineuro_napari.editing import Editing, ServerEditing

#: Seconds between two looks whether the run is cancelled.
_TICK_S = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """A traced volume.

    Attributes:
        tree: as it was traced, in voxels of the whole volume.
        mask: (1, Z, Y, X) uint8, 0 and 255, of the whole volume or of a box in it.
        report: figures, warnings, segments and doubts.
        editing: where the tree is corrected.
    """

    tree: Tree
    mask: Volume
    report: Mapping[str, Any]
    editing: Editing


@dataclass(frozen=True, slots=True)
class Server:
    """Where a server is: http://HOST:PORT or tcp://HOST:PORT, and the token of its HTTP door."""

    address: str
    token: str = ""

    @property
    def is_http(self) -> bool:
        """Whether it is reached over HTTP, where a job can be cancelled from outside."""
        return self.address.startswith("http")


def trace_on_server(
    server: Server, volume: Volume, options: TraceOptions, progress: ProgressCallback
) -> Outcome:
    """Trace a volume on a server; the other arguments as in
    `local.trace_locally`.

    Raises:
        DineuroError: see `dineuro_bridge.client.Client.trace`.
    """
    client = Client(server.address, token=server.token or None)
    chosen = {k: v for k, v in options.as_dict().items() if v is not None}

    def run(watch: ProgressCallback) -> TraceResult:
        if not server.is_http:
            return client.trace(volume, progress=watch, **chosen)
        job = client.submit(volume, progress=watch, **chosen)
        sent.append(job)
        watch(Progress("wait", 0, 0))
        return client.attach(job, progress=watch)

    sent: list[str] = []
    try:
        result = _watched(run, progress)
    except BaseException as error:
        if sent and not isinstance(error, ServiceError):
            with contextlib.suppress(DineuroError):
                client.cancel(sent[0])
        raise
    tree = parse_swc(result.swc, result.job)
    return Outcome(tree, result.mask, result.report, ServerEditing(client, result.job))


def open_job(
    server: Server, job: str, shape: tuple[int, int, int], progress: ProgressCallback
) -> Outcome:
    """The result of a job that a server has, with its edits; waits for one that runs.

    Args:
        server: which is reached over HTTP.
        job: its id.
        shape: (Z, Y, X) of the picture that the result is laid over.
        progress: as in `local.trace_locally`; the job goes on where it raises.

    Raises:
        BadVolume: the job's volume has another size.
        DineuroError: there is no such job, or it failed.
    """
    client = Client(server.address, token=server.token or None)
    result = _watched(lambda watch: client.attach(job, progress=watch), progress)
    if result.report.get("shape_zyx", list(shape)) != list(shape):
        raise BadVolume(
            f"job {job}: is of {result.report['input']} with {_sides(result.report['shape_zyx'])} "
            f"voxels, and the layer has {_sides(shape)}: choose the layer of that stack"
        )
    tree = parse_swc(result.swc, job)
    return Outcome(tree, result.mask, result.report, ServerEditing(client, job))


def job_in(text: str) -> str:
    """The id of a job in what a person wrote: the id itself, or the address of its page.

    Raises:
        BadParameter: there is none.
    """
    found = re.search(r"(?:^|#/jobs/)([0-9a-f]{1,64})(?:\?|$)", text)
    if found is None:
        raise BadParameter(f"job {text}: must be a job's number, or the address of its page")
    return found[1]


def _sides(shape: Sequence[int]) -> str:
    return " x ".join(str(side) for side in reversed(shape))


def _watched(
    run: Callable[[ProgressCallback], TraceResult], progress: ProgressCallback
) -> TraceResult:
    """The result of a run, which may not answer for a while, in a thread that is left if cancelled.

    Args:
        run: gets a callback, which stops it where this call has ended.
        progress: called all the time; its exception ends this call at once.
    """
    steps: queue.SimpleQueue[Progress | None] = queue.SimpleQueue()
    left, results, errors = threading.Event(), list[TraceResult](), list[BaseException]()

    def watch(step: Progress) -> None:
        if left.is_set():
            raise Cancelled("the trace was cancelled")
        steps.put(step)

    def work() -> None:
        try:
            results.append(run(watch))
        except BaseException as error:  # noqa: BLE001 - it is raised again in the other thread
            errors.append(error)
        steps.put(None)

    threading.Thread(target=work, daemon=True).start()
    step: Progress | None = Progress("connect", 0, 0)
    try:
        while step is not None:
            progress(step)
            with contextlib.suppress(queue.Empty):
                step = steps.get(timeout=_TICK_S)
    finally:
        left.set()
    if errors:
        raise errors[0]
    return results[0]
