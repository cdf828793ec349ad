"""The edited trees of done jobs: the trees that the worker wrote, with the logged edits applied.

The log is all that is stored. The states of the trees that were used last are kept in memory.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dineuro_bridge.errors import BadRequest
from dineuro_bridge.parts import PARTS
from dineuro_bridge.trees.doubts import doubts_of
from dineuro_bridge.trees.edits import Edits, sentence, short, summary
from dineuro_bridge.trees.swc import read_numbered
from dineuro_bridge.trees.tree import Tree
from dineuro_bridge.trees.units import in_voxels
from dineuro_server.jobs.edit_log import EditLog, outdated
from dineuro_server.jobs.records import Job, LoggedEdit
from dineuro_server.jobs.results import Results

#: Nodes of the trees that are kept in memory together; about 0.5 kB each.
_KEPT_NODES = 100_000
#: Locks of the jobs, which share them by their ids.
_LOCKS = 64


@dataclass(frozen=True, slots=True, eq=False)
class Proofread:
    """The tree of a job after its edits.

    Attributes:
        edits: the state.
        log: every edit, undo and redo included.
        comments: of the job's own tree; it is in voxels here.
    """

    edits: Edits
    log: tuple[LoggedEdit, ...]
    comments: tuple[str, ...]

    def tree(self) -> tuple[Tree, NDArray[np.int64]]:
        """The edited tree, whose comments tell what was changed, and the ids of its nodes."""
        done = [step.revision for step in self.edits.done]
        by_revision = {one.revision: one for one in self.log}
        in_force = [by_revision[revision] for revision in done]
        lines = [
            f"edited revision {self.edits.revision}, "
            f"edits in force: {summary([one.operation for one in in_force])}"
        ]
        lines += [
            f"edit {one.revision}: {sentence(one.operation)}, by {one.author}, {utc(one.time)}"
            for one in in_force
        ]
        return self.edits.tree.as_tree((*self.comments, *(lines if self.log else [])))

    def record(self, *, paths: bool = False) -> dict[str, Any]:
        """The edits and the answers to doubts as JSON values, the same at both doors.

        Args:
            paths: whether paths and trees are whole, and not counted.
        """
        in_force = {step.revision for step in self.edits.done}
        operations = [
            {
                **(one.operation if paths else short(one.operation)),
                "revision": one.revision,
                "author": one.author,
                "time": datetime.fromtimestamp(one.time, UTC).isoformat().replace("+00:00", "Z"),
                "in_force": one.revision in in_force,
            }
            for one in self.log
        ]
        return {
            "revision": self.edits.revision,
            "can_undo": self.edits.can_undo,
            "can_redo": self.edits.can_redo,
            "operations": operations,
            "doubts": dict(self.edits.tree.answers),
            "moot": list(self.edits.moot),
        }


class Proofreading:
    """The edited trees of one server; safe to use from several threads.

    Args:
        log: the logged edits.
        keep_s: seconds for which an edited job is kept after its last edit.
    """

    def __init__(self, log: EditLog, keep_s: float) -> None:
        self._log, self._keep_s = log, keep_s
        self._locks = [threading.Lock() for _ in range(_LOCKS)]
        self._kept = OrderedDict[str, Proofread]()
        self._kept_lock = threading.Lock()

    def state(self, job: Job, results: Results) -> Proofread:
        """The tree of a done job after all its edits; may block for a while.

        Raises:
            NotFound: the job has no tree.
            BadEdit: the tree is too large to be edited.
        """
        with self._lock_of(job):
            return self._state(job, results)

    def original(self, results: Results) -> Proofread:
        """The tree of a done job without its edits, in voxels; errors as `state`."""
        return proofread(results, ())

    def edit(
        self, job: Job, results: Results, revision: int, author: str, record: object
    ) -> Proofread:
        """Edit the tree of a done job; the edit is on disk when the call returns.

        Args:
            job: the job.
            results: its results.
            revision: that of the tree which the author edited.
            author: name of the author.
            record: the operation as JSON values.

        Raises:
            BadEdit: the operation does not fit the tree.
            Outdated: the tree has another revision.
            DineuroError: as `state` and `EditLog.append`.
        """
        with self._lock_of(job):
            before = self._state(job, results)
            if before.edits.revision != revision:
                raise outdated(before.edits.revision, revision)
            edits = before.edits.after(record)
            entry = self._log.append(job.id, revision, author, edits.last, self._keep_s)
            state = replace(before, edits=edits, log=(*before.log, entry))
            self._keep(job.id, state)
            return state

    def _lock_of(self, job: Job) -> threading.Lock:
        return self._locks[int(job.id, 16) % _LOCKS]

    def _state(self, job: Job, results: Results) -> Proofread:
        with self._kept_lock:
            kept = self._kept.get(job.id)
        if kept is None or kept.edits.revision != self._log.revision(job.id):
            kept = proofread(results, self._log.after(job.id))
        self._keep(job.id, kept)
        return kept

    def _keep(self, job_id: str, state: Proofread) -> None:
        """Keep a state in memory, and let the oldest go."""
        with self._kept_lock:
            self._kept[job_id] = state
            self._kept.move_to_end(job_id)
            while len(self._kept) > 1 and self._nodes() > _KEPT_NODES:
                self._kept.popitem(last=False)

    def _nodes(self) -> int:
        return sum(len(state.edits.tree) + 100 for state in self._kept.values())


def parsed(body: bytes | memoryview, what: str = "an edit") -> object:
    """The JSON value that a client sent; `what` it is begins the sentence of the error.

    Raises:
        BadRequest: it is not JSON.
    """
    try:
        return json.loads(bytes(body))
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"{what} must be JSON") from error


def utc(seconds: float) -> str:
    """A time since 1970 as text, whole seconds in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def proofread(results: Results, log: Sequence[LoggedEdit]) -> Proofread:
    """The tree of a done job after logged edits; errors as `Proofreading.state`."""
    state = _begin(results)
    edits = state.edits
    for entry in log:
        edits = edits.after(entry.operation)
    return replace(state, edits=edits, log=tuple(log))


def _begin(results: Results) -> Proofread:
    """The tree of a job before any edit, in voxels."""
    tree, ids = read_numbered(results.path(PARTS["swc"]))
    report = json.loads(results.path(PARTS["report"]).read_bytes())
    settings, (z, y, x) = report["settings"], report["shape_zyx"]
    comments = tree.comments
    if settings["units"] == "um":
        tree = in_voxels(tree, tuple(settings["spacing_um_xyz"]))
        comments = tuple(line.replace("x y z, um,", "x y z, voxel,") for line in comments)
    # An earlier version kept no pieces.
    path = results.select(lambda part: part.name == "pieces").get("pieces")
    pieces = (Tree.empty(), ()) if path is None else read_numbered(path)
    doubts = doubts_of(tree, ids, report.get("doubts", ()), pieces)
    return Proofread(Edits.of(tree, ids=ids, doubts=doubts, size=(x, y, z)), (), comments)
