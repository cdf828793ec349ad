"""The peers that have said HELLO: their owners, their last sign of life, the jobs they follow."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from dineuro_bridge.errors import TryLater, Unauthorized
from dineuro_bridge.protocol import Message

#: Peers at the same time.
_MAX_PEERS = 1024


@dataclass(slots=True, eq=False)
class Peer:
    """One connection that has said HELLO.

    Attributes:
        owner: owner of its jobs.
        last_message: `time.monotonic` of its last message.
        subscriptions: functions that end the subscription to a job, by job id.
        last_states: the last message about each job, by job id.
    """

    owner: str
    last_message: float = field(default_factory=time.monotonic)
    subscriptions: dict[str, Callable[[], None]] = field(default_factory=dict)
    last_states: dict[str, Message] = field(default_factory=dict)

    def unsubscribe(self, job_id: str) -> None:
        """Stop following a job."""
        self.subscriptions.pop(job_id)()
        self.last_states.pop(job_id, None)


class Peers:
    """All peers by the identity of their connection; for the thread of the door alone."""

    def __init__(self) -> None:
        self._peers: dict[bytes, Peer] = {}

    def greet(self, identity: bytes, owner: str) -> None:
        """Record a HELLO.

        Raises:
            TryLater: too many peers are connected.
        """
        if identity not in self._peers and len(self._peers) >= _MAX_PEERS:
            raise TryLater("too many clients at the same time", 10)
        peer = self._peers.get(identity)
        if peer is None or peer.owner != owner:
            self._peers[identity] = Peer(owner)

    def get(self, identity: bytes) -> Peer | None:
        """The peer of an identity; None if it has not said HELLO."""
        return self._peers.get(identity)

    def sender(self, identity: bytes) -> Peer:
        """The peer that sent a message.

        Raises:
            Unauthorized: the sender has not said HELLO.
        """
        peer = self._peers.get(identity)
        if peer is None:
            raise Unauthorized("HELLO comes first, also after the connection was lost")
        peer.last_message = time.monotonic()
        return peer

    def remove(self, identity: bytes) -> None:
        """Forget a peer; its uploads wait for an ATTACH, and its jobs go on."""
        peer = self._peers.pop(identity, None)
        if peer is not None:
            for unsubscribe in peer.subscriptions.values():
                unsubscribe()

    def silent(self, seconds: float) -> Iterator[bytes]:
        """The identities that have sent nothing for more than `seconds`."""
        now = time.monotonic()
        for identity, peer in list(self._peers.items()):
            if now - peer.last_message > seconds:
                yield identity

    def __iter__(self) -> Iterator[bytes]:
        return iter(list(self._peers))
