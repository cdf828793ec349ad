"""The SQLite file of a state folder: its schema, its connection and its transactions.

One connection serves all threads behind one lock, and every transaction is short.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dineuro_bridge.errors import FileAccess

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


class Database:
    """One open SQLite file in WAL mode; it is created if it is missing.

    Args:
        path: path of the file.

    Raises:
        FileAccess: another version of DINeuro wrote the file.
        sqlite3.Error: the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._connection = _open(path)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Commit all changes of the block, or none of them if it raises."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """All rows of a query."""
        with self._lock:
            return self._connection.execute(query, values).fetchall()

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._connection.close()


def _open(path: Path) -> sqlite3.Connection:
    """The connection, with its pragmas set and its schema checked."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == 0:
        connection.executescript(
            f"BEGIN; {_SCHEMA} PRAGMA user_version = {_SCHEMA_VERSION}; COMMIT;"
        )
    elif version != _SCHEMA_VERSION:
        connection.close()
        raise FileAccess(
            f"{path}: was written by another version of DINeuro (schema {version}, this version "
            f"has {_SCHEMA_VERSION}): see docs/operating.md on upgrades"
        )
    return connection
