"""The ZeroMQ door from outside: DNP1 as `docs/protocol.md` has it."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zmq
import zmq.auth

from dineuro_bridge.client.transport import Deadline, Job, TraceResult, Upload, result_of
from dineuro_bridge.errors import (
    DineuroError,
    FileAccess,
    NotFound,
    ServerGone,
    TimeLimit,
    TryLater,
    Unauthorized,
    error_for,
)
from dineuro_bridge.parts import PARTS
from dineuro_bridge.progress import Progress, ProgressCallback
from dineuro_bridge.protocol import LOST_AFTER, VERSION, Message, decode, encode

#: How long the first answer may take (seconds).
_WELCOME_S = 10.0
#: Connections that are made anew before the server is given up.
_TRIES = 5
#: How often a waiting client looks whether the server has shut the door (seconds).
_LOOK_S = 0.5


class _Lost(Exception):
    """Nothing has been heard for too long, or the server knows this connection no more."""


@dataclass(frozen=True, slots=True)
class CurveKeys:
    """What a client needs to come in from elsewhere.

    Attributes:
        secret: file of its own pair (NAME.key_secret).
        server: file of the server's public key.
    """

    secret: Path
    server: Path

    def load(self) -> tuple[bytes, bytes, bytes]:
        """The server's public key, one's own public and secret key.

        Raises:
            FileAccess: a file that is missing or holds no key.
        """
        server, _ = _pair_of(self.server)
        public, secret = _pair_of(self.secret)
        if secret is None:
            raise FileAccess(f"{self.secret}: holds no secret key")
        return server, public, secret


def _pair_of(path: Path) -> tuple[bytes, bytes | None]:
    """A key file's public and, where it has one, secret key."""
    if not path.is_file():
        raise FileAccess(f"{path}: no such file")
    try:
        return zmq.auth.load_certificate(path)
    except (OSError, ValueError) as error:
        raise FileAccess(f"{path}: holds no CURVE key") from error


class ZmqTransport:
    """Jobs over ZeroMQ; one at a time, the others wait for their turn.

    Args:
        address: tcp://HOST:PORT.
        keys: for a server that asks for them.
        patience_s: how long a full server is asked again.
    """

    def __init__(self, address: str, keys: CurveKeys | None, patience_s: float) -> None:
        self._address, self._patience_s = address, patience_s
        self._keys = None if keys is None else keys.load()
        self._lock = threading.Lock()
        self._socket: zmq.Socket[bytes] | None = None
        self._limits: Mapping[str, Any] = {}
        self._heard = self._said = 0.0

    def run(self, job: Job, progress: ProgressCallback, deadline: Deadline) -> TraceResult:
        """See `Transport`."""
        with self._lock:
            return _Run(self, job, progress, deadline).result()

    def models(self) -> list[str]:
        """See `Transport`."""
        with self._lock:
            self.connect(Deadline(_WELCOME_S))
            return list(self._limits["models"])

    def cancel(self, job: str) -> None:
        """See `Transport`."""
        with self._lock:
            deadline = Deadline(_WELCOME_S)
            self.connect(deadline)
            self.say(Message("CANCEL", {"job": job}))
            while (message := self.hear(deadline)).header.get("job") != job:
                pass
            if message.type == "ERROR":
                raise _error(message)

    def close(self) -> None:
        """See `Transport`."""
        if self._socket is not None:
            self._socket.close(0)
            self._socket = None

    # For a run

    @property
    def limits(self) -> Mapping[str, Any]:
        """What the server announced."""
        return self._limits

    def connect(self, deadline: Deadline, *, anew: bool = False) -> None:
        """Be known to the server.

        Raises:
            ServerGone: it does not answer.
        """
        if anew:
            self.close()
        if self._socket is None:
            door: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
            door.setsockopt(zmq.LINGER, 0)
            if self._keys is not None:
                door.curve_serverkey, door.curve_publickey, door.curve_secretkey = self._keys
            try:
                door.connect(self._address)
            except zmq.ZMQError as error:
                door.close(0)
                raise ServerGone(f"{self._address}: is no address: {error}") from error
            self._socket = door
        self.say(Message("HELLO", {"protocol": VERSION, "client": "dineuro-python"}))
        wait = Deadline(deadline.left(_WELCOME_S))
        self._limits = {"heartbeat_s": _WELCOME_S}
        while True:
            try:
                message = self.hear(wait)
            except (_Lost, TimeLimit) as error:
                self.close()
                why = "asks for a key" if self._keys is None else "does not know the key"
                raise ServerGone(f"{self._address}: does not answer, or {why}") from error
            if message.type == "WELCOME":
                self._limits = message.header
                return
            if message.type == "ERROR" and not {"job", "transfer"} & set(message.header):
                raise _error(message)

    def say(self, message: Message) -> None:
        """Send; memory of a payload must stay as it is until the answer.

        Raises:
            _Lost: the server has shut the door: a blocking send would then wait for ever.
        """
        assert self._socket is not None  # noqa: S101 - connect comes first
        self._said = time.monotonic()
        copy = len(message.payload) < 2**16
        try:
            self._socket.send_multipart(encode(message), zmq.DONTWAIT, copy=copy)
        except zmq.Again as error:
            raise _Lost from error

    def hear(self, deadline: Deadline) -> Message:
        """The next message but for PONG; says PING while it waits.

        Raises:
            _Lost: nothing came for as long as makes a server gone.
            TimeLimit: the time allowed is over.
        """
        assert self._socket is not None  # noqa: S101 - connect comes first
        beat = float(self._limits["heartbeat_s"])
        since = time.monotonic()
        while True:
            wait = deadline.left(min(beat / 2, _LOOK_S))
            if self._socket.poll(math.ceil(1000 * wait)):
                message = decode(self._socket.recv_multipart())
                if message.type != "PONG":
                    return message
                since = time.monotonic()
            # A handshake that was refused leaves the socket without a way out.
            shut = not int(self._socket.getsockopt(zmq.EVENTS)) & zmq.POLLOUT
            if shut or time.monotonic() - since > LOST_AFTER * beat:
                raise _Lost
            if time.monotonic() - self._said > beat:
                self.say(Message("PING"))


