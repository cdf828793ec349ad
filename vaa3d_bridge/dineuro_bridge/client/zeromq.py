"""The client of the ZeroMQ door, by DNP1 (`docs/protocol.md`)."""

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

from dineuro_bridge.client.asking import TRIES, Lost, edit_over, edits_over, error_of
from dineuro_bridge.client.limits import checked_limits, positive
from dineuro_bridge.client.transport import Deadline, Job, TraceResult, Upload, result_of
from dineuro_bridge.errors import (
    DineuroError,
    FileAccess,
    Forbidden,
    NotFound,
    ServerGone,
    ServiceError,
    TimeLimit,
    TryLater,
    Unauthorized,
    error_for,
)
from dineuro_bridge.parts import PARTS
from dineuro_bridge.progress import Progress, ProgressCallback
from dineuro_bridge.protocol import CREDIT, LOST_AFTER, VERSION, Message, decode, encode

#: The longest wait for the first answer (seconds).
_WELCOME_S = 10.0
#: The time between two checks of a waiting client for a refused handshake (seconds).
_LOOK_S = 0.5


@dataclass(frozen=True, slots=True)
class CurveKeys:
    """The key files of a client.

    Attributes:
        secret: the file of the client's pair of keys (NAME.key_secret).
        server: the file of the server's public key.
    """

    secret: Path
    server: Path

    def load(self) -> tuple[bytes, bytes, bytes]:
        """Return the server's public key, and the client's public and secret keys.

        Raises:
            FileAccess: a file is missing or contains no key.
        """
        server, _ = _pair_of(self.server)
        public, secret = _pair_of(self.secret)
        if secret is None:
            raise FileAccess(f"{self.secret}: contains no secret key")
        return server, public, secret


def _pair_of(path: Path) -> tuple[bytes, bytes | None]:
    """Return the public key of a file, and its secret key if it has one."""
    if not path.is_file():
        raise FileAccess(f"{path}: no such file")
    try:
        return zmq.auth.load_certificate(path)
    except (OSError, ValueError) as error:
        raise FileAccess(f"{path}: contains no CURVE key") from error


class ZmqTransport:
    """Jobs over ZeroMQ. A transport runs one job at a time, and further calls wait.

    Args:
        address: tcp://HOST:PORT.
        keys: the key files, for a server that requires them.
        patience_s: the time for which the client repeats a request to a full server.
    """

    def __init__(self, address: str, keys: CurveKeys | None, patience_s: float) -> None:
        self._address, self._patience_s = address, patience_s
        self._keys = None if keys is None else keys.load()
        self._lock = threading.Lock()
        self._socket: zmq.Socket[bytes] | None = None
        self._limits: Mapping[str, Any] = {}
        self._last_send = 0.0

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
                raise error_of(message)

    def edits(self, job: str, what: str) -> bytes:
        """See `Transport`."""
        with self._lock:
            return edits_over(self, job, what)

    def edit(self, job: str, operation: Mapping[str, Any], revision: int) -> bytes:
        """See `Transport`."""
        with self._lock:
            return edit_over(self, job, operation, revision)

    def close(self) -> None:
        """See `Transport`."""
        if self._socket is not None:
            self._socket.close(0)
            self._socket = None

    # Methods for `_Run` and for questions

    @property
    def limits(self) -> Mapping[str, Any]:
        """The limits that the server announced."""
        return self._limits

    def connect(self, deadline: Deadline, *, anew: bool = False) -> None:
        """Connect to the server and exchange HELLO and WELCOME.

        Args:
            deadline: the time limit of the whole job.
            anew: whether to close the present connection first.

        Raises:
            ServerGone: the server does not answer.
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
                raise ServerGone(f"{self._address}: is not an address: {error}") from error
            self._socket = door
        self.say(Message("HELLO", {"protocol": VERSION, "client": "dineuro-python"}))
        wait = Deadline(deadline.left(_WELCOME_S))
        self._limits = {"heartbeat_s": _WELCOME_S}
        while True:
            try:
                message = self.hear(wait)
            except (Lost, TimeLimit) as error:
                self.close()
                why = "requires a key" if self._keys is None else "does not know the key"
                raise ServerGone(f"{self._address}: does not answer, or {why}") from error
            if message.type == "WELCOME":
                self._limits = checked_limits(message.header)
                return
            if message.type == "ERROR" and not {"job", "transfer"} & set(message.header):
                raise error_of(message)

    def say(self, message: Message) -> None:
        """Send a message. The memory of its payload must not change until the answer arrives.

        Raises:
            Lost: the server refused the handshake. A blocking send would never return then.
        """
        assert self._socket is not None  # noqa: S101 - connect comes first
        self._last_send = time.monotonic()
        copy = len(message.payload) < 2**16
        try:
            self._socket.send_multipart(encode(message), zmq.DONTWAIT, copy=copy)
        except zmq.Again as error:
            raise Lost from error

    def hear(self, deadline: Deadline) -> Message:
        """Receive the next message other than PONG, and send PING during the wait.

        Raises:
            Lost: the server was silent for too long.
            TimeLimit: no time is left.
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
            # A refused handshake leaves the socket without an outgoing pipe.
            is_refused = not int(self._socket.getsockopt(zmq.EVENTS)) & zmq.POLLOUT
            if is_refused or time.monotonic() - since > LOST_AFTER * beat:
                raise Lost
            if time.monotonic() - self._last_send > beat:
                self.say(Message("PING"))


