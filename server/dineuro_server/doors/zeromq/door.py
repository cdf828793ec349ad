"""Protocol DNP1 in front of the engine: what each message of a client does.

The loop's thread waits for no client and no job. Slow work, such as the check and the submission
of a volume, runs in the engine's threads, which hand their outcome back by `call_soon`. Every
exception becomes a message to the client and a line in the log, so that no message ends the door.
"""

from __future__ import annotations

import functools
import logging
import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import zmq

from dineuro_bridge.errors import BadRequest, Conflict, DineuroError, NotFound, TryLater
from dineuro_bridge.protocol import (
    CHUNK_BYTES,
    CREDIT,
    HEARTBEAT_S,
    IDLE_S,
    LOST_AFTER,
    VERSION,
    Message,
    decode,
)
from dineuro_server.access.tokens import LOCAL
from dineuro_server.doors.zeromq.edits import EditDesk
from dineuro_server.doors.zeromq.fetches import Fetches, Piece
from dineuro_server.doors.zeromq.loop import RouterLoop
from dineuro_server.doors.zeromq.peers import Peer, Peers, Sender, share_of
from dineuro_server.doors.zeromq.replies import (
    is_internal,
    part_file,
    queued,
    refused,
    rejected,
    revoked,
    state_of,
    swept,
)
from dineuro_server.doors.zeromq.transfers import OWNER_SUBMISSIONS, Transfer, Transfers, spec_of
from dineuro_server.engine import Engine
from dineuro_server.jobs.records import Job, JobSpec

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits that the door announces and enforces; see `dineuro_bridge.protocol`."""

    chunk_bytes: int = CHUNK_BYTES
    heartbeat_s: float = HEARTBEAT_S
    idle_s: float = IDLE_S


class Door(RouterLoop):
    """Protocol DNP1 in front of an engine.

    Args:
        engine: the engine that does the jobs.
        address: tcp://HOST:PORT; port 0 takes a free port.
        keys: folder of CURVE keys; None admits every peer as the owner "local".
        limits: the limits to announce.

    Raises:
        FileAccess: the address cannot be used, or a key cannot be read.
    """

    def __init__(
        self, engine: Engine, address: str, keys: Path | None = None, limits: Limits = Limits()
    ) -> None:
        super().__init__(address, keys, limits.chunk_bytes)
        self._engine, self._limits = engine, limits
        self._peers = Peers()
        self._transfers = Transfers(engine)
        self._fetches = Fetches(self._send_piece)
        self._named: Counter[str] = Counter()
        desk = EditDesk(engine, limits.chunk_bytes, self.call_soon, self.send, self._refuse)
        self._handlers = {
            "SUBMIT": self._submit,
            "CHUNK": self._chunk,
            "FETCH": self._fetch,
            "ATTACH": self._attach,
            "CANCEL": self._cancel,
            "EDITS": desk.show,
            "EDIT": desk.edit,
            "PING": self._ping,
        }

    # The loop's hooks

    def on_message(self, identity: bytes, frames: list[zmq.Frame]) -> None:
        """Handle one message; an error goes to its sender only."""
        about: dict[str, Any] = {}
        try:
            message = decode([frame.buffer for frame in frames])
            names = ("request", "transfer", "job")
            about = {name: message.header[name] for name in names if name in message.header}
            sender = self._sender(frames)
            if message.type == "HELLO":
                self._hello(identity, message, sender)
                return
            peer = self._peers.active(identity, sender)
            handler = self._handlers.get(message.type)
            if handler is None:
                raise BadRequest(f"{message.type}: is a message of the server")
            handler(identity, peer, message)
        except Exception as error:  # noqa: BLE001
            self._refuse(identity, error, about)

    def on_tick(self) -> None:
        """Forget silent peers, peers whose key was revoked, and abandoned uploads."""
        if self.allowed is not None:
            for identity in self._peers.unless(self._is_admitted):
                self._refuse(identity, revoked(), {})
                self.on_gone(identity)
        for identity in self._peers.silent(LOST_AFTER * self._limits.heartbeat_s):
            self.on_gone(identity)
        self._transfers.sweep(self._limits.idle_s)

    def on_turn(self) -> bool:
        """Send the pieces that there is memory for."""
        self._fetches.pump()
        return self._fetches.waiting

    def on_gone(self, identity: bytes) -> None:
        """Forget a peer; its uploads wait for an ATTACH, and its jobs go on."""
        self._peers.remove(identity)
        self._fetches.forget(identity)

    def on_end(self) -> None:
        """Forget all peers and uploads."""
        self._transfers.close()
        for identity in self._peers:
            self.on_gone(identity)

    # Connections

    def _hello(self, identity: bytes, message: Message, sender: Sender) -> None:
        if message.header["protocol"] != VERSION:
            raise BadRequest(
                f"this server speaks DNP{VERSION}, not {message.header['protocol']}: client and "
                "server need matching versions"
            )
        self._peers.greet(identity, sender)
        welcome = {
            "protocol": VERSION,
            "server": version("dineuro"),
            "max_bytes": self._engine.settings.max_bytes,
            "chunk_bytes": self._limits.chunk_bytes,
            "credit": CREDIT,
            "heartbeat_s": self._limits.heartbeat_s,
            "idle_s": self._limits.idle_s,
            "models": [model.name for model in self._engine.models()],
            "devices": [runner.device for runner in self._engine.runners],
            "waiting": self._engine.waiting,
            "by_path": bool(self._engine.roots),
            "edits": True,
        }
        self.send(identity, Message("WELCOME", welcome))

    def _sender(self, frames: list[zmq.Frame]) -> Sender:
        """The sender of a message: the owner of the connection's key.

        Raises:
            Unauthorized: the key was revoked.
        """
        address = str(frames[-1].get("Peer-Address"))
        if self.allowed is None:
            return Sender(LOCAL, "", address)
        key = str(frames[-1].get("User-Id"))
        name = self.allowed.name(key.encode())
        if name is None:
            raise revoked()
        return Sender(name, key, address)

    def _is_admitted(self, sender: Sender) -> bool:
        """Whether a sender's key still belongs to its owner."""
        return self.allowed is None or self.allowed.name(sender.key.encode()) == sender.owner

    def _ping(self, identity: bytes, _peer: Peer, _message: Message) -> None:
        self.send(identity, Message("PONG"))

    # Uploads

    def _submit(self, identity: bytes, peer: Peer, message: Message) -> None:
        header = message.header
        try:
            if "source" in header or "path" in header:
                self._submit_named(identity, peer.owner, header)
                return
            transfer = self._transfers.open(peer.owner, identity, header)
        except DineuroError as error:
            log.info("refused: %s", error, extra={"owner": peer.owner})
            self.send(identity, rejected(header["request"], error))
            return
        self.send(identity, transfer.outcome or transfer.accept())

    def _submit_named(self, identity: bytes, owner: str, header: Mapping[str, Any]) -> None:
        """Have a job submitted whose input is here already: an earlier job, or a file's path.

        Raises:
            TryLater: as many of the owner's are being submitted as may be.
            DineuroError: the request is wrong.
        """
        if self._named[owner] >= OWNER_SUBMISSIONS:
            raise TryLater("too many requests at the same time: try again when some are queued", 5)
        spec = spec_of(owner, header)
        submit: Callable[[JobSpec], Job] = self._engine.submit
        if "path" in header:
            path, fingerprint = header["path"], header.get("fingerprint")
            submit = functools.partial(
                self._engine.submit_place, path=path, fingerprint=fingerprint
            )
        self._named[owner] += 1
        call = functools.partial(self._finish_named, identity, header["request"], spec, submit)
        self._engine.checks.submit(owner, call)

    def _finish_named(
        self, identity: bytes, request: str, spec: JobSpec, submit: Callable[[JobSpec], Job]
    ) -> None:
        """Submit such a job; runs in a thread of the engine."""
        outcome: Callable[[], object]
        try:
            outcome = functools.partial(self._queued, identity, request, submit(spec))
        except Exception as error:  # noqa: BLE001
            outcome = functools.partial(self._refuse, identity, error, {"request": request})

        def submitted() -> None:
            self._named[spec.owner] -= 1
            outcome()

        self.call_soon(submitted)

    def _chunk(self, identity: bytes, peer: Peer, message: Message) -> None:
        header = message.header
        if "transfer" not in header or "seq" not in header:
            raise BadRequest("CHUNK: names a transfer and its seq")
        transfer = self._transfer(header["transfer"], peer)
        if transfer.client != identity:
            raise Conflict("another connection has taken over the upload: ATTACH takes it back")
        try:
            transfer.take(header["seq"], message.payload, self._limits.chunk_bytes)
        except DineuroError:
            self._transfers.drop(transfer)
            raise
        if transfer.full:
            self._engine.checks.submit(peer.owner, functools.partial(self._finish, transfer))
        elif transfer.credit <= CREDIT // 2:
            # The credit is renewed by halves: a CREDIT for every chunk would double the messages.
            n = CREDIT - transfer.credit
            transfer.credit += n
            self.send(identity, Message("CREDIT", {"transfer": transfer.token, "n": n}))

    def _finish(self, transfer: Transfer) -> None:
        """Check and submit a complete upload; runs in a thread of the engine."""
        try:
            job = transfer.finish(self._engine)
        except Exception as error:  # noqa: BLE001
            self.call_soon(functools.partial(self._upload_failed, transfer, error))
            return
        self.call_soon(functools.partial(self._uploaded, transfer, job))

    def _uploaded(self, transfer: Transfer, job: Job) -> None:
        """Announce the job of an upload, or cancel it if the upload was cancelled meanwhile."""
        owner = transfer.spec.owner
        if self._transfers.get(transfer.token, owner) is None:
            self._engine.cancel(job.id, owner)
            return
        transfer.last_message = time.monotonic()
        transfer.outcome = queued(transfer.request, job)
        self._queued(transfer.client, transfer.request, job)

    def _upload_failed(self, transfer: Transfer, error: Exception) -> None:
        transfer.last_message = time.monotonic()
        about = {"request": transfer.request, "transfer": transfer.token}
        transfer.outcome = self._refuse(transfer.client, error, about)

    def _queued(self, identity: bytes, request: str, job: Job) -> None:
        """Announce a job, and follow it for its peer."""
        self.send(identity, queued(request, job))
        peer = self._peers.get(identity)
        if peer is not None:
            self._watch(identity, peer, job)

    def _transfer(self, token: str, peer: Peer) -> Transfer:
        transfer = self._transfers.get(token, peer.owner)
        if transfer is None:
            raise NotFound("there is no such upload, or it was abandoned: SUBMIT it again")
        return transfer

    # Jobs

    def _attach(self, identity: bytes, peer: Peer, message: Message) -> None:
        """Follow a job, or continue an upload, over this connection."""
        if "job" in message.header:
            peer.last_states.pop(message.header["job"], None)
            self._watch(identity, peer, self._engine.get(message.header["job"], peer.owner))
            return
        transfer = self._transfer(message.header["transfer"], peer)
        transfer.client, transfer.last_message = identity, time.monotonic()
        self.send(identity, transfer.outcome or transfer.accept())

    def _cancel(self, identity: bytes, peer: Peer, message: Message) -> None:
        if "transfer" in message.header:
            transfer = self._transfer(message.header["transfer"], peer)
            self._transfers.drop(transfer)
            self.send(identity, Message("CANCELLED", {"transfer": transfer.token}))
            return
        job = self._engine.cancel(message.header["job"], peer.owner)
        peer.last_states.pop(job.id, None)
        self._watch(identity, peer, job)

    def _fetch(self, identity: bytes, peer: Peer, message: Message) -> None:
        """Send a piece of a result; at the end of a part it is shorter than requested."""
        header = message.header
        offset, nbytes = header["offset"], header["nbytes"]
        if not (offset >= 0 and 0 < nbytes <= self._limits.chunk_bytes):
            raise BadRequest(f"FETCH: 1 to {self._limits.chunk_bytes} bytes from an offset of 0 on")
        job = self._engine.get(header["job"], peer.owner)
        path, start = part_file(self._engine, job, header["part"])
        try:
            end = path.stat().st_size - start
        except FileNotFoundError as error:
            raise swept(job.id) from error
        if offset > end:
            raise BadRequest(f"FETCH: {header['part']} has {end} bytes, the offset is {offset}")
        piece = Piece(job.id, header["part"], path, start, offset, nbytes)
        self._fetches.add(share_of(identity, peer), identity, piece)

    def _send_piece(self, identity: bytes, piece: Piece) -> zmq.MessageTracker | None:
        """Read and send a piece; an error goes to its peer."""
        about = {"job": piece.job}
        try:
            payload = piece.read()
        except FileNotFoundError:
            self._refuse(identity, swept(piece.job), about)
            return None
        except OSError as error:
            self._refuse(identity, error, about)
            return None
        header = {"job": piece.job, "part": piece.part, "offset": piece.offset}
        return self.send(identity, Message("CHUNK", header, payload))

    def _watch(self, identity: bytes, peer: Peer, job: Job) -> None:
        """Send the state of a job to a peer, now and at every event."""
        if job.id not in peer.subscriptions:
            report = functools.partial(self._report, identity, job.id)
            peer.subscriptions[job.id] = self._engine.subscribe(
                job.id, functools.partial(self.call_soon, report)
            )
        self._report(identity, job.id)

    def _report(self, identity: bytes, job_id: str) -> None:
        """Send the state of a job to a peer that follows it, unless the peer has it already."""
        peer = self._peers.get(identity)
        if peer is None or job_id not in peer.subscriptions:
            return
        try:
            job = self._engine.get(job_id, peer.owner)
            message = state_of(self._engine, job)
        except Exception as error:  # noqa: BLE001
            peer.unsubscribe(job_id)
            self._refuse(identity, error, {"job": job_id})
            return
        if job.ended:
            peer.unsubscribe(job_id)
        elif peer.last_states.get(job_id) == message:
            return
        else:
            peer.last_states[job_id] = message
        self.send(identity, message)

    def _refuse(self, identity: bytes, error: Exception, about: dict[str, Any]) -> Message:
        """Send an error to a peer, under an id that is also in the log."""
        problem_id = secrets.token_hex(8)
        internal = is_internal(error)
        code = error.code if isinstance(error, DineuroError) else DineuroError.code
        log.log(
            logging.ERROR if internal else logging.INFO,
            "problem %s: %s: %s",
            problem_id,
            code,
            error,
            extra={"problem": problem_id},
            exc_info=error if internal else None,
        )
        message = refused(error, about, problem_id)
        self.send(identity, message)
        return message
