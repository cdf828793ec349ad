"""The corrected trees of a state folder as files, for the training from corrections.

The folder is only read, also while a server uses it.
"""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

from dineuro_bridge.errors import DineuroError, FileAccess, NotFound
from dineuro_bridge.trees.swc import write_swc
from dineuro_server.jobs.database import Database, blob_path, job_of_row
from dineuro_server.jobs.edit_log import EditLog
from dineuro_server.jobs.proofreading import proofread
from dineuro_server.jobs.records import Job
from dineuro_server.jobs.results import Results

_DATABASE = "jobs.sqlite"
#: The characters of a job's name that its files keep.
_LONGEST = 40


def is_state(folder: Path) -> bool:
    """Whether a folder is the state folder of a server."""
    return (folder / _DATABASE).is_file()


def write_corrected(state: Path, folder: Path) -> list[str]:
    """Write the jobs whose trees were edited, as `dineuro.corrections.find_corrections` reads them.

    X is a link to the volume, X_traced.swc the tree as it was traced, and X.swc the edited tree,
    both in voxels. Of several jobs of one volume, the one that was edited last counts. The numbers
    in the names follow the age of the jobs.

    Args:
        state: the state folder.
        folder: what it holds is replaced.

    Returns:
        A sentence for each edited job that was left out.

    Raises:
        FileAccess: the state folder cannot be read, or is another version's.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        database = Database(state / _DATABASE, read_only=True)
    except sqlite3.Error as error:
        raise FileAccess(f"{state}: cannot be read as a state folder: {error}") from error
    try:
        return _Writer(state, database, folder).write()
    finally:
        database.close()


class _Writer:
    """Writes the corrections of one state folder."""

    def __init__(self, state: Path, database: Database, folder: Path) -> None:
        self._state, self._database, self._folder = state, database, folder
        self._log = EditLog(database)

    def write(self) -> list[str]:
        jobs, left_out = dict[Path, Job](), list[str]()
        for job in self._edited():
            try:
                volume = self._volume(job)
            except DineuroError as error:
                left_out.append(f"{job.parameters['name']}: is left out: {error}")
                continue
            jobs.pop(volume, None)
            jobs[volume] = job
        by_age = sorted(jobs.items(), key=lambda one: one[1].created)
        for number, (volume, job) in enumerate(by_age, 1):
            self._write(f"{number:04}", volume, job)
        return left_out

    def _edited(self) -> list[Job]:
        """The done jobs with edits, that with the last edit last."""
        rows = self._database.rows(
            "SELECT jobs.* FROM jobs JOIN edits ON edits.job = jobs.id WHERE state = 'done'"
            " GROUP BY jobs.id ORDER BY max(edits.time), jobs.rowid"
        )
        return [job_of_row(row) for row in rows]

    def _volume(self, job: Job) -> Path:
        """The path of a job's volume.

        Raises:
            NotFound: it is gone, or the job traced something else.
        """
        if job.parameters.get("channel") not in (None, 1):
            raise NotFound("another channel than the first was traced")
        if job.source is not None:
            rows = self._database.rows("SELECT * FROM jobs WHERE id = ?", (job.source,))
            if not rows:
                raise NotFound("the job that was traced again has been removed")
            return self._volume(job_of_row(rows[0]))
        if job.kind == "retrace" or job.input is None:
            raise NotFound("a mask was traced")
        if job.place is not None:
            path = Path(job.place.root, job.place.path)
        else:
            rows = self._database.rows("SELECT * FROM blobs WHERE sha256 = ?", (job.input,))
            path = blob_path(self._state, job.input, rows[0]["suffix"] if rows else "")
        if not path.exists():
            raise NotFound("its volume is gone")
        return path.absolute()

    def _write(self, number: str, volume: Path, job: Job) -> None:
        results = Results(job.id, job.kind, self._state / "results" / job.id)
        state = proofread(results, self._log.after(job.id))
        if not state.edits.done:
            return  # every edit was taken back
        stem = f"{number}_{Path(job.parameters['name']).stem[:_LONGEST]}"
        (self._folder / f"{stem}{volume.suffix}").symlink_to(volume)
        write_swc(self._folder / f"{stem}_traced.swc", proofread(results, ()).tree()[0])
        write_swc(self._folder / f"{stem}.swc", state.tree()[0])
