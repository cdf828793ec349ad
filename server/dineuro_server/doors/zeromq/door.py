"""Protocol DNP1 in front of the engine: what a client may say, and what it is told.

Nothing here waits for a client or a job. What may take long (checking a volume, queueing it) is
done by two helpers, who tell the loop `later`. An error of any kind goes to `_refuse`, which tells
the client and the log: the door must outlive whatever a client sends.
"""

from __future__ import annotations

import functools
import logging
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import zmq

from dineuro_bridge.errors import (
    BadRequest,
    Cancelled,
    Conflict,
    DineuroError,
    FileAccess,
    NotFound,
    TryLater,
    Unauthorized,
    error_for,
)
from dineuro_bridge.protocol import (
    CHUNK_BYTES,
    CREDIT,
    HEARTBEAT_S,
    IDLE_S,
    LOST_AFTER,
    PARTS,
    VERSION,
    Message,
    decode,
)
from dineuro_bridge.volumes.v3draw import HEADER_BYTES as MASK_OFFSET
from dineuro_bridge.volumes.v3draw import read_header
from dineuro_server.access.tokens import LOCAL
from dineuro_server.doors.zeromq.loop import RouterLoop
from dineuro_server.doors.zeromq.transfers import Transfer, Transfers, spec_of
from dineuro_server.engine import Engine
from dineuro_server.jobs.records import Job

#: Connections at a time.
_MAX_CLIENTS = 1024
_OWN = "an error of the server's own: its log has it under this id"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """What the door announces and keeps to; see `dineuro_bridge.protocol`."""

    chunk_bytes: int = CHUNK_BYTES
    heartbeat_s: float = HEARTBEAT_S
    idle_s: float = IDLE_S


@dataclass(slots=True, eq=False)
class _Client:
    """One connection that has said HELLO.

    Attributes:
        owner: of its jobs.
        heard: `time.monotonic` of its last message.
        watched: what ends the watching of each job.
        told: the last that was said of each job.
    """

    owner: str
    heard: float
    watched: dict[str, Callable[[], None]] = field(default_factory=dict)
    told: dict[str, Any] = field(default_factory=dict)


