"""Uploads in chunks: what was announced, what has arrived, and what may come next."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from dineuro_bridge.errors import BadRequest, LimitExceeded, TryLater
from dineuro_bridge.options import TraceOptions
from dineuro_bridge.protocol import CREDIT, Message, raw_volume
from dineuro_bridge.volumes import v3draw
from dineuro_server.engine import Engine
from dineuro_server.jobs.kinds import kind_named
from dineuro_server.jobs.records import Job, JobSpec
from dineuro_server.jobs.spool import SLOWEST_BYTES_S, Spool, check_digest

#: Uploads of one owner in progress through this door, and as many jobs whose input is here already.
OWNER_SUBMISSIONS = 64


@dataclass(slots=True, eq=False)
class Transfer:
    """One upload.

    Attributes:
        request: the client's name of the request.
        spec: the job that the upload becomes, without its input.
        spool: receives the bytes.
        nbytes, sha256: announced size and hash of the bytes on the wire.
        hash: running hash of these bytes, if the stored file differs from them: raw voxels get a
            header before them.
        client: identity of the connection that sends the chunks now.
        token: random name; its owner may continue the upload over another connection.
        received: bytes so far.
        next: number of the next chunk.
        credit: chunks that may come before the next CREDIT.
        opened: `time.monotonic` of its SUBMIT.
        last_message: `time.monotonic` of the last message about it.
        full: whether all bytes have arrived.
        outcome: the message that ended the upload, for a client that was away.
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
    opened: float = field(default_factory=time.monotonic)
    last_message: float = field(default_factory=time.monotonic)
    full: bool = False
    outcome: Message | None = None

    def accept(self) -> Message:
        """The ACCEPT that tells which chunk comes next, with full credit."""
        self.credit = CREDIT
        self.last_message = time.monotonic()
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
        """Append the next chunk.

        Raises:
            BadRequest: the chunk is out of order, empty, or without credit.
            LimitExceeded: the chunk is too large, or exceeds the announced size.
            DiskFull: the disk has no room.
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
        self.last_message = time.monotonic()
        self.full = self.received == self.nbytes

    def finish(self, engine: Engine) -> Job:
        """Store the complete upload and submit its job; blocks.

        Raises:
            DineuroError: the upload is damaged, is no volume, or the job is not accepted.
        """
        with self.spool:
            announced = self.sha256
            if self.hash is not None:
                check_digest(self.spec.parameters["name"], announced, self.hash.hexdigest())
                announced = None
            blob = self.spool.finish(announced)
            return engine.submit(replace(self.spec, input=blob.sha256))


class Transfers:
    """All uploads of the door; for the thread of the door alone."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._by_token: dict[str, Transfer] = {}

    def open(self, owner: str, client: bytes, header: Mapping[str, Any]) -> Transfer:
        """Open the upload that a SUBMIT announces, or return the one of the same request.

        Args:
            owner: owner of the job.
            client: identity of the connection.
            header: header of the SUBMIT.

        Raises:
            DineuroError: the upload is not accepted; nothing is opened.
        """
        for transfer in self._by_token.values():
            if transfer.spec.owner == owner and transfer.request == header["request"]:
                transfer.client = client
                return transfer
        count = sum(t.spec.owner == owner and t.outcome is None for t in self._by_token.values())
        if count >= OWNER_SUBMISSIONS:
            raise TryLater("too many uploads at the same time: try again when some are done", 5)
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
            try:
                spool.write(start)
            except BaseException:
                spool.close()
                raise
            # The stored file begins with a header, so that its hash is not the announced one.
            digest = hashlib.sha256() if header.get("sha256") is not None else None
        transfer = Transfer(
            header["request"], spec, spool, nbytes, header.get("sha256"), digest, client
        )
        self._by_token[transfer.token] = transfer
        return transfer

    def get(self, token: str, owner: str) -> Transfer | None:
        """The owner's upload with a token; None if there is none."""
        transfer = self._by_token.get(token)
        return transfer if transfer is not None and transfer.spec.owner == owner else None

    def drop(self, transfer: Transfer) -> None:
        """Forget an upload and remove its bytes."""
        self._by_token.pop(transfer.token, None)
        if not transfer.full:
            transfer.spool.close()

    def sweep(self, silent_s: float) -> None:
        """Forget the uploads without a message for more than `silent_s` seconds, and the slow ones.

        An upload has twice that time, and that of the slowest rate for what has arrived.
        """
        now = time.monotonic()
        for transfer in list(self._by_token.values()):
            silent = now - transfer.last_message > silent_s
            slow = now - transfer.opened > 2 * silent_s + transfer.received / SLOWEST_BYTES_S
            if (silent and transfer.outcome) or ((silent or slow) and not transfer.full):
                self.drop(transfer)

    def close(self) -> None:
        """Forget all uploads."""
        for transfer in list(self._by_token.values()):
            self.drop(transfer)

    def __len__(self) -> int:
        return len(self._by_token)


def spec_of(owner: str, header: Mapping[str, Any]) -> JobSpec:
    """The job of a SUBMIT, without its input, with checked parameters.

    Raises:
        BadParameter: the kind or a parameter is wrong.
        BadRequest: the name of the request is wrong.
    """
    kind = kind_named(header["kind"])
    request = header["request"]
    if not (0 < len(request) <= 100 and request.isprintable()):
        raise BadRequest(
            "SUBMIT: request has 1 to 100 printable characters, different for each job"
        )
    params = dict(header.get("params", {}))
    source = header.get("source")
    if source is not None and "path" in header:
        raise BadRequest("SUBMIT: names a source or a path")
    if source is None and "path" not in header:
        params = TraceOptions.from_dict(params).as_dict()
    return JobSpec(
        kind=kind.name,
        owner=owner,
        source=source,
        parameters=params,
        priority=header.get("priority", 0),
        # A SUBMIT that is sent again gets the job of the first one.
        idempotency_key=f"DNP1 {request}",
        time_limit_s=header.get("time_limit_s"),
        reuse=header.get("reuse", True),
    )