class _Run:
    """One job, from SUBMIT to the last chunk of its result, over several connections."""

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
        """Run the job and return its result.

        Raises:
            DineuroError: the error that the server reported.
        """
        until = time.monotonic() + self._door._patience_s
        tries, anew = TRIES, False
        while True:
            try:
                self._door.connect(self._deadline, anew=anew)
                return self._once()
            except Lost as error:
                tries, anew = tries - 1, True
                if not tries:
                    raise ServerGone("the server no longer answers") from error
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
        """Continue the job on the present connection, and return its result."""
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
        """Send or resume the upload, until the job has its id."""
        upload = self._job.upload
        # An earlier server would take the SUBMIT for that of an upload.
        if self._job.path is not None and not self._door.limits.get("by_path", False):
            raise Forbidden("this server reads no files by their path: send the file")
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
        named = {"source": job.source, "path": job.path, "fingerprint": job.fingerprint}
        header |= {name: value for name, value in named.items() if value is not None}
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
                credit += positive("n", self._wait("CREDIT").header["n"], CREDIT)
            header = {"transfer": self._transfer, "seq": seq}
            self._door.say(Message("CHUNK", header, piece))
            credit -= 1
            sent = seq * size + len(piece)
            self._progress(Progress("upload", sent, upload.nbytes))

    def _fetch(self, part: str, nbytes: int) -> bytes:
        """Fetch a part with several chunks under way. Bytes of an earlier connection are kept."""
        data = self._parts.setdefault(part, bytearray())
        size, credit = int(self._door.limits["chunk_bytes"]), int(self._door.limits["credit"])
        offset = len(data)
        while len(data) < nbytes:
            while offset < nbytes and offset - len(data) < credit * size:
                header = {"job": self._id, "part": part, "offset": offset, "nbytes": size}
                self._door.say(Message("FETCH", header))
                offset += size
            chunk = self._wait("CHUNK")
            if chunk.header.get("part") == part and chunk.header["offset"] == len(data):
                if len(chunk.payload) != min(size, nbytes - len(data)):
                    raise ServiceError(f"the server sent {len(chunk.payload)} bytes of {part}")
                data += chunk.payload
                if PARTS[part].content == "volume":
                    self._progress(Progress("download", len(data), nbytes))
        return bytes(data)

    def _wait(self, *kinds: str) -> Message:
        """Wait for a message of one of these kinds, and report progress meanwhile.

        Raises:
            DineuroError: the server sent ERROR, REJECT or CANCELLED for this job.
        """
        while True:
            message = self._door.hear(self._deadline)
            header = message.header
            if message.type == "PROGRESS" and header["job"] == self._id and "stage" in header:
                self._progress(Progress(header["stage"], header["done"], header["total"]))
            if message.type == "CANCELLED" and header.get("job") == self._id:
                raise error_for("cancelled", "the job was cancelled")
            if message.type in ("ERROR", "REJECT") and self._is_ours(header):
                error = error_of(message)
                if isinstance(error, Unauthorized):
                    raise Lost
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
        """Cancel the job on the server."""
        about = {"job": self._id} if self._id is not None else {"transfer": self._transfer}
        if None not in about.values() and self._done is None:
            with contextlib.suppress(Exception):
                self._door.say(Message("CANCEL", about))
                # The message must be sent before the socket is closed.
                self._door.hear(Deadline(1.0))