class _Run:
    """One job from its SUBMIT to its last piece, over as many connections as it takes."""

    def __init__(
        self, door: ZmqTransport, job: Job, progress: ProgressCallback, deadline: Deadline
    ) -> None:
        self._door, self._job = door, job
        self._progress, self._deadline = progress, deadline
        self._transfer: str | None = None
        self._id: str | None = None
        self._done: Message | None = None
        self._parts: dict[str, bytearray] = {}

    def result(self) -> TraceResult:
        """The result.

        Raises:
            DineuroError: what the server said.
        """
        until = time.monotonic() + self._door._patience_s
        tries, anew = _TRIES, False
        while True:
            try:
                self._door.connect(self._deadline, anew=anew)
                return self._once()
            except _Lost as error:
                tries, anew = tries - 1, True
                if not tries:
                    raise ServerGone("the server does not answer any more") from error
            except TryLater as error:
                if time.monotonic() + error.retry_after > until:
                    raise
                self._progress(Progress("wait", 0, 0))
                time.sleep(self._deadline.left(error.retry_after))
                self._transfer, anew = None, False
            except ServerGone:
                raise
            except (DineuroError, KeyboardInterrupt, Exception):
                self._stop()
                raise

    def _once(self) -> TraceResult:
        """As far as this connection goes."""
        if self._id is None:
            self._send_all()
        if self._done is None:
            self._door.say(Message("ATTACH", {"job": self._id}))
            self._done = self._wait("RESULT")
        parts = self._done.header["parts"]
        return result_of(
            str(self._id),
            parts,
            lambda name: self._fetch(name, parts[name]["nbytes"]),
            {name: tuple(part["shape"]) for name, part in parts.items() if "shape" in part},
            self._done.header["reused"],
        )

    def _send_all(self) -> None:
        """SUBMIT, or go on with it, and the chunks, until the job has its id."""
        upload = self._job.upload
        if self._transfer is not None:
            self._door.say(Message("ATTACH", {"transfer": self._transfer}))
        else:
            self._door.say(self._submit())
        try:
            answer = self._wait("ACCEPT", "QUEUED")
        except NotFound:
            if self._transfer is None:
                raise
            self._transfer = None
            self._door.say(self._submit())
            answer = self._wait("ACCEPT", "QUEUED")
        if answer.type == "ACCEPT" and upload is not None:
            self._transfer = answer.header["transfer"]
            self._chunks(upload, answer.header["next"], answer.header["credit"])
            answer = self._wait("QUEUED")
        self._id = answer.header["job"]

    def _submit(self) -> Message:
        job, header = self._job, dict[str, Any]()
        params = {name: value for name, value in job.params.items() if value is not None}
        header = {"request": job.request, "kind": job.kind, "params": params, "reuse": job.reuse}
        if job.source is not None:
            header["source"] = job.source
        if job.upload is not None:
            header["nbytes"] = job.upload.nbytes
            header["volume"] = {"format": "file"}
            if job.upload.voxels is not None:
                voxels = job.upload.voxels
                header["volume"] = {
                    "format": "raw",
                    "shape": list(voxels.shape),
                    "dtype": voxels.dtype.name,
                }
        return Message("SUBMIT", header)

    def _chunks(self, upload: Upload, start: int, credit: int) -> None:
        size = int(self._door.limits["chunk_bytes"])
        for seq, piece in enumerate(upload.pieces(size, start * size), start):
            while not credit:
                credit += self._wait("CREDIT").header["n"]
            header = {"transfer": self._transfer, "seq": seq}
            self._door.say(Message("CHUNK", header, piece))
            credit -= 1
            sent = seq * size + len(piece)
            self._progress(Progress("upload", sent, upload.nbytes))

    def _fetch(self, part: str, nbytes: int) -> bytes:
        """A part, a few pieces under way at a time; what an earlier connection brought is kept."""
        got = self._parts.setdefault(part, bytearray())
        size, credit = int(self._door.limits["chunk_bytes"]), int(self._door.limits["credit"])
        asked = len(got)
        while len(got) < nbytes:
            while asked < nbytes and asked - len(got) < credit * size:
                header = {"job": self._id, "part": part, "offset": asked, "nbytes": size}
                self._door.say(Message("FETCH", header))
                asked += size
            chunk = self._wait("CHUNK")
            if chunk.header.get("part") == part and chunk.header["offset"] == len(got):
                got += chunk.payload
                if PARTS[part].content == "volume":
                    self._progress(Progress("download", len(got), nbytes))
        return bytes(got)

    def _wait(self, *kinds: str) -> Message:
        """The next message of one of these kinds; progress is told on the way.

        Raises:
            DineuroError: an ERROR, a REJECT or a CANCELLED that is ours.
        """
        while True:
            message = self._door.hear(self._deadline)
            header = message.header
            if message.type == "PROGRESS" and header["job"] == self._id and "stage" in header:
                self._progress(Progress(header["stage"], header["done"], header["total"]))
            if message.type == "CANCELLED" and header.get("job") == self._id:
                raise error_for("cancelled", "the job was cancelled")
            if message.type in ("ERROR", "REJECT") and self._is_ours(header):
                error = _error(message)
                if isinstance(error, Unauthorized):
                    raise _Lost
                raise error
            if message.type in kinds and self._is_ours(header):
                return message

    def _is_ours(self, header: Mapping[str, Any]) -> bool:
        named = {
            "request": self._job.request, "transfer": self._transfer, "job": self._id,
        }  # fmt: skip
        return all(
            header[name] == ours
            for name, ours in named.items()
            if name in header and ours is not None
        )

    def _stop(self) -> None:
        """The server is told that nobody waits any more."""
        about = {"job": self._id} if self._id is not None else {"transfer": self._transfer}
        if None not in about.values() and self._done is None:
            with contextlib.suppress(Exception):
                self._door.say(Message("CANCEL", about))
                # What has been said must leave before the socket is closed.
                self._door.hear(Deadline(1.0))


def _error(message: Message) -> DineuroError:
    header = message.header
    own = header["code"] == "internal" and "id" in header
    detail = f"{header['detail']} [{header['id']}]" if own else header["detail"]
    return error_for(header["code"], detail, header.get("retry_after"))
