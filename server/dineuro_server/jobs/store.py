"""The durable store: jobs and their events in SQLite, inputs and results as files beside them.

    STATE/lock             locked by the one server that uses the folder
    STATE/jobs.sqlite      jobs, events, inputs, edits (WAL)
    STATE/spool/           uploads that are not complete
    STATE/blobs/ab/ab…     inputs, named by their SHA-256 and the suffix of their format
    STATE/results/ID/      results of a done job
    STATE/results/ID.part  results of a running job
    STATE/runs/ID/         run of a job in blocks, or in another folder

The store does not know who runs a job. Its methods are safe to call from several threads.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import sqlite3
import time
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from dineuro_bridge.errors import Conflict, FileAccess, NotFound
from dineuro_bridge.files import reason
from dineuro_server.jobs.database import Database, blob_path, job_of_row
from dineuro_server.jobs.edit_log import EditLog
from dineuro_server.jobs.records import Blob, Event, Job, JobSpec, Selection, State, Usage
from dineuro_server.jobs.result_folders import ResultFolders


class JobStore:
    """The state folder, opened and locked.

    Args:
        folder: path of the state folder; it is created if it is missing.
        runs: path of the folder of runs in blocks; None is in the state folder.

    Attributes:
        folder: path of the state folder.
        results: the folders of results.
        edits: the edits of trees.

    Raises:
        FileAccess: the folder cannot be used, or another server uses it.
    """

    def __init__(self, folder: Path, runs: Path | None = None) -> None:
        self.folder = folder
        self.results = ResultFolders(folder / "results", runs or folder / "runs")
        try:
            for name in ("spool", "blobs", "results"):
                (folder / name).mkdir(parents=True, exist_ok=True, mode=0o700)
            (runs or folder).mkdir(parents=True, exist_ok=True)
            if folder.stat().st_uid == os.getuid():
                folder.chmod(0o700)  # also where the folder was there before
            self._locks = [_locked(each / "lock") for each in (folder, runs) if each is not None]
            self._database = Database(folder / "jobs.sqlite")
            self.edits = EditLog(self._database)
        except (OSError, sqlite3.Error) as error:
            if isinstance(error, FileAccess):
                raise
            why = reason(error) if isinstance(error, OSError) else str(error)
            raise FileAccess(f"{folder}: cannot be used as the state folder: {why}") from error

    def close(self) -> None:
        """Release the folder for another server."""
        self._database.close()
        for lock in self._locks:
            lock.close()

    # Jobs

    def add(self, spec: JobSpec, answer_key: str, time_limit_s: float) -> Job:
        """Add a queued job, or return the earlier job of the same idempotency key.

        Raises:
            Conflict: the key belongs to another request.
        """
        with self._database.transaction() as db:
            earlier = self.job_of_key(spec)
            if earlier is not None:
                if earlier.answer_key != answer_key:
                    raise Conflict(
                        f"idempotency key {spec.idempotency_key}: belongs to another request: "
                        "take a new key"
                    )
                return earlier
            job_id = secrets.token_hex(16)
            db.execute(
                "INSERT INTO jobs (id, owner, kind, state, input, source, parameters, priority,"
                " idempotency_key, answer_key, reuse, time_limit_s, created, place)"
                " VALUES (?, ?, ?, 'queued', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    job_id, spec.owner, spec.kind, spec.input, spec.source,
                    json.dumps(spec.parameters), spec.priority, spec.idempotency_key, answer_key,
                    spec.reuse, time_limit_s, time.time(),
                    None if spec.place is None else json.dumps(asdict(spec.place)),
                ),
            )  # fmt: skip
            _add_event(db, job_id, "state", {"state": "queued"})
            return self.job(job_id)

    def job_of_key(self, spec: JobSpec) -> Job | None:
        """The earlier job with the owner and the idempotency key of a request."""
        if spec.idempotency_key is None:
            return None
        rows = self._database.rows(
            "SELECT * FROM jobs WHERE owner = ? AND idempotency_key = ?",
            (spec.owner, spec.idempotency_key),
        )
        return job_of_row(rows[0]) if rows else None

    def job(self, job_id: str) -> Job:
        """The job in its present state.

        Raises:
            NotFound: no job has this id.
        """
        rows = self._database.rows("SELECT * FROM jobs WHERE id = ?", (job_id,))
        if not rows:
            raise NotFound(f"job {job_id}: there is none, or it has been swept")
        return job_of_row(rows[0])

    def jobs(self, owner: str, selection: Selection) -> list[Job]:
        """The selected jobs of an owner, the newest first."""
        rows = self._database.rows(
            "SELECT * FROM jobs WHERE owner = ? AND created < coalesce(?, ?)"
            " AND state = coalesce(?, state) AND kind = coalesce(?, kind)"
            " ORDER BY created DESC LIMIT ?",
            (
                owner,
                selection.before,
                time.time() + 1e9,
                selection.state,
                selection.kind,
                selection.limit,
            ),
        )
        return [job_of_row(row) for row in rows]

    def in_state(self, state: State) -> list[Job]:
        """All jobs in a state, the oldest first."""
        rows = self._database.rows(
            "SELECT * FROM jobs WHERE state = ? ORDER BY created, rowid", (state,)
        )
        return [job_of_row(row) for row in rows]

    def count(self, state: State) -> int:
        """Number of jobs in a state."""
        rows = self._database.rows("SELECT count(*) FROM jobs WHERE state = ?", (state,))
        return int(rows[0][0])

    def count_by_owner(self) -> dict[tuple[str, State], int]:
        """Number of queued and running jobs by owner and state."""
        rows = self._database.rows(
            "SELECT owner, state, count(*) AS n FROM jobs WHERE state IN ('queued', 'running')"
            " GROUP BY owner, state"
        )
        return {(row["owner"], row["state"]): row["n"] for row in rows}

    def answered(self, answer_key: str, owner: str) -> Job | None:
        """The owner's newest done job with an answer key."""
        rows = self._database.rows(
            "SELECT * FROM jobs WHERE answer_key = ? AND owner = ? AND state = 'done'"
            " ORDER BY finished DESC LIMIT 1",
            (answer_key, owner),
        )
        return job_of_row(rows[0]) if rows else None

    def begin(self, job_id: str) -> Job:
        """Record that a worker begins a queued job."""
        with self._database.transaction() as db:
            db.execute(
                "UPDATE jobs SET state = 'running', started = ?, attempts = attempts + 1,"
                " stage = NULL, done = 0, total = 0 WHERE id = ?",
                (time.time(), job_id),
            )
            _add_event(db, job_id, "state", {"state": "running"})
            return self.job(job_id)

    def requeue(self, job_id: str, *, counted: bool) -> None:
        """Put a running job back into the queue.

        Args:
            job_id: id of the job.
            counted: whether the attempt counts against the job.
        """
        with self._database.transaction() as db:
            db.execute(
                "UPDATE jobs SET state = 'queued', started = NULL, attempts = attempts - ?"
                " WHERE id = ?",
                (0 if counted else 1, job_id),
            )
            _add_event(db, job_id, "state", {"state": "queued"})

    def progress(self, job_id: str, stage: str, done: int, total: int) -> None:
        """Record the progress of a running job."""
        with self._database.transaction() as db:
            db.execute(
                "UPDATE jobs SET stage = ?, done = ?, total = ? WHERE id = ?",
                (stage, done, total, job_id),
            )
            _add_event(db, job_id, "progress", {"stage": stage, "done": done, "total": total})

    def request_cancel(self, job_id: str) -> None:
        """Record that the owner of a running job has cancelled it."""
        with self._database.transaction() as db:
            db.execute("UPDATE jobs SET cancel_requested = 1 WHERE id = ?", (job_id,))

    def end(
        self,
        job_id: str,
        state: State,
        *,
        keep_s: float,
        error: tuple[str, str] | None = None,
        reused: bool = False,
        result_bytes: int = 0,
    ) -> None:
        """Record the end of a job.

        Args:
            job_id: id of the job.
            state: "done", "failed" or "cancelled".
            keep_s: seconds until the job is swept.
            error: code and text of the error; None for a done job.
            reused: whether the job was answered from the store.
            result_bytes: size of the results on disk.
        """
        now = time.time()
        code, text = error or (None, None)
        with self._database.transaction() as db:
            db.execute(
                "UPDATE jobs SET state = ?, finished = ?, expires = ?, error_code = ?,"
                " error_text = ?, reused = ?, result_bytes = ? WHERE id = ?",
                (state, now, now + keep_s, code, text, reused, result_bytes, job_id),
            )
            data: dict[str, Any] = {"state": state}
            if error is not None:
                data |= {"code": error[0], "detail": error[1]}
            _add_event(db, job_id, "state", data)

    def rename(self, job_id: str, name: str) -> Job:
        """Give a job another name; its results stay as they were written.

        The answer key stays, too: it belongs to the request that the results answer.
        """
        with self._database.transaction() as db:
            db.execute(
                "UPDATE jobs SET parameters = json_set(parameters, '$.name', ?) WHERE id = ?",
                (name, job_id),
            )
            return self.job(job_id)

    def remove(self, job_id: str) -> None:
        """Remove a job with its events and results."""
        with self._database.transaction() as db:
            db.execute("DELETE FROM jobs WHERE id = ?", (job_id,))
        self.results.remove(job_id)

    def remove_strays(self) -> None:
        """Remove the result folders and inputs that a killed server left without a record."""
        job_ids = {row["id"] for row in self._database.rows("SELECT id FROM jobs")}
        self.results.remove_others(job_ids)
        hashes = {row["sha256"] for row in self._database.rows("SELECT sha256 FROM blobs")}
        for path in (self.folder / "blobs").glob("*/*"):
            if path.stem not in hashes:
                path.unlink()

    def remove_stray_runs(self) -> None:
        """Remove the runs of jobs that have ended without results, or that are gone."""
        rows = self._database.rows(
            "SELECT id FROM jobs WHERE kind = 'brain' AND state IN ('queued', 'running', 'done')"
        )
        self.results.remove_other_runs({row["id"] for row in rows})

    def expired(self, now: float) -> list[Job]:
        """Jobs whose results are due to be swept at a time (seconds since 1970)."""
        rows = self._database.rows("SELECT * FROM jobs WHERE expires <= ?", (now,))
        return [job_of_row(row) for row in rows]

    def shift_expiry(self, seconds: float) -> None:
        """Move the expiry of all jobs after the wall clock was set."""
        with self._database.transaction() as db:
            db.execute("UPDATE jobs SET expires = expires + ?", (seconds,))

    def usage(self, owner: str) -> Usage:
        """What an owner has in the store; an input counts once, whatever the number of its jobs.

        An input that a path named is not in the store.
        """
        row = self._database.rows(
            "SELECT (SELECT count(*) FROM jobs"
            "    WHERE owner = ?1 AND state IN ('queued', 'running')),"
            " (SELECT coalesce(sum(result_bytes), 0) FROM jobs WHERE owner = ?1)"
            " + (SELECT coalesce(sum(bytes), 0) FROM blobs WHERE sha256 IN"
            "    (SELECT input FROM jobs WHERE owner = ?1 AND place IS NULL))",
            (owner,),
        )[0]
        return Usage(int(row[0]), int(row[1]))

    def events(self, job_id: str, after: int = 0) -> list[Event]:
        """The events of a job with a number above `after`, in order."""
        rows = self._database.rows(
            "SELECT number, time, kind, data FROM events WHERE job = ? AND number > ?"
            " ORDER BY number",
            (job_id, after),
        )
        return [Event(r["number"], r["time"], r["kind"], json.loads(r["data"])) for r in rows]

    # Inputs

    def blob_path(self, sha256: str, suffix: str) -> Path:
        """Path of an input with this hash."""
        return blob_path(self.folder, sha256, suffix)

    def add_blob(self, sha256: str, suffix: str, nbytes: int) -> Blob:
        """Record an input whose file is already at its path."""
        with self._database.transaction() as db:
            db.execute(
                "INSERT INTO blobs VALUES (?, ?, ?, ?)"
                " ON CONFLICT (sha256) DO UPDATE SET stored = excluded.stored",
                (sha256, suffix, nbytes, time.time()),
            )
        return self.blob(sha256)

    def blob(self, sha256: str) -> Blob:
        """The input with a hash.

        Raises:
            NotFound: the store does not have it.
        """
        rows = self._database.rows("SELECT * FROM blobs WHERE sha256 = ?", (sha256,))
        if not rows:
            raise NotFound(f"input {sha256[:12]}…: is not in the store: send it again")
        row = rows[0]
        path = self.blob_path(sha256, row["suffix"])
        return Blob(sha256, row["suffix"], row["bytes"], path)

    def has_input(self, owner: str, sha256: str) -> bool:
        """Whether a job of the owner has the input in the store."""
        rows = self._database.rows(
            "SELECT 1 FROM jobs WHERE owner = ? AND input = ? AND place IS NULL LIMIT 1",
            (owner, sha256),
        )
        return bool(rows)

    def unused_blobs(self) -> list[str]:
        """The hashes of inputs that no job has."""
        rows = self._database.rows(
            "SELECT sha256 FROM blobs WHERE sha256 NOT IN"
            " (SELECT input FROM jobs WHERE input IS NOT NULL AND place IS NULL)"
        )
        return [row["sha256"] for row in rows]

    def remove_blob(self, sha256: str) -> None:
        """Remove an input and its file, unless a job has it."""
        with self._database.transaction() as db:
            removed = db.execute(
                "DELETE FROM blobs WHERE sha256 = ?1 AND NOT EXISTS"
                " (SELECT 1 FROM jobs WHERE input = ?1 AND place IS NULL) RETURNING suffix",
                (sha256,),
            ).fetchall()
            for row in removed:
                self.blob_path(sha256, row["suffix"]).unlink(missing_ok=True)


def _add_event(db: sqlite3.Connection, job_id: str, kind: str, data: dict[str, Any]) -> None:
    """Add the next event of a job; its number follows the last one."""
    db.execute(
        "INSERT INTO events SELECT ?1, coalesce(max(number), 0) + 1, ?2, ?3, ?4"
        " FROM events WHERE job = ?1",
        (job_id, time.time(), kind, json.dumps(data)),
    )


def _locked(path: Path) -> IO[bytes]:
    """The open and locked lock file; the system releases the lock if the process dies."""
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise FileAccess(
            f"{path.parent}: is used by another server: stop it, or give this one another folder"
        ) from error
    return file
