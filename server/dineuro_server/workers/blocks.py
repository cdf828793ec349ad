"""What a worker does for a job in blocks: it is the driver of a `dineuro brain` run.

The run has a folder of its own, in which the next attempt goes on. The parts of the result are
written beside it at the end. The volumes of the run stay where they are: a copy would take their
place on the disk again, and is no use to a browser.
"""

from __future__ import annotations

import json
import re
import shutil
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dineuro_bridge.errors import DineuroError
from dineuro_bridge.files import write_record
from dineuro_bridge.options import TraceOptions
from dineuro_bridge.parts import PARTS
from dineuro_bridge.progress import Progress, ProgressCallback
from dineuro_server.jobs.places import reopened
from dineuro_server.jobs.records import Place, WorkFigures
from dineuro_server.jobs.result_folders import is_kept
from dineuro_server.workers.source import BlockWork, Task

#: Files of a run, and the parts that they become.
_COPIED = {"all.swc": "swc", "doubts.marker": "doubts", "neurons.csv": "table"}
#: Entries of a run's report that mean nothing without its folder.
_LEFT_OUT = ("neuroglancer",)


def run_blocks(task: Task, progress: ProgressCallback) -> WorkFigures:
    """Do one job in blocks, or go on with it.

    Args:
        task: the job.
        progress: called between units of work; its exceptions pass through.

    Raises:
        DineuroError: an error of the input, the parameters or the cluster, with the client's name
            of the image.
    """
    work, place = BlockWork(**(task.blocks or {})), Place(**(task.place or {}))
    options = TraceOptions.from_dict(task.parameters)
    start, results = time.perf_counter(), Path(task.output)
    results.mkdir(parents=True)

    def tick(done: int) -> None:
        progress(Progress("check", done, done))

    plain = _Names(options.name, place, work)
    with plain.told(), reopened(place, tick):
        record, voxels = _run(work, place, options, progress)
    seconds = {"blocks": time.perf_counter() - start}
    progress(Progress("write", 0, 1))
    _write(results, work, plain.report(record, options))
    progress(Progress("write", 1, 1))
    seconds["write"] = time.perf_counter() - start - seconds["blocks"]
    folders = [results, *(each for each in Path(work.folder).iterdir() if is_kept(each))]
    nbytes = sum(f.stat().st_size for each in folders for f in each.rglob("*") if f.is_file())
    return WorkFigures(nbytes, voxels, seconds, 0)


def _run(
    work: BlockWork, place: Place, options: TraceOptions, progress: ProgressCallback
) -> tuple[dict[str, Any], int]:
    """The report of the run, and the voxels of its volume."""
    # Only a job in blocks needs these.
    from dineuro.brain.run import prepare_job, run_brain
    from dineuro.brain.workers import start_workers

    folder = Path(work.folder)
    _forget_another(folder, work.edge)
    job = prepare_job(
        Path(place.full_path), folder, options, work.edge,
        root=place.root, name=options.name, most_bytes=work.most_bytes,
    )  # fmt: skip
    crew = start_workers(work.workers, str(work.memory), work.scheduler)
    try:
        record = run_brain(job, crew, progress)
    finally:
        crew.close()
    depth, height, width = job.grid.size
    return record, depth * height * width


def _forget_another(folder: Path, edge: int) -> None:
    """Remove what an earlier attempt left that cannot be gone on with: the server was changed."""
    place = folder / "run.json"
    if place.exists():
        before = json.loads(place.read_bytes())
        if (before["dineuro"], before["block"]) != (version("dineuro"), edge):
            shutil.rmtree(folder)


class _Names:
    """The client's names of what the run knows by the paths and addresses of the server.

    Args:
        name: of the image.
        place: where it lies.
        work: where and by whom the run is done.
    """

    def __init__(self, name: str, place: Place, work: BlockWork) -> None:
        self._name, self._work = name, work
        self._known = {place.full_path: name, work.folder: name}
        if work.scheduler is not None:
            self._known[work.scheduler] = "the server's cluster"

    def text(self, text: str) -> str:
        """A sentence with the client's names."""
        for known, told in self._known.items():
            text = text.replace(known, told)
        return re.sub(r"/proc/(self|\d+)/fd/\d+", lambda _: self._name, text)

    @contextmanager
    def told(self) -> Iterator[None]:
        """Errors in the block get the client's names."""
        try:
            yield
        except DineuroError as error:
            raise type(error)(self.text(str(error))) from error

    def report(self, record: dict[str, Any], options: TraceOptions) -> dict[str, Any]:
        """The report of the run for a client."""
        own = {name: value for name, value in record.items() if name not in _LEFT_OUT}
        own |= {
            "input": self._name,
            "settings": {**options.as_dict(), "spacing_um_xyz": record["spacing_um_xyz"]},
            "warnings": [self.text(each) for each in [*_holes(record), *record["warnings"]]],
            "holes": [{**hole, "says": self.text(hole["says"])} for hole in record["holes"]],
        }
        if self._work.tells_folder:
            own["folder"] = self._work.folder
        return own


def _holes(record: dict[str, Any]) -> list[str]:
    n = len(record["holes"])
    return [f"{n} blocks failed and are holes: reuse=false tries again"] if n else []


def _write(results: Path, work: BlockWork, report: dict[str, Any]) -> None:
    """Write the parts of the result."""
    run = Path(work.folder)
    for name, part in _COPIED.items():
        shutil.copyfile(run / name, results / PARTS[part].stored)
    write_record(results / PARTS["report"].stored, report)
    neurons = results / PARTS["neurons"].stored
    with zipfile.ZipFile(neurons, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted((run / "neurons").glob("*.swc")):
            # An entry without a date: the same results give the same bytes.
            entry = zipfile.ZipInfo(path.name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, path.read_bytes())
