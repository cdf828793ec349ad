"""The pieces of results on their way out: bounded for each peer, each owner, and all together.

libzmq keeps a piece in memory until the peer's connection has taken it. A peer that requests
pieces and does not read them therefore holds no more than its credit. An owner with many such
peers holds a quarter of the memory, so that the others' pieces still go out.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import zmq

from dineuro_bridge.errors import BadRequest
from dineuro_bridge.protocol import CREDIT

#: Bytes of pieces in memory, for all peers together and for those of one owner.
_TOTAL_BYTES = 2**27
_OWNER_BYTES = _TOTAL_BYTES // 4


@dataclass(frozen=True, slots=True)
class Piece:
    """A requested piece of a part.

    Attributes:
        job: id of the job.
        part: name of the part.
        path: file of the part.
        start: offset of the part in its file (bytes).
        offset: offset of the piece in the part (bytes).
        nbytes: largest size of the piece.
    """

    job: str
    part: str
    path: Path
    start: int
    offset: int
    nbytes: int

    def read(self) -> bytes:
        """The bytes of the piece, fewer at the end of the part."""
        with self.path.open("rb") as file:
            file.seek(self.start + self.offset)
            return file.read(self.nbytes)


@dataclass(slots=True, eq=False)
class _Lane:
    """The pieces of one peer: those that wait, and those that libzmq still holds."""

    waiting: deque[Piece] = field(default_factory=deque)
    sent: list[tuple[int, zmq.MessageTracker]] = field(default_factory=list)

    def held(self) -> int:
        """Bytes that libzmq still holds."""
        self.sent = [(nbytes, tracker) for nbytes, tracker in self.sent if not tracker.done]
        return sum(nbytes for nbytes, _ in self.sent)


class Fetches:
    """The pieces of all peers; for the thread of the door alone.

    Args:
        send: reads and sends a piece, and returns the tracker of its memory; None if it was not
            sent.
    """

    def __init__(self, send: Callable[[bytes, Piece], zmq.MessageTracker | None]) -> None:
        self._send = send
        # By owner and identity, because another owner may take an identity over; in order of turns.
        self._lanes: dict[tuple[bytes, bytes], _Lane] = {}

    @property
    def waiting(self) -> bool:
        """Whether a piece waits for memory."""
        return any(lane.waiting for lane in self._lanes.values())

    def add(self, owner: bytes, identity: bytes, piece: Piece) -> None:
        """Send a piece now, or as soon as there is room for it.

        Args:
            owner: whom the memory of the piece counts for.
            identity: identity of the peer's connection.
            piece: the piece.

        Raises:
            BadRequest: the peer has as many unanswered requests as its credit.
        """
        lane = self._lanes.setdefault((owner, identity), _Lane())
        if len(lane.waiting) >= CREDIT:
            raise BadRequest(f"FETCH: at most {CREDIT} at the same time: read the pieces first")
        lane.waiting.append(piece)
        self.pump()

    def pump(self) -> None:
        """Send the pieces that there is room for, one of each peer in turn."""
        held: Counter[bytes] = Counter()
        for (owner, _), lane in self._lanes.items():
            held[owner] += lane.held()
        progress = True
        while progress:
            progress = False
            for (owner, identity), lane in list(self._lanes.items()):
                room = held.total() < _TOTAL_BYTES and held[owner] < _OWNER_BYTES
                if not (room and lane.waiting and len(lane.sent) < CREDIT):
                    continue
                progress = True
                self._lanes[owner, identity] = self._lanes.pop((owner, identity))
                piece = lane.waiting.popleft()
                tracker = self._send(identity, piece)
                if tracker is not None and not tracker.done:
                    lane.sent.append((piece.nbytes, tracker))
                    held[owner] += piece.nbytes
        for name, lane in list(self._lanes.items()):
            if not lane.waiting and not lane.sent:
                del self._lanes[name]

    def forget(self, identity: bytes) -> None:
        """Drop the waiting pieces of a peer; what libzmq holds still counts."""
        for (_, other), lane in self._lanes.items():
            if other == identity:
                lane.waiting.clear()