class Door(RouterLoop):
    """Protocol DNP1 in front of an engine.

    Args:
        engine: that does the work.
        address: tcp://HOST:PORT; port 0 takes a free one.
        keys: folder of CURVE keys; None lets in who can reach it, as the owner "local".
        limits: to be announced.

    Raises:
        FileAccess: the address cannot be used, or a key cannot be read.
    """

    def __init__(
        self, engine: Engine, address: str, keys: Path | None = None, limits: Limits = Limits()
    ) -> None:
        super().__init__(address, keys, limits.chunk_bytes)
        self._engine, self._limits = engine, limits
        self._clients: dict[bytes, _Client] = {}
        self._transfers = Transfers(engine)
        self._helpers = ThreadPoolExecutor(2, "zeromq-helper")

    def heard(self, identity: bytes, frames: list[zmq.Frame]) -> None:
        """One message; whatever is wrong with it is told to its sender and to no one else."""
        about: dict[str, Any] = {}
        try:
            message = decode([frame.buffer for frame in frames])
            names = ("request", "transfer", "job")
            about = {name: message.header[name] for name in names if name in message.header}
            self._dispatch(identity, message, frames)
        except Exception as error:  # noqa: BLE001
            self._refuse(identity, error, about)

    def _dispatch(self, identity: bytes, message: Message, frames: list[zmq.Frame]) -> None:
        if message.type == "HELLO":
            self._hello(identity, message, frames)
            return
        client = self._clients.get(identity)
        if client is None:
            raise Unauthorized("HELLO comes first, also after the connection was lost")
        client.heard = time.monotonic()
        handle = {
            "SUBMIT": self._submit,
            "CHUNK": self._chunk,
            "FETCH": self._fetch,
            "ATTACH": self._attach,
            "CANCEL": self._cancel,
            "PING": self._ping,
        }.get(message.type)
        if handle is None:
            raise BadRequest(f"{message.type}: is what a server says")
        handle(identity, client, message)

    # What a client says

    def _hello(self, identity: bytes, message: Message, frames: list[zmq.Frame]) -> None:
        if message.header["protocol"] != VERSION:
            raise BadRequest(
                f"this server speaks DNP{VERSION}, not {message.header['protocol']}: client and "
                "server must be of versions that fit"
            )
        if identity not in self._clients and len(self._clients) >= _MAX_CLIENTS:
            raise TryLater("too many clients at a time", 10)
        owner = self._owner(frames)
        known = self._clients.get(identity)
        if known is None or known.owner != owner:
            self._clients[identity] = _Client(owner, time.monotonic())
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
        }
        self.send(identity, Message("WELCOME", welcome))

    def _owner(self, frames: list[zmq.Frame]) -> str:
        """Who is behind a connection: the name of its key."""
        if self.allowed is None:
            return LOCAL
        key = str(frames[-1].get("User-Id"))
        name = self.allowed.name(key.encode())
        if name is None:
            raise Unauthorized("the key is not known here any more: ask who runs the server")
        return name

    def _ping(self, identity: bytes, _client: _Client, _message: Message) -> None:
        self.send(identity, Message("PONG"))

    def _submit(self, identity: bytes, client: _Client, message: Message) -> None:
        header = message.header
        try:
            if header.get("source") is not None:
                spec = spec_of(client.owner, header)
                self._helpers.submit(self._queue, identity, header["request"], spec)
                return
            transfer = self._transfers.open(client.owner, identity, header)
        except DineuroError as error:
            more = {"retry_after": error.retry_after} if isinstance(error, TryLater) else {}
            told = {"request": header["request"], "code": error.code, "detail": _detail(error)}
            log.info("refused: %s", error, extra={"owner": client.owner})
            self.send(identity, Message("REJECT", told | more))
            return
        self.send(identity, transfer.outcome or transfer.accept())

    def _queue(self, identity: bytes, request: str, spec: Any) -> None:
        """A retrace, by a helper: it needs the store."""
        about = {"request": request}
        try:
            job = self._engine.submit(spec)
        except Exception as error:  # noqa: BLE001
            self.later(functools.partial(self._refuse, identity, error, about))
            return
        self.later(functools.partial(self._queued, identity, request, job))

    def _chunk(self, identity: bytes, client: _Client, message: Message) -> None:
        header = message.header
        if "transfer" not in header or "seq" not in header:
            raise BadRequest("CHUNK: names a transfer and its seq")
        transfer = self._transfer(header["transfer"], client)
        if transfer.client != identity:
            raise Conflict("the upload goes on over another connection: ATTACH takes it over")
        try:
            transfer.take(header["seq"], message.payload, self._limits.chunk_bytes)
        except DineuroError:
            self._transfers.drop(transfer)
            raise
        if transfer.full:
            self._helpers.submit(self._finish, transfer)
        elif transfer.credit <= CREDIT // 2:
            # In two halves: a message for every chunk would be half of all messages.
            n = CREDIT - transfer.credit
            transfer.credit += n
            self.send(identity, Message("CREDIT", {"transfer": transfer.token, "n": n}))

    def _finish(self, transfer: Transfer) -> None:
        """A whole upload, by a helper."""
        try:
            job = transfer.finish(self._engine)
        except Exception as error:  # noqa: BLE001
            self.later(functools.partial(self._spoilt, transfer, error))
            return
        self.later(functools.partial(self._taken, transfer, job))

    def _taken(self, transfer: Transfer, job: Job) -> None:
        owner = transfer.spec.owner
        if self._transfers.get(transfer.token, owner) is None:  # cancelled while it was checked
            self._engine.cancel(job.id, owner)
            return
        transfer.heard = time.monotonic()
        transfer.outcome = _queued(transfer.request, job)
        self._queued(transfer.client, transfer.request, job)

    def _spoilt(self, transfer: Transfer, error: Exception) -> None:
        transfer.heard = time.monotonic()
        about = {"request": transfer.request, "transfer": transfer.token}
        transfer.outcome = self._refuse(transfer.client, error, about)

    def _queued(self, identity: bytes, request: str, job: Job) -> None:
        self.send(identity, _queued(request, job))
        client = self._clients.get(identity)
        if client is not None:
            self._watch(identity, client, job)

    def _attach(self, identity: bytes, client: _Client, message: Message) -> None:
        if "job" in message.header:
            client.told.pop(message.header["job"], None)
            self._watch(identity, client, self._engine.get(message.header["job"], client.owner))
            return
        transfer = self._transfer(message.header["transfer"], client)
        transfer.client, transfer.heard = identity, time.monotonic()
        if transfer.outcome is not None:
            self.send(identity, transfer.outcome)
        else:
            self.send(identity, transfer.accept())

    def _cancel(self, identity: bytes, client: _Client, message: Message) -> None:
        if "transfer" in message.header:
            transfer = self._transfer(message.header["transfer"], client)
            self._transfers.drop(transfer)
            self.send(identity, Message("CANCELLED", {"transfer": transfer.token}))
            return
        job = self._engine.cancel(message.header["job"], client.owner)
        client.told.pop(job.id, None)
        self._watch(identity, client, job)

    def _fetch(self, identity: bytes, client: _Client, message: Message) -> None:
        """A piece of a result; where it ends the payload is shorter than was asked for."""
        header = message.header
        offset, nbytes = header["offset"], header["nbytes"]
        if not (offset >= 0 and 0 < nbytes <= self._limits.chunk_bytes):
            raise BadRequest(f"FETCH: 1 to {self._limits.chunk_bytes} bytes from an offset of 0 on")
        job = self._engine.get(header["job"], client.owner)
        path, start = self._part(job, header["part"])
        try:
            with path.open("rb") as file:
                file.seek(start + offset)
                payload = file.read(nbytes)
        except FileNotFoundError as error:
            raise NotFound(f"job {job.id}: its results have been swept") from error
        told = {"job": job.id, "part": header["part"], "offset": offset}
        self.send(identity, Message("CHUNK", told, payload))

    def _part(self, job: Job, name: str) -> tuple[Path, int]:
        """The file of a part, and where in it the part begins."""
        results = self._engine.results(job)
        path = {
            "swc": results.swc,
            "mask": results.mask,
            "report": results.report,
            "doubts": results.doubts,
            "preview": results.preview,
        }.get(name)
        if path is None:
            raise NotFound(f"job {job.id}: has no {name[:40]}")
        return path, MASK_OFFSET if name == "mask" else 0

    def _transfer(self, token: str, client: _Client) -> Transfer:
        found = self._transfers.get(token, client.owner)
        if found is None:
            raise NotFound("there is no such upload, or it has been given up: SUBMIT it again")
        return found

    # What a client is told

    def _watch(self, identity: bytes, client: _Client, job: Job) -> None:
        """Tell how a job stands, and whatever happens to it from now on."""
        if job.id not in client.watched:
            news = functools.partial(self._news, identity, job.id)
            client.watched[job.id] = self._engine.subscribe(
                job.id, functools.partial(self.later, news)
            )
        self._news(identity, job.id)

    def _news(self, identity: bytes, job_id: str) -> None:
        client = self._clients.get(identity)
        if client is None or job_id not in client.watched:
            return
        try:
            job = self._engine.get(job_id, client.owner)
            message = self._told_of(job)
        except Exception as error:  # noqa: BLE001
            client.watched.pop(job_id)()
            self._refuse(identity, error, {"job": job_id})
            return
        if job.ended:
            client.watched.pop(job_id)()
            client.told.pop(job_id, None)
        elif client.told.get(job_id) == message:
            return
        else:
            client.told[job_id] = message
        self.send(identity, message)

    def _told_of(self, job: Job) -> Message:
        """A job as it stands."""
        if job.state == "cancelled":
            return Message("CANCELLED", {"job": job.id})
        if job.error_code is not None:
            raise error_for(job.error_code, job.error_text or "")
        if job.state != "done":
            told: dict[str, Any] = {"job": job.id, "state": job.state}
            if job.stage is not None:
                told |= {"stage": job.stage, "done": job.done, "total": job.total}
            return Message("PROGRESS", told)
        results = self._engine.results(job)
        parts: dict[str, dict[str, Any]] = {}
        for name in PARTS:
            if name in ("swc", "doubts") and results.swc is None:
                continue
            path, start = self._part(job, name)
            parts[name] = {"nbytes": path.stat().st_size - start}
        parts["mask"] |= {"shape": _shape(results.mask), "dtype": "uint8"}
        return Message("RESULT", {"job": job.id, "parts": parts, "reused": job.reused})

    def _refuse(self, identity: bytes, error: Exception, about: dict[str, Any]) -> Message:
        """Tell what is wrong, under an id that stands in the log too."""
        number = secrets.token_hex(8)
        own = not isinstance(error, DineuroError) or isinstance(error, FileAccess)
        code = error.code if isinstance(error, DineuroError) else "internal"
        log.log(
            logging.ERROR if own else logging.INFO,
            "problem %s: %s: %s", number, code, error,
            extra={"problem": number}, exc_info=error if own else None,
        )  # fmt: skip
        detail = _OWN if own else _detail(error)
        told = {**_short(about), "code": code, "detail": detail, "id": number}
        if isinstance(error, TryLater):
            told["retry_after"] = error.retry_after
        if isinstance(error, Cancelled) and "job" in about:
            message = Message("CANCELLED", {"job": about["job"]})
        else:
            message = Message("ERROR", told)
        self.send(identity, message)
        return message

    # Who is gone

    def release(self) -> None:
        """What is not done is forgotten."""
        self._helpers.shutdown(cancel_futures=True)
        self._transfers.close()
        for identity in list(self._clients):
            self.gone(identity)

    def gone(self, identity: bytes) -> None:
        """Its uploads stay for a while, its jobs go on: it may come again and ATTACH."""
        client = self._clients.pop(identity, None)
        if client is not None:
            for leave in client.watched.values():
                leave()

    def ticked(self) -> None:
        """Who has been silent for too long is gone."""
        now = time.monotonic()
        silent = LOST_AFTER * self._limits.heartbeat_s
        for identity, client in list(self._clients.items()):
            if now - client.heard > silent:
                self.gone(identity)
        self._transfers.sweep(self._limits.idle_s)


def _queued(request: str, job: Job) -> Message:
    return Message("QUEUED", {"request": request, "job": job.id, "reused": job.reused})


def _detail(error: Exception) -> str:
    """What may be said: a message of any length would not fit into a header."""
    return str(error)[:4000]


def _short(about: dict[str, Any]) -> dict[str, Any]:
    """The names by which a client knows what is meant; no echo of what it made up at length."""
    return {name: value[:200] for name, value in about.items() if isinstance(value, str)}


def _shape(mask: Path) -> list[int]:
    return list(read_header(mask).shape)
