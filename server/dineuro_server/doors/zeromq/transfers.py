"""Uploads that come in chunks: what was promised, what has come, and what may come next."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from dineuro_bridge.errors import BadFile, BadParameter, BadRequest, LimitExceeded, TryLater
from dineuro_bridge.options import TraceOptions
from dineuro_bridge.protocol import CREDIT, Message, raw_volume
from dineuro_bridge.volumes import v3draw
from dineuro_server.engine import Engine
from dineuro_server.jobs.records import KINDS, Job, JobSpec
from dineuro_server.jobs.spool import Spool

#: Uploads of one owner at a time through this door.
_OWNER_TRANSFERS = 64


@dataclass(slots=True, eq=False)
class Transfer:
    """One upload.

    Attributes:
        token: unguessable; who knows it and has the same owner may go on with it.
        spec: the job that it becomes, still without its input.
        spool: where the bytes go.
        nbytes, sha256: promised of what comes over the wire.
        hash: of that, where the file on disk is another (plain memory gets a header before it).
        client: identity of the connection that feeds it now.
        received, next, credit: bytes, the next chunk's number, chunks that may come unasked.
        heard: `time.monotonic` of its last sign.
        outcome: what it came to, for a client that was away.
    """

    request: str
    spec: JobSpec
    spool: Spool
    nbytes: int
    sha256: str | None
    hash: Any
    client: bytes
    token: str = field(default_factory=lambda: secrets.token_hex(16))
    received: int = 0
    next: int = 0
    credit: int = CREDIT
    heard: float = field(default_factory=time.monotonic)
    full: bool = False
    outcome: Message | None = None

    def accept(self) -> Message:
        """What may come from now on."""
        self.credit = CREDIT
        self.heard = time.monotonic()
        return Message(
            "ACCEPT",
            {
                "request": self.request,
                "transfer": self.token,
                "next": self.next,
                "credit": self.credit,
            },
        )

    def take(self, seq: int, payload: bytes | memoryview, chunk_bytes: int) -> None:
        """The next chunk.

        Raises:
            BadRequest: not the next one, an empty one, or one without credit.
            LimitExceeded: larger than a chunk may be, or more than was promised.
            DiskFull: no room.
        """
        name = self.spec.parameters["name"]
        if self.credit <= 0:
            raise BadRequest(f"{name}: chunk {seq} came without credit: wait for CREDIT")
        if seq != self.next or not len(payload):
            raise BadRequest(f"{name}: chunk {seq} came where {self.next} was expected, or empty")
        if len(payload) > chunk_bytes:
            raise LimitExceeded(f"{name}: a chunk has at most {chunk_bytes} bytes")
        if self.received + len(payload) > self.nbytes or self.full:
            raise LimitExceeded(f"{name}: more came than the {self.nbytes} bytes announced")
        self.spool.write(payload)
        if self.hash is not None:
            self.hash.update(payload)
        self.received += len(payload)
        self.next += 1
        self.credit -= 1
        self.heard = time.monotonic()
        self.full = self.received == self.nbytes

    def finish(self, engine: Engine) -> Job:
        """All has come: put it into the store and queue the job; blocks.

        Raises:
            DineuroError: it is damaged, no volume, or the job is not taken.
        """
        with self.spool:
            name, promised = self.spec.parameters["name"], self.sha256
            if self.hash is not None:
                found = self.hash.hexdigest()
                if promised is not None and promised.lower() != found:
                    raise BadFile(
                        f"{name}: was damaged on its way: its SHA-256 is {found[:12]}…, "
                        f"{promised[:12]}… was announced: send it again"
                    )
                promised = None
            blob = self.spool.finish(promised)
            return engine.submit(replace(self.spec, input=blob.sha256))


class Transfers:
    """All uploads of the door; for its thread alone."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._by_token: dict[str, Transfer] = {}

    def open(self, owner: str, client: bytes, header: Mapping[str, Any]) -> Transfer:
        """A place for the volume that a SUBMIT announces, or the one of the same request.

        Raises:
            DineuroError: it would not be taken; nothing was opened.
        """
        for known in self._by_token.values():
            if known.spec.owner == owner and known.request == header["request"]:
                known.client = client
                return known
        mine = sum(t.spec.owner == owner and t.outcome is None for t in self._by_token.values())
        if mine >= _OWNER_TRANSFERS:
            raise TryLater("too many uploads at a time: try again when some are done", 5)
        spec = spec_of(owner, header)
        nbytes, limit = header.get("nbytes", 0), self._engine.settings.max_bytes
        if nbytes <= 0:
            raise BadRequest("SUBMIT: nbytes says how many bytes will come, at least 1")
        if nbytes > limit:
            raise LimitExceeded(
                f"{spec.parameters['name']}: has more than {limit} bytes, the limit"
            )
        raw = raw_volume(header.get("volume", {"format": "file"}))
        if raw is not None and raw.nbytes != nbytes:
            raise BadRequest(f"SUBMIT: shape and dtype make {raw.nbytes} bytes, nbytes is {nbytes}")
        self._engine.admit(owner, nbytes)
        spool = self._engine.spool(owner, spec.parameters["name"])
        digest = None
        if raw is not None:
            start = v3draw.start_of(v3draw.MAGIC, raw.shape, np.dtype(raw.dtype), "volume")
            spool.write(start)
            # On the disk a header goes before it, so that its hash there is another.
            digest = hashlib.sha256() if header.get("sha256") is not None else None
        transfer = Transfer(
            header["request"], spec, spool, nbytes, header.get("sha256"), digest, client
        )
        self._by_token[transfer.token] = transfer
        return transfer

    def get(self, token: str, owner: str) -> Transfer | None:
        """The owner's upload of that token."""
        found = self._by_token.get(token)
        return found if found is not None and found.spec.owner == owner else None

    def drop(self, transfer: Transfer) -> None:
        """Forget it, and what came of it so far."""
        self._by_token.pop(transfer.token, None)
        if not transfer.full:
            transfer.spool.close()

    def sweep(self, silent_s: float) -> None:
        """Forget those without a sign of their client for so long."""
        now = time.monotonic()
        for transfer in list(self._by_token.values()):
            if now - transfer.heard > silent_s and (transfer.outcome or not transfer.full):
                self.drop(transfer)

    def close(self) -> None:
        """Forget all."""
        for transfer in list(self._by_token.values()):
            self.drop(transfer)

    def __len__(self) -> int:
        return len(self._by_token)


def spec_of(owner: str, header: Mapping[str, Any]) -> JobSpec:
    """The job that a SUBMIT asks for, its parameters checked; without its input.

    Raises:
        BadParameter: a kind or a parameter that is none.
    """
    if header["kind"] not in KINDS:
        raise BadParameter(f"kind {header['kind']!r}: must be one of {', '.join(KINDS)}")
    request = header["request"]
    if not (0 < len(request) <= 100 and request.isprintable()):
        raise BadRequest("SUBMIT: request is 1 to 100 printable signs, another one each time")
    params = dict(header.get("params", {}))
    source = header.get("source")
    if source is None:
        params = TraceOptions.from_dict(params).as_dict()
    return JobSpec(
        kind=header["kind"],
        owner=owner,
        source=source,
        parameters=params,
        priority=header.get("priority", 0),
        # The same volume under the same request is one job, however often it was sent.
        idempotency_key=f"DNP1 {request}",
        time_limit_s=header.get("time_limit_s"),
        reuse=header.get("reuse", True),
    )
