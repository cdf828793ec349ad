"""A worker's process: it warms up once, then does one job after the other.

The server writes one JSON object a line to its standard input, and reads its standard output:

    in   {fields of a `workers.source.Task`}
         {"cancel": ID}
    out  {"ready": {"device": …}}
         {"job": ID, "progress": [STAGE, DONE, TOTAL]}
         {"job": ID, "done": {fields of a `jobs.records.WorkFigures`}}
         {"job": ID, "failed": [CODE, TEXT]}

The main thread works. A second thread reads the input, so that a cancel arrives during a job. The
process ends at the end of its input, and when nobody reads its output, so that no worker outlives
its server.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import queue
import shutil
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from dineuro.pipeline.memory import SegmentationMemory
from dineuro.pipeline.reconstruct import reconstruct
from dineuro_bridge.errors import Cancelled, DineuroError, DiskFull, MemoryLimit
from dineuro_bridge.options import TraceOptions
from dineuro_bridge.progress import Progress
from dineuro_bridge.volumes.volume import Volume
from dineuro_server.ops.logs import configure
from dineuro_server.workers.source import Task
from dineuro_server.workers.task import run_task

#: Shortest time between two progress messages of one stage (seconds).
_INTERVAL_S = 0.2

log = logging.getLogger(__name__)
Send = Callable[[dict[str, Any]], None]


def main() -> None:
    """Work until the input ends: `python -m dineuro_server.workers.main DEVICE LOG [warm]`."""
    device, style, *rest = sys.argv[1:]
    configure(style, "info")
    # The pipe to the server is for messages alone: what libraries print goes to standard error.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    lock = threading.Lock()

    def send(message: dict[str, Any]) -> None:
        try:
            with lock:
                out.write(json.dumps(message) + "\n")
        except BrokenPipeError:
            os._exit(0)  # the server has ended, and nobody waits for this job

    inbox = _Inbox()
    threading.Thread(target=inbox.read, name="inbox", daemon=True).start()
    device = "cuda" if device.startswith("cuda") else device
    if "warm" in rest:
        warm_up(device)
    send({"ready": {"device": device}})
    memory = SegmentationMemory()
    while True:
        _do(Task(**inbox.tasks.get()), device, memory, inbox, send)


class _Inbox:
    """Reads the server's messages while the main thread works."""

    def __init__(self) -> None:
        self.tasks: queue.Queue[dict[str, Any]] = queue.Queue()
        self.cancelled: set[str] = set()

    def read(self) -> None:
        """Read until the input ends, and end the process then."""
        for line in sys.stdin:
            message = json.loads(line)
            if "cancel" in message:
                self.cancelled.add(message["cancel"])
            else:
                self.tasks.put(message)
        os._exit(0)


def warm_up(device: str) -> None:
    """Load the network and compile the loops on a small volume, so that no job waits for that."""
    start = time.monotonic()
    voxels = np.zeros((12, 48, 48), dtype=np.uint8)
    voxels[5:8, 22:26, 6:42] = 200
    volume = Volume(voxels[None], source="warm-up")
    reconstruct(volume, TraceOptions(enhancer="dineuro"), device=device)
    log.info("warm after %.1f s", time.monotonic() - start)


def _do(task: Task, device: str, memory: SegmentationMemory, inbox: _Inbox, send: Send) -> None:
    """Do one job and report its end; the process outlives every error of the job."""
    name, output = task.parameters["name"], Path(task.output)
    shutil.rmtree(output, ignore_errors=True)
    try:
        figures = run_task(task, device, _Reporter(task.job, inbox, send), memory)
    except DineuroError as error:
        shown = DiskFull(f"{name}: no room for the results") if _full(error) else error
        send({"job": task.job, "failed": [shown.code, str(shown)]})
    except MemoryError:
        text = f"{name}: this machine has too little memory for it: trace a part of it (roi)"
        send({"job": task.job, "failed": [MemoryLimit.code, text]})
    except Exception:
        log.exception("job %s: an error of DINeuro's own", task.job)
        text = f"{name}: an error of DINeuro's own; the server's log has it under this job"
        send({"job": task.job, "failed": [DineuroError.code, text]})
    else:
        send({"job": task.job, "done": asdict(figures)})
        return
    shutil.rmtree(output, ignore_errors=True)


def _full(error: DineuroError) -> bool:
    """Whether a full disk caused the error."""
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)


class _Reporter:
    """The progress callback: reports to the server, and raises once the job is cancelled."""

    def __init__(self, job_id: str, inbox: _Inbox, send: Send) -> None:
        self._job_id, self._inbox, self._send = job_id, inbox, send
        self._stage, self._time = "", 0.0

    def __call__(self, step: Progress) -> None:
        if self._job_id in self._inbox.cancelled:
            raise Cancelled("the job was cancelled")
        now = time.monotonic()
        changed = step.stage != self._stage or step.done >= step.total
        if changed or now - self._time >= _INTERVAL_S:
            self._stage, self._time = step.stage, now
            self._send({"job": self._job_id, "progress": [step.stage, step.done, step.total]})


if __name__ == "__main__":
    main()
