"""EDITS and EDIT: the edits of a job's tree, whose answers leave in bounded pieces.

The work is done in the engine's threads. An answer counts for its peer's share until libzmq has
given its memory back, so that a peer that does not read holds no more than its credit.
"""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import zmq

from dineuro_bridge.errors import BadRequest, LimitExceeded, TryLater
from dineuro_bridge.protocol import CREDIT, Message
from dineuro_bridge.trees.swc import swc_text
from dineuro_server.doors.zeromq.peers import Peer, share_of
from dineuro_server.doors.zeromq.replies import swept
from dineuro_server.engine import Engine
from dineuro_server.jobs.proofreading import Proofread, parsed
from dineuro_server.jobs.records import Job
from dineuro_server.jobs.results import Results

#: Answers in work or in memory, of all peers together.
_TOTAL = 64


def _tree(state: Proofread) -> str:
    tree, ids = state.tree()
    return swc_text(tree, ids.tolist())


#: What an EDITS can ask for: the record, the record with whole paths and trees, the edited tree
#: with the ids that edits use, and that tree for other programs.
_FORMS: dict[str, Callable[[Proofread], str]] = {
    "edits": lambda state: json.dumps(state.record()),
    "paths": lambda state: json.dumps(state.record(paths=True)),
    "tree": _tree,
    "swc": lambda state: swc_text(state.tree()[0]),
}


class EditDesk:
    """Answers EDITS and EDIT; for the thread of the door alone.

    Args:
        engine: has the jobs and their edited trees.
        chunk_bytes: size of the largest payload, of an EDIT and of an answer.
        call_soon: has the door's thread make a call.
        send: sends a message, and returns the tracker of its memory; None if the peer is gone.
        refuse: sends an error about the named things.
    """

    def __init__(
        self,
        engine: Engine,
        chunk_bytes: int,
        call_soon: Callable[[Callable[[], object]], None],
        send: Callable[[bytes, Message], zmq.MessageTracker | None],
        refuse: Callable[[bytes, Exception, dict[str, Any]], object],
    ) -> None:
        self._engine, self._chunk_bytes = engine, chunk_bytes
        self._call_soon, self._send, self._refuse = call_soon, send, refuse
        self._working: Counter[bytes] = Counter()
        self._sent: list[tuple[bytes, zmq.MessageTracker]] = []

    def show(self, identity: bytes, peer: Peer, message: Message) -> None:
        """Send a piece of the edits or of the edited tree.

        Raises:
            BadRequest: there is no such form, or no such offset.
            TryLater: too many answers are under way.
        """
        header = message.header
        what, offset = header.get("what", "edits"), header.get("offset", 0)
        if what not in _FORMS:
            raise BadRequest(f"EDITS: what is one of {', '.join(_FORMS)}")
        if offset < 0:
            raise BadRequest("EDITS: offset is 0 or more")

        def piece(job: Job, results: Results) -> Message:
            state = self._engine.proofreading.state(job, results)
            return self._piece(header, state, what, offset)

        self._start(identity, peer, header, piece)

    def edit(self, identity: bytes, peer: Peer, message: Message) -> None:
        """Edit a tree; the edit is on disk before it is answered.

        Raises:
            BadRequest: the revision is none.
            LimitExceeded: the operation is too long.
            TryLater: too many answers are under way.
        """
        header, body = message.header, message.payload
        revision = header["revision"]
        if revision < 0:
            raise BadRequest("EDIT: revision is 0 or more")
        if len(body) > self._chunk_bytes:
            raise LimitExceeded(f"an edit has at most {self._chunk_bytes} bytes here")

        def edited(job: Job, results: Results) -> Message:
            proofreading, operation = self._engine.proofreading, parsed(body)
            state = proofreading.edit(job, results, revision, job.owner, operation)
            return self._piece(header, state, "edits", 0)

        self._start(identity, peer, header, edited)

    def _start(
        self,
        identity: bytes,
        peer: Peer,
        header: Mapping[str, Any],
        answer: Callable[[Job, Results], Message],
    ) -> None:
        """Have an answer made, if there is room for it."""
        share = share_of(identity, peer)
        self._sent = [(whose, tracker) for whose, tracker in self._sent if not tracker.done]
        held = self._working + Counter(whose for whose, _ in self._sent)
        if held[share] >= CREDIT or held.total() >= _TOTAL:
            raise TryLater("too many requests for edits at the same time: read the answers", 1)
        call = functools.partial(self._work, identity, share, peer.owner, header, answer)
        self._engine.checks.submit(peer.owner, call)
        # The call ends in this thread, and therefore later than this line.
        self._working[share] += 1

    def _work(
        self,
        identity: bytes,
        share: bytes,
        owner: str,
        header: Mapping[str, Any],
        answer: Callable[[Job, Results], Message],
    ) -> None:
        """Make an answer; runs in a thread of the engine."""
        outcome: Message | Exception
        try:
            job = self._engine.get(header["job"], owner)
            try:
                outcome = answer(job, self._engine.results(job))
            except FileNotFoundError as error:
                raise swept(job.id) from error
        except Exception as error:  # noqa: BLE001
            outcome = error
        self._call_soon(functools.partial(self._finish, identity, share, header, outcome))

    def _finish(
        self, identity: bytes, share: bytes, header: Mapping[str, Any], outcome: Message | Exception
    ) -> None:
        """Send an answer, or the error in its place."""
        self._working[share] -= 1
        if isinstance(outcome, Exception):
            about = {"request": header["request"], "job": header["job"]}
            self._refuse(identity, outcome, about)
            return
        tracker = self._send(identity, outcome)
        if tracker is not None and not tracker.done:
            self._sent.append((share, tracker))

    def _piece(
        self, header: Mapping[str, Any], state: Proofread, what: str, offset: int
    ) -> Message:
        """The EDITED with the bytes of a form from an offset on."""
        whole = _FORMS[what](state).encode()
        if offset > len(whole):
            raise BadRequest(f"EDITS: {what} has {len(whole)} bytes, the offset is {offset}")
        about = {
            "request": header["request"],
            "job": header["job"],
            "revision": state.edits.revision,
            "offset": offset,
            "nbytes": len(whole),
        }
        return Message("EDITED", about, whole[offset : offset + self._chunk_bytes])
