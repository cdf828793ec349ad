"""The peers that have said HELLO: their owners, their last sign of life, the jobs they follow."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from dineuro_bridge.errors import Unauthorized
from dineuro_bridge.protocol import Message

#: Peers at the same time.
_MAX_PEERS = 1024


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sent a message, by the connection that it came over.

    Attributes:
        owner: owner of the jobs.
        key: public key in Z85; empty where no keys are required.
        address: IP address.
    """

    owner: str
    key: str
    address: str


@dataclass(slots=True, eq=False)
class Peer:
    """One connection that has said HELLO.

    Attributes:
        sender: the authenticated sender of its HELLO.
        last_message: `time.monotonic` of its last message.
        subscriptions: functions that end the subscription to a job, by job id.
        last_states: the last message about each job, by job id.
    """

    sender: Sender
    last_message: float = field(default_factory=time.monotonic)
    subscriptions: dict[str, Callable[[], None]] = field(default_factory=dict)
    last_states: dict[str, Message] = field(default_factory=dict)

    @property
    def owner(self) -> str:
        """Owner of its jobs."""
        return self.sender.owner

    def unsubscribe(self, job_id: str) -> None:
        """Stop following a job."""
        self.subscriptions.pop(job_id)()
        self.last_states.pop(job_id, None)


class Peers:
    """All peers by the identity of their connection; for the thread of the door alone."""

    def __init__(self) -> None:
        self._peers: dict[bytes, Peer] = {}

    def greet(self, identity: bytes, sender: Sender) -> None:
        """Record a HELLO; the least active peer makes room for it if there are too many.

        That peer belongs to the sender with the most connections, so that none shuts out others.
        """
        peer = self._peers.get(identity)
        if peer is not None and peer.sender == sender:
            return
        self.remove(identity)
        if len(self._peers) >= _MAX_PEERS:
            connections = Counter(peer.sender for peer in self._peers.values())
            largest = max(connections, key=connections.__getitem__)
            candidates = [name for name, peer in self._peers.items() if peer.sender == largest]
            self.remove(min(candidates, key=lambda name: self._peers[name].last_message))
        self._peers[identity] = Peer(sender)

    def get(self, identity: bytes) -> Peer | None:
        """The peer of an identity; None if it has not said HELLO."""
        return self._peers.get(identity)

    def active(self, identity: bytes, sender: Sender) -> Peer:
        """The peer that sent a message.

        Raises:
            Unauthorized: the sender has not said HELLO over its connection.
        """
        peer = self._peers.get(identity)
        if peer is None or peer.sender.key != sender.key:
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

    def unless(self, is_admitted: Callable[[Sender], bool]) -> Iterator[bytes]:
        """The identities of the peers that are not admitted any more."""
        for identity, peer in list(self._peers.items()):
            if not is_admitted(peer.sender):
                yield identity

    def __iter__(self) -> Iterator[bytes]:
        return iter(list(self._peers))


def share_of(identity: bytes, peer: Peer) -> bytes:
    """Whom a peer's use of the door counts for: its owner, or itself where no keys are required."""
    return peer.owner.encode() if peer.sender.key else identity
