"""The SQLite file of a state folder: its schema, its connection and its transactions.

One connection serves all threads behind one lock, and every transaction is short. Another program
may lock the file, and the disk may be full: both become errors that a client can act on.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dineuro_bridge.errors import DiskFull, FileAccess, TryLater
from dineuro_server.jobs.records import Job, Place

#: Time that a transaction waits for a lock, of this process or of another one (seconds).
_WAIT_S = 2.0
_SCHEMA_VERSION = 4
_EDITS = """
CREATE TABLE edits (
  job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
  revision INTEGER NOT NULL, time REAL NOT NULL, author TEXT NOT NULL, operation TEXT NOT NULL,
  PRIMARY KEY (job, revision)
) STRICT, WITHOUT ROWID;
"""
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
  cancel_requested INTEGER NOT NULL DEFAULT 0,
  place TEXT,
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
#: The statements that bring a file of an earlier schema to the next one, by its version.
_UPGRADES = {
    1: "ALTER TABLE jobs ADD COLUMN cancel_requested INTEGER NOT NULL DEFAULT 0;",
    2: _EDITS,
    3: "ALTER TABLE jobs ADD COLUMN place TEXT;",
}


class Database:
    """One open SQLite file in WAL mode; it is created if it is missing.

    Args:
        path: path of the file.
        read_only: whether it is only read, also while a server uses it; it must exist then.

    Raises:
        FileAccess: another version of DINeuro wrote the file.
        sqlite3.Error: the file cannot be opened.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self._lock = threading.RLock()
        self._connection = _open_to_read(path) if read_only else _open(path)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Commit all changes of the block, or none of them if it raises.

        Raises:
            TryLater: another program has locked the file.
            DiskFull: the disk has no room for the changes.
        """
        with self._locked():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # a full disk may have ended it already
                    self._connection.execute("ROLLBACK")
                raise

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """All rows of a query.

        Raises:
            TryLater: another program has locked the file.
        """
        with self._locked():
            return self._connection.execute(query, values).fetchall()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the connection, and turn its errors into those of the service."""
        if not self._lock.acquire(timeout=2 * _WAIT_S):
            raise _store_locked()
        try:
            yield
        except sqlite3.OperationalError as error:
            code = error.sqlite_errorcode & 0xFF  # the lower byte is the primary result code
            if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise _store_locked() from error
            if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
                raise DiskFull("the server's disk is full: try again later") from error
            raise
        finally:
            self._lock.release()

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._connection.close()


def _store_locked() -> TryLater:
    return TryLater("the server's job store is locked by another program: try again", 5)


def _open(path: Path) -> sqlite3.Connection:
    """The connection, with its pragmas set and its schema checked or upgraded."""
    # SQLite gives its further files the permissions of the first one.
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    path.chmod(0o600)
    connection = sqlite3.connect(
        path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False
    )
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == 0:
        connection.executescript(
            f"BEGIN; {_SCHEMA} {_EDITS} PRAGMA user_version = {_SCHEMA_VERSION}; COMMIT;"
        )
    while version in _UPGRADES:
        connection.executescript(
            f"BEGIN; {_UPGRADES[version]} PRAGMA user_version = {version + 1}; COMMIT;"
        )
        version += 1
    if version not in (0, _SCHEMA_VERSION):
        connection.close()
        raise _other_version(path, version)
    return connection


def _open_to_read(path: Path) -> sqlite3.Connection:
    """A connection that changes nothing, not even the schema."""
    uri = f"{path.absolute().as_uri()}?mode=ro"
    connection = sqlite3.connect(
        uri, uri=True, timeout=_WAIT_S, isolation_level=None, check_same_thread=False
    )
    connection.row_factory = sqlite3.Row
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version != _SCHEMA_VERSION:
        connection.close()
        raise _other_version(path, version)
    return connection


def _other_version(path: Path, version: int) -> FileAccess:
    return FileAccess(
        f"{path}: was written by another version of DINeuro (schema {version}, this version "
        f"has {_SCHEMA_VERSION}): see docs/operating.md on upgrades"
    )


def blob_path(state: Path, sha256: str, suffix: str) -> Path:
    """Path of an input with this hash in a state folder."""
    return state / "blobs" / sha256[:2] / f"{sha256}{suffix}"


def job_of_row(row: sqlite3.Row) -> Job:
    """The job of a row of the table `jobs`."""
    values = {name: row[name] for name in row.keys()}  # noqa: SIM118 - a Row is no mapping
    values["parameters"] = json.loads(values["parameters"])
    if values["place"] is not None:
        values["place"] = Place(**json.loads(values["place"]))
    for name in ("reuse", "reused", "cancel_requested"):
        values[name] = bool(values[name])
    return Job(**values)
