"""A worker's process: warms up once, then does one job after the other, as it is told on stdin.

In:  {"job": ID, and the fields of a `tasks.Task`}
     {"cancel": ID}
Out: {"ready": {"device": …}}
     {"job": ID, "progress": [STAGE, DONE, TOTAL]}
     {"job": ID, "done": {fields of a `tasks.TaskDone`}}  or  {"job": ID, "failed": [CODE, TEXT]}

The main thread works; a second one listens, so that a cancel is heard in the middle of a job, and
so that no worker outlives its server: at the end of stdin the process ends at once.
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

from dineuro.pipeline.reconstruct import reconstruct
from dineuro_bridge.errors import Cancelled, DineuroError, DiskFull, MemoryLimit
from dineuro_bridge.options import TraceOptions
from dineuro_bridge.progress import Progress
from dineuro_bridge.volumes.volume import Volume
from dineuro_server.ops.logs import configure
from dineuro_server.workers.task import Task, run_task

#: Within a stage progress is told at most this often (seconds).
_PACE = 0.2

log = logging.getLogger(__name__)
Say = Callable[[dict[str, Any]], None]


def main() -> None:
    """Run until stdin ends: `python -m dineuro_server.workers.main DEVICE LOG [warm]`."""
    device, style, *rest = sys.argv[1:]
    configure(style, "info")
    # What libraries print goes to standard error; the pipe to the server is ours alone.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    spoken = threading.Lock()

    def say(message: dict[str, Any]) -> None:
        with spoken:
            out.write(json.dumps(message) + "\n")

    ears = _Ears()
    threading.Thread(target=ears.listen, name="ears", daemon=True).start()
    device = "cuda" if device.startswith("cuda") else device
    if "warm" in rest:
        warm_up(device)
    say({"ready": {"device": device}})
    while True:
        order = ears.orders.get()
        _serve(order, device, ears, say)


class _Ears:
    """Listens to the server while the main thread works."""

    def __init__(self) -> None:
        self.orders: queue.Queue[dict[str, Any]] = queue.Queue()
        self.cancelled: set[str] = set()

    def listen(self) -> None:
        """Until stdin ends, and the process with it."""
        for line in sys.stdin:
            message = json.loads(line)
            if "cancel" in message:
                self.cancelled.add(message["cancel"])
            else:
                self.orders.put(message)
        os._exit(0)


def warm_up(device: str) -> None:
    """Compile the loops and load the network on a small volume, so that no job waits for it."""
    start = time.monotonic()
    voxels = np.zeros((12, 48, 48), dtype=np.uint8)
    voxels[5:8, 22:26, 6:42] = 200
    volume = Volume(voxels[None], source="warm-up")
    reconstruct(volume, TraceOptions(enhancer="dineuro"), device=device)
    log.info("warm after %.1f s", time.monotonic() - start)


def _serve(order: dict[str, Any], device: str, ears: _Ears, say: Say) -> None:
    """One job; whatever happens in it is told, and the process lives on."""
    job = order.pop("job")
    task = Task(**order, device=device)
    name, output = task.parameters["name"], Path(task.output)
    shutil.rmtree(output, ignore_errors=True)
    try:
        done = run_task(task, _Telling(job, ears, say))
    except DineuroError as error:
        shown = DiskFull(f"{name}: no room for the results") if _full(error) else error
        say({"job": job, "failed": [shown.code, str(shown)]})
    except MemoryError:
        text = f"{name}: this machine's memory does not hold it: trace a part of it (roi)"
        say({"job": job, "failed": [MemoryLimit.code, text]})
    except Exception:
        log.exception("job %s: an error of DINeuro's own", job)
        text = f"{name}: an error of DINeuro's own; the server's log has it under this job"
        say({"job": job, "failed": [DineuroError.code, text]})
    else:
        say({"job": job, "done": asdict(done)})
        return
    shutil.rmtree(output, ignore_errors=True)


def _full(error: DineuroError) -> bool:
    """Whether a full disk stands behind it."""
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)


class _Telling:
    """The progress callback: tells the server, and raises where the job was cancelled."""

    def __init__(self, job: str, ears: _Ears, say: Say) -> None:
        self._job, self._ears, self._say = job, ears, say
        self._stage, self._at = "", 0.0

    def __call__(self, step: Progress) -> None:
        if self._job in self._ears.cancelled:
            raise Cancelled("the job was cancelled")
        now = time.monotonic()
        changed = step.stage != self._stage or step.done >= step.total
        if changed or now - self._at >= _PACE:
            self._stage, self._at = step.stage, now
            self._say({"job": self._job, "progress": [step.stage, step.done, step.total]})


if __name__ == "__main__":
    main()
