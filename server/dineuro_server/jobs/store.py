"""The durable store: jobs and their events in SQLite, inputs and results as files beside it.

    STATE/lock             held by the one server that uses the folder
    STATE/jobs.sqlite      jobs, events, blobs (WAL)
    STATE/spool/           uploads that are not complete
    STATE/blobs/ab/ab…     inputs, named by their SHA-256, with the suffix of their format
    STATE/results/ID/      tree.swc mask.v3draw report.json preview.png, as far as the kind has them

The store knows nothing of who runs a job. Its methods are safe from several threads: one
connection, one lock, short transactions.
"""

from __future__ import annotations

import fcntl
import json
import secrets
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from dineuro_bridge.errors import Conflict, FileAccess, NotFound
from dineuro_bridge.files import reason
from dineuro_server.jobs.records import Blob, Event, Job, JobSpec, State, Usage

_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE jobs (
  id TEXT PRIMARY KEY, owner TEXT NOT NULL, kind TEXT NOT NULL, state TEXT NOT NULL,
  input TEXT, source TEXT, parameters TEXT NOT NULL, priority INTEGER NOT NULL,
  idempotency_key TEXT, answer_key TEXT NOT NULL, reuse INTEGER NOT NULL,
  time_limit_s REAL NOT NULL,
  created REAL NOT NULL, started REAL, finished REAL, expires REAL,
  attempts INTEGER NOT NULL DEFAULT 0,
  stage TEXT, done INTEGER NOT NULL DEFAULT 0, total INTEGER NOT NULL DEFAULT 0,
  error_code TEXT, error_text TEXT, reused INTEGER NOT NULL DEFAULT 0,
  result_bytes INTEGER NOT NULL DEFAULT 0,
  UNIQUE (owner, idempotency_key)
) STRICT;
CREATE INDEX jobs_by_state ON jobs (state, owner);
CREATE INDEX jobs_by_answer ON jobs (answer_key, owner, state);
CREATE TABLE events (
  job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
  number INTEGER NOT NULL, time REAL NOT NULL, kind TEXT NOT NULL, data TEXT NOT NULL,
  PRIMARY KEY (job, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE blobs (
  sha256 TEXT PRIMARY KEY, suffix TEXT NOT NULL, bytes INTEGER NOT NULL, stored REAL NOT NULL
) STRICT;
"""


class JobStore:
    """The state folder, opened and locked.

    Raises:
        FileAccess: the folder cannot be used, or another server uses it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            for name in ("spool", "blobs", "results"):
                (folder / name).mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock_file = _locked(folder / "lock")
            self._db = _opened(folder / "jobs.sqlite")
        except (OSError, sqlite3.Error) as error:
            if isinstance(error, FileAccess):
                raise
            why = reason(error) if isinstance(error, OSError) else str(error)
            raise FileAccess(f"{folder}: cannot be used as the state folder: {why}") from error
        self._lock = threading.RLock()

    def close(self) -> None:
        """Let another server have the folder."""
        with self._lock:
            self._db.close()
            self._lock_file.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All of the block or nothing of it."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _rows(self, query: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        with self._lock:
            return self._db.execute(query, values).fetchall()

    # Jobs

    def add(self, spec: JobSpec, answer_key: str, time_limit_s: float) -> Job:
        """A new queued job, or the one that was made with the same idempotency key before.

        Raises:
            Conflict: the key was used for another request.
        """
        with self._transaction() as db:
            if (before := self._by_key(spec)) is not None:
                if before.answer_key != answer_key:
                    raise Conflict(
                        f"idempotency key {spec.idempotency_key}: was used for another request: "
                        "take a new key"
                    )
                return before
            identity = secrets.token_hex(16)
            db.execute(
                "INSERT INTO jobs (id, owner, kind, state, input, source, parameters, priority,"
                " idempotency_key, answer_key, reuse, time_limit_s, created)"
                " VALUES (?, ?, ?, 'queued', ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    identity, spec.owner, spec.kind, spec.input, spec.source,
                    json.dumps(spec.parameters), spec.priority, spec.idempotency_key, answer_key,
                    spec.reuse, time_limit_s, time.time(),
                ),
            )  # fmt: skip
            self._event(identity, "state", {"state": "queued"})
            return self.job(identity)

    def by_key(self, spec: JobSpec) -> Job | None:
        """The job that was made with this owner's idempotency key."""
        with self._lock:
            return self._by_key(spec)

    def _by_key(self, spec: JobSpec) -> Job | None:
        if spec.idempotency_key is None:
            return None
        rows = self._rows(
            "SELECT * FROM jobs WHERE owner = ? AND idempotency_key = ?",
            (spec.owner, spec.idempotency_key),
        )
        return _job(rows[0]) if rows else None

    def job(self, identity: str) -> Job:
        """The job as it stands.

        Raises:
            NotFound: there is none.
        """
        rows = self._rows("SELECT * FROM jobs WHERE id = ?", (identity,))
        if not rows:
            raise NotFound(f"job {identity}: there is none, or it has been swept")
        return _job(rows[0])

    def jobs(self, owner: str, *, before: float | None = None, limit: int = 100) -> list[Job]:
        """An owner's jobs, the newest first."""
        rows = self._rows(
            "SELECT * FROM jobs WHERE owner = ? AND created < ? ORDER BY created DESC LIMIT ?",
            (owner, time.time() + 1e9 if before is None else before, limit),
        )
        return [_job(row) for row in rows]

    def in_state(self, state: State) -> list[Job]:
        """All jobs in a state, the oldest first."""
        rows = self._rows("SELECT * FROM jobs WHERE state = ? ORDER BY created, rowid", (state,))
        return [_job(row) for row in rows]

    def count(self, state: State) -> int:
        """How many jobs are in a state."""
        return int(self._rows("SELECT count(*) FROM jobs WHERE state = ?", (state,))[0][0])

    def answered(self, answer_key: str, owner: str) -> Job | None:
        """The newest finished job of the owner that asked for the same."""
        rows = self._rows(
            "SELECT * FROM jobs WHERE answer_key = ? AND owner = ? AND state = 'done'"
            " ORDER BY finished DESC LIMIT 1",
            (answer_key, owner),
        )
        return _job(rows[0]) if rows else None

    def begin(self, identity: str) -> Job:
        """A worker begins a queued job."""
        with self._transaction() as db:
            db.execute(
                "UPDATE jobs SET state = 'running', started = ?, attempts = attempts + 1,"
                " stage = NULL, done = 0, total = 0 WHERE id = ?",
                (time.time(), identity),
            )
            self._event(identity, "state", {"state": "running"})
            return self.job(identity)

    def requeue(self, identity: str, *, counted: bool) -> None:
        """Put a running job back; not `counted` takes its attempt back too."""
        with self._transaction() as db:
            db.execute(
                "UPDATE jobs SET state = 'queued', started = NULL, attempts = attempts - ?"
                " WHERE id = ?",
                (0 if counted else 1, identity),
            )
            self._event(identity, "state", {"state": "queued"})

    def progress(self, identity: str, stage: str, done: int, total: int) -> None:
        """How far a running job is."""
        with self._transaction() as db:
            db.execute(
                "UPDATE jobs SET stage = ?, done = ?, total = ? WHERE id = ?",
                (stage, done, total, identity),
            )
            self._event(identity, "progress", {"stage": stage, "done": done, "total": total})

    def end(
        self,
        identity: str,
        state: State,
        *,
        keep_s: float,
        error: tuple[str, str] | None = None,
        reused: bool = False,
        result_bytes: int = 0,
    ) -> None:
        """A job has come to its end; `error` is code and text; it is swept after `keep_s`."""
        now = time.time()
        code, text = error or (None, None)
        with self._transaction() as db:
            db.execute(
                "UPDATE jobs SET state = ?, finished = ?, expires = ?, error_code = ?,"
                " error_text = ?, reused = ?, result_bytes = ? WHERE id = ?",
                (state, now, now + keep_s, code, text, reused, result_bytes, identity),
            )
            data: dict[str, Any] = {"state": state}
            if error is not None:
                data |= {"code": error[0], "detail": error[1]}
            self._event(identity, "state", data)

    def remove(self, identity: str) -> None:
        """Forget a job with its results and events."""
        with self._transaction() as db:
            db.execute("DELETE FROM jobs WHERE id = ?", (identity,))
        shutil.rmtree(self.result_folder(identity), ignore_errors=True)

    def expired(self, now: float) -> list[Job]:
        """Ended jobs whose time is over."""
        return [_job(row) for row in self._rows("SELECT * FROM jobs WHERE expires <= ?", (now,))]

    def shift_expiry(self, seconds: float) -> None:
        """Move the end of every job's keeping: the clock was put right."""
        with self._transaction() as db:
            db.execute("UPDATE jobs SET expires = expires + ?", (seconds,))

    def usage(self, owner: str) -> Usage:
        """What the owner has in the store; an input counts once, however often it was used."""
        row = self._rows(
            "SELECT (SELECT count(*) FROM jobs"
            "    WHERE owner = ?1 AND state IN ('queued', 'running')),"
            " (SELECT coalesce(sum(result_bytes), 0) FROM jobs WHERE owner = ?1)"
            " + (SELECT coalesce(sum(bytes), 0) FROM blobs WHERE sha256 IN"
            "    (SELECT input FROM jobs WHERE owner = ?1))",
            (owner,),
        )[0]
        return Usage(int(row[0]), int(row[1]))

    def result_folder(self, identity: str) -> Path:
        """Where a job's results lie, or will."""
        return self.folder / "results" / identity

    # Events

    def _event(self, identity: str, kind: str, data: dict[str, Any]) -> None:
        self._db.execute(
            "INSERT INTO events SELECT ?1, coalesce(max(number), 0) + 1, ?2, ?3, ?4"
            " FROM events WHERE job = ?1",
            (identity, time.time(), kind, json.dumps(data)),
        )

    def events(self, identity: str, after: int = 0) -> list[Event]:
        """What happened to a job after the event of that number, in order."""
        rows = self._rows(
            "SELECT number, time, kind, data FROM events WHERE job = ? AND number > ?"
            " ORDER BY number",
            (identity, after),
        )
        return [Event(r["number"], r["time"], r["kind"], json.loads(r["data"])) for r in rows]

    # Blobs

    def blob_path(self, sha256: str, suffix: str) -> Path:
        """Where an input lies, or will."""
        return self.folder / "blobs" / sha256[:2] / f"{sha256}{suffix}"

    def add_blob(self, sha256: str, suffix: str, nbytes: int) -> Blob:
        """Remember an input whose file is in its place."""
        with self._transaction() as db:
            db.execute(
                "INSERT INTO blobs VALUES (?, ?, ?, ?)"
                " ON CONFLICT (sha256) DO UPDATE SET stored = excluded.stored",
                (sha256, suffix, nbytes, time.time()),
            )
        return self.blob(sha256)

    def blob(self, sha256: str) -> Blob:
        """An input by its hash.

        Raises:
            NotFound: there is none.
        """
        rows = self._rows("SELECT * FROM blobs WHERE sha256 = ?", (sha256,))
        if not rows:
            raise NotFound(f"input {sha256[:12]}…: is not in the store: send it again")
        row = rows[0]
        path = self.blob_path(sha256, row["suffix"])
        return Blob(sha256, row["suffix"], row["bytes"], path)

    def has_input(self, owner: str, sha256: str) -> bool:
        """Whether a job of the owner's has the input."""
        return bool(
            self._rows("SELECT 1 FROM jobs WHERE owner = ? AND input = ? LIMIT 1", (owner, sha256))
        )

    def unused_blobs(self) -> list[str]:
        """The hashes of inputs that no job has."""
        rows = self._rows(
            "SELECT sha256 FROM blobs WHERE sha256 NOT IN"
            " (SELECT input FROM jobs WHERE input IS NOT NULL)"
        )
        return [row["sha256"] for row in rows]

    def remove_blob(self, sha256: str) -> None:
        """Forget an input and its file, unless a job has it."""
        with self._transaction() as db:
            gone = db.execute(
                "DELETE FROM blobs WHERE sha256 = ?1 AND NOT EXISTS"
                " (SELECT 1 FROM jobs WHERE input = ?1) RETURNING suffix",
                (sha256,),
            ).fetchall()
            for row in gone:
                self.blob_path(sha256, row["suffix"]).unlink(missing_ok=True)


def _locked(path: Path) -> IO[bytes]:
    """The lock file, locked for as long as it is open; the system frees it if the process dies."""
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise FileAccess(
            f"{path.parent}: is used by another server: stop it, or give this one --state"
        ) from error
    return file


def _opened(path: Path) -> sqlite3.Connection:
    """The database, made if it is not there."""
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    db.row_factory = sqlite3.Row
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA foreign_keys = ON")
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version == 0:
        db.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {_SCHEMA_VERSION}; COMMIT;")
    elif version != _SCHEMA_VERSION:
        db.close()
        raise FileAccess(
            f"{path}: was written by another version of DINeuro (schema {version}, this one has "
            f"{_SCHEMA_VERSION}): see docs/operating.md on upgrades"
        )
    return db


def _job(row: sqlite3.Row) -> Job:
    values = {name: row[name] for name in row.keys()}  # noqa: SIM118 - a Row is no mapping
    values["parameters"] = json.loads(values["parameters"])
    values["reuse"], values["reused"] = bool(values["reuse"]), bool(values["reused"])
    return Job(**values)
