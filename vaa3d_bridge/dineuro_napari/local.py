"""A trace in a process of its own on this machine: both ends of it.

napari stays responsive while the process computes; a cancelled run, or one whose napari has ended,
is ended as a whole.

    python -m dineuro_napari.local FOLDER

is that process. The folder has the voxels and the options, and gets the parts of the result. Each
line of output is the progress, or the error, as JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from dineuro_bridge.errors import (
    DineuroError,
    MemoryLimit,
    MissingDependency,
    WorkerLost,
    error_for,
)
from dineuro_bridge.options import TraceOptions
from dineuro_bridge.parts import PARTS
from dineuro_bridge.progress import Progress, ProgressCallback
from dineuro_bridge.trees.doubts import doubts_of
from dineuro_bridge.trees.swc import read_numbered, read_swc
from dineuro_bridge.volumes.formats import read_volume
from dineuro_bridge.volumes.volume import Volume
from dineuro_napari.editing import LocalEditing
from dineuro_napari.runs import Outcome

#: Seconds between two looks whether the run is cancelled.
_TICK_S = 0.1
_PARTS = ("swc", "mask", "pieces", "report")
#: Exit status of a process that the system killed, mostly for memory.
_KILLED = -9


def trace_locally(volume: Volume, options: TraceOptions, progress: ProgressCallback) -> Outcome:
    """Trace a volume in a process of its own.

    Args:
        volume: the image; `whole` is set where it is a box.
        options: of the trace.
        progress: called all the time; it may raise `Cancelled`, which ends the process.

    Raises:
        MissingDependency: the tracer is not installed.
        MemoryLimit: the system ended the process.
        DineuroError: the volume or the options are faulty.
    """
    with tempfile.TemporaryDirectory(prefix="dineuro-") as name:
        folder = Path(name)
        np.save(folder / "voxels.npy", volume.voxels)
        about = {
            "spacing": volume.spacing, "origin": volume.origin, "source": volume.source,
            "whole": volume.whole, "options": options.as_dict(),
        }  # fmt: skip
        (folder / "volume.json").write_text(json.dumps(about), encoding="utf-8")
        with _process(folder) as process:
            for line in _lines(process, progress):
                _heard(line, progress)
        return _outcome_of(folder, volume)


@contextlib.contextmanager
def _process(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """The process; it has ended when the block has. It reads its input to see that we live."""
    # -P: a file of the present folder must not take the place of a library.
    command = [sys.executable, "-P", "-m", "dineuro_napari.local", str(folder)]
    process = subprocess.Popen(  # noqa: S603 - our own module, without a shell
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, encoding="utf-8", errors="replace",
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def _lines(process: subprocess.Popen[str], progress: ProgressCallback) -> Iterator[str]:
    """Yield each line of output until the process has ended well.

    Raises:
        MemoryLimit, WorkerLost: it ended otherwise.
    """
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    errors: list[str] = []
    readers = [
        threading.Thread(target=_forward, args=(process.stdout, lines.put), daemon=True),
        threading.Thread(target=_forward, args=(process.stderr, errors.append), daemon=True),
    ]
    for reader in readers:
        reader.start()
    step = Progress("start", 0, 0)
    while True:
        progress(step)
        with contextlib.suppress(queue.Empty):
            line = lines.get(timeout=_TICK_S)
            if line is None:
                break
            step = _progress_of(line) or step
            yield line
    status = process.wait()
    readers[1].join(timeout=1)
    if status == _KILLED:
        raise MemoryLimit(
            "the system ended the trace, mostly because the memory was too small: give a region, "
            "or trace on a server"
        )
    if status:
        last = next((line for line in reversed(errors) if line and line.strip()), "")
        raise WorkerLost(f"the trace crashed (status {status}): {last.strip()}")


def _forward(stream: IO[str] | None, put: Any) -> None:
    """Put each line of a stream somewhere, and None at its end."""
    with contextlib.suppress(ValueError, OSError):  # the stream was closed under us
        for line in stream or ():
            put(line)
    put(None)


def _progress_of(line: str) -> Progress | None:
    record = _record(line)
    if "stage" not in record:
        return None
    return Progress(str(record["stage"]), int(record["done"]), int(record["total"]))


def _heard(line: str, progress: ProgressCallback) -> None:
    """Act on a line.

    Raises:
        DineuroError: the error that it tells.
    """
    record = _record(line)
    if "code" in record:
        raise error_for(record["code"], record["message"])
    step = _progress_of(line)
    if step is not None:
        progress(step)


def _record(line: str) -> dict[str, Any]:
    """The JSON object of a line; empty for what a library printed."""
    try:
        record = json.loads(line)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def _outcome_of(folder: Path, volume: Volume) -> Outcome:
    """The result in a folder, which is removed afterwards."""
    tree = read_swc(folder / "swc.swc")
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    mask = read_volume(folder / "mask.v3draw")
    origin = volume.origin if mask.shape != volume.full_shape else (0, 0, 0)
    mask = Volume(np.array(mask.voxels), volume.spacing, origin, source=volume.source)
    ids = np.arange(1, len(tree) + 1)
    doubts = doubts_of(tree, ids, report["doubts"], read_numbered(folder / "pieces.swc"))
    depth, height, width = volume.full_shape
    return Outcome(tree, mask, report, LocalEditing(tree, doubts, (width, height, depth)))


# The process


def work(folder: Path) -> None:
    """Trace the volume in a folder, and write the parts of the result there."""
    _end_with_parent()
    try:
        _work(folder)
    except DineuroError as error:
        _say({"code": error.code, "message": str(error)})
    except ImportError as error:
        lacking = MissingDependency(
            f"{error.name or error} is not installed, so that nothing can be traced here: "
            "pip install 'dineuro[cpu]', or choose a server"
        )
        _say({"code": lacking.code, "message": str(lacking)})


def _work(folder: Path) -> None:
    # Only this process needs the tracer; a thin install traces on servers.
    from dineuro.files.parts import write_parts
    from dineuro.files.provenance import sha256_of_voxels
    from dineuro.files.write import outcome_of
    from dineuro.pipeline.reconstruct import reconstruct

    about = json.loads((folder / "volume.json").read_text(encoding="utf-8"))
    spacing, whole = (
        None if about[name] is None else tuple(about[name]) for name in ("spacing", "whole")
    )
    volume = Volume(
        np.load(folder / "voxels.npy"), spacing, tuple(about["origin"]), source=about["source"],
        whole=whole,
    )  # fmt: skip
    options = TraceOptions.from_dict(about["options"])
    result = reconstruct(volume, options, lambda step: _say(_record_of(step)))
    outputs = {name: folder / f"{name}{PARTS[name].suffix}" for name in _PARTS}
    write_parts(outcome_of(volume, sha256_of_voxels(volume), result, outputs), outputs)


def _record_of(step: Progress) -> dict[str, Any]:
    return {"stage": step.stage, "done": step.done, "total": step.total}


def _say(record: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(record) + "\n")
    sys.stdout.flush()


def _end_with_parent() -> None:
    """End this process when napari has: its end of our input closes then."""

    def watch() -> None:
        # Python's own stream would be locked by this thread when the process ends.
        while os.read(0, 2**10):
            pass
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    work(Path(sys.argv[1]))
