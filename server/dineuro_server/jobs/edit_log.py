"""The edits of all jobs' trees in SQLite: each is on disk before it is acknowledged."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from dineuro_bridge.errors import LimitExceeded, NotFound, Outdated
from dineuro_server.jobs.database import Database
from dineuro_server.jobs.records import LoggedEdit

#: The most edits of one job, undo and redo included, and their bytes.
MOST_EDITS, MOST_BYTES = 10_000, 2**25


class EditLog:
    """The edits in one state folder; safe to use from several threads.

    Args:
        database: the store's; the edits of a removed job go with it.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def revision(self, job_id: str) -> int:
        """The number of a job's edits."""
        rows = self._database.rows(
            "SELECT coalesce(max(revision), 0) FROM edits WHERE job = ?", (job_id,)
        )
        return int(rows[0][0])

    def after(self, job_id: str, revision: int = 0) -> list[LoggedEdit]:
        """The edits of a job that follow a revision, in order."""
        rows = self._database.rows(
            "SELECT revision, time, author, operation FROM edits WHERE job = ? AND revision > ?"
            " ORDER BY revision",
            (job_id, revision),
        )
        return [
            LoggedEdit(r["revision"], r["time"], r["author"], json.loads(r["operation"]))
            for r in rows
        ]

    def append(
        self, job_id: str, revision: int, author: str, operation: Mapping[str, Any], keep_s: float
    ) -> LoggedEdit:
        """Add an edit; it is on disk when the call returns.

        The bytes of the edits count as the job's results, and the job is kept for longer.

        Args:
            job_id: id of the job.
            revision: the number of edits that the author knows.
            author: name of the author.
            operation: JSON values.
            keep_s: seconds from now until the job may be swept.

        Raises:
            Outdated: the job has another number of edits by now.
            NotFound: the job has been removed.
            LimitExceeded: the job has too many edits, or too large ones.
            TryLater, DiskFull: the edit is not stored.
        """
        now, text = time.time(), json.dumps(operation)
        with self._database.transaction() as db:
            row = db.execute(
                "SELECT coalesce(max(revision), 0), coalesce(sum(length(operation)), 0)"
                " FROM edits WHERE job = ?",
                (job_id,),
            ).fetchone()
            if row[0] != revision:
                raise outdated(row[0], revision)
            if revision >= MOST_EDITS or row[1] + len(text) > MOST_BYTES:
                raise LimitExceeded(
                    f"job {job_id}: has {revision} edits of {row[1]} bytes; the limits are "
                    f"{MOST_EDITS} and {MOST_BYTES}: export the tree and trace anew"
                )
            known = db.execute(
                "UPDATE jobs SET result_bytes = result_bytes + ?, expires = max(expires, ?)"
                " WHERE id = ?",
                (len(text), now + keep_s, job_id),
            ).rowcount
            if not known:
                raise NotFound(f"job {job_id}: there is none, or it has been swept")
            db.execute(
                "INSERT INTO edits VALUES (?, ?, ?, ?, ?)",
                (job_id, revision + 1, now, author, text),
            )
        return LoggedEdit(revision + 1, now, author, dict(operation))


def outdated(current: int, known: int) -> Outdated:
    """The error of an edit that is based on another revision than the current one."""
    return Outdated(
        f"the tree has revision {current}, and the edit is based on {known}: fetch the tree and "
        "edit it again"
    )
