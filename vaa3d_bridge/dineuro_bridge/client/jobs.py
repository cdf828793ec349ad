"""What a client does with the jobs of its server beside waiting for them: list, attach, edit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dineuro_bridge.client.http import HttpTransport
from dineuro_bridge.client.transport import Deadline, TraceResult, Transport, understood
from dineuro_bridge.errors import BadParameter
from dineuro_bridge.progress import ProgressCallback, silent
from dineuro_bridge.trees.swc import parse_numbered, parse_swc
from dineuro_bridge.trees.tree import Tree


@dataclass(frozen=True, slots=True)
class TreeEdits:
    """The edits of a job's tree.

    Attributes:
        revision: the number of edits, undo and redo included.
        can_undo, can_redo: whether an edit can be taken back, or brought back.
        operations: the edits, the oldest first: `op` and its fields, `author`, `time`, `in_force`.
        doubts: "accepted" or "rejected" by the number of the doubt.
        moot: the numbers of the doubts without an answer whose place an edit has taken away.
    """

    revision: int
    can_undo: bool
    can_redo: bool
    operations: tuple[Mapping[str, Any], ...]
    doubts: Mapping[int, str]
    moot: tuple[int, ...] = ()

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> TreeEdits:
        """The edits of a server's JSON record."""
        doubts = {int(number): str(answer) for number, answer in record["doubts"].items()}
        return cls(
            int(record["revision"]), bool(record["can_undo"]), bool(record["can_redo"]),
            tuple(record["operations"]), doubts,
            tuple(int(number) for number in record.get("moot", ())),
        )  # fmt: skip


class JobsOfServer:
    """The part of `Client` that is about jobs of before. Its errors are those of `Client.trace`.

    `jobs`, `attach` and `rename` need the HTTP door.
    """

    _address: str
    _door: Transport

    def jobs(self, limit: int = 100) -> list[dict[str, Any]]:
        """Your jobs as the server's JSON records, the newest first; at most `limit` (1 to 1000)."""
        with understood(self._address, silent):
            record = json.loads(self._http().fetch(f"/v1/jobs?limit={int(limit)}"))
            return list(record["jobs"])

    def attach(
        self,
        job: str,
        *,
        progress: ProgressCallback = silent,
        deadline_s: float | None = None,
    ) -> TraceResult:
        """Wait for a job and return its result. The job goes on if this call does not.

        Args:
            job: the id, of `submit` or of an earlier result.
            progress: called while the job waits and runs.
            deadline_s: the time for which this call waits; None is no limit.

        Raises:
            NotFound: this client has no such job.
            DineuroError: the job failed.
            TimeLimit: the deadline is over.
        """
        with understood(self._address, progress) as watched:
            return self._http().attach(job, watched, Deadline(deadline_s))

    def rename(self, job: str, name: str) -> dict[str, Any]:
        """Give a job that has ended another name; returns its JSON record.

        Args:
            job: the id.
            name: the name; folders are removed. The results keep that under which they were made.

        Raises:
            NotFound: this client has no such job.
            Conflict: the job has not ended.
            BadParameter: the name is not allowed.
        """
        with understood(self._address, silent):
            return dict(json.loads(self._http().rename(job, name)))

    def edits(self, job: str, *, paths: bool = False) -> TreeEdits:
        """The edits of a job's tree.

        Args:
            job: the id of a done job with a tree.
            paths: whether paths have their points, and not only their number.
        """
        with understood(self._address, silent):
            return TreeEdits.of(json.loads(self._door.edits(job, "paths" if paths else "edits")))

    def edit(self, job: str, operation: Mapping[str, Any], revision: int) -> TreeEdits:
        """Edit a job's tree; the edit is on the server's disk when the call returns.

        Args:
            job: the id of a done job with a tree.
            operation: for example {"op": "cut", "node": 17}; see docs/operating.md.
            revision: that of the edits which the caller knows.

        Raises:
            BadEdit: the operation does not fit the tree.
            Outdated: somebody else has edited the tree. This may also be this very edit, if the
                connection was lost after the server had stored it.
        """
        with understood(self._address, silent):
            return TreeEdits.of(json.loads(self._door.edit(job, operation, revision)))

    def edited_tree(self, job: str) -> Tree:
        """The tree of a job after its edits, in voxels; its comments tell what was changed."""
        with understood(self._address, silent):
            return parse_swc(self._door.edits(job, "swc").decode(), job)

    def numbered_tree(self, job: str) -> tuple[Tree, NDArray[np.int64]]:
        """The tree of `edited_tree`, and (N,) the ids by which edits name its nodes."""
        with understood(self._address, silent):
            return parse_numbered(self._door.edits(job, "tree").decode(), job)

    def _http(self) -> HttpTransport:
        """The door, which must be that of HTTP.

        Raises:
            BadParameter: it is not.
        """
        if not isinstance(self._door, HttpTransport):
            raise BadParameter(f"{self._address}: this needs the server's address over HTTP")
        return self._door
