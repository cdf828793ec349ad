"""One question to a ZeroMQ server and its answer; the edits of a tree in pieces."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import Any, Protocol

from dineuro_bridge.client.limits import positive
from dineuro_bridge.client.transport import Deadline
from dineuro_bridge.errors import (
    DineuroError,
    Forbidden,
    LimitExceeded,
    ServerGone,
    ServiceError,
    Unauthorized,
    error_for,
)
from dineuro_bridge.protocol import Message

#: The number of attempts to connect before the client gives up.
TRIES = 5
#: The time for all pieces of an answer (seconds), and the most bytes of them.
_ANSWER_S, _MOST_BYTES = 60.0, 2**27


class Lost(Exception):
    """The server was silent for too long, or no longer knows this connection."""


class Connection(Protocol):
    """A connection to a server; see `ZmqTransport`."""

    @property
    def limits(self) -> Mapping[str, Any]:
        """The limits that the server announced."""
        ...

    def connect(self, deadline: Deadline, *, anew: bool = False) -> None:
        """Connect and exchange HELLO and WELCOME."""
        ...

    def say(self, message: Message) -> None:
        """Send a message."""
        ...

    def hear(self, deadline: Deadline) -> Message:
        """Receive the next message."""
        ...


def error_of(message: Message) -> DineuroError:
    """The error that an ERROR or a REJECT reports."""
    header = message.header
    own = header["code"] == "internal" and "id" in header
    detail = f"{header['detail']} [{header['id']}]" if own else header["detail"]
    return error_for(header["code"], detail, header.get("retry_after"))


def edits_over(door: Connection, job: str, what: str) -> bytes:
    """The edits of a job's tree, or the edited tree.

    Args:
        door: the connection.
        job: the job's id.
        what: "edits", "paths", "tree" or "swc"; see docs/protocol.md.

    Raises:
        DineuroError: the error that the server reported.
        ServerGone: the server does not answer.
    """
    deadline = Deadline(_ANSWER_S)
    return _whole(door, Message("EDITS", {"job": job, "what": what}), deadline)


def edit_over(door: Connection, job: str, operation: Mapping[str, Any], revision: int) -> bytes:
    """Edit a job's tree, and return the record of its edits. Errors as `edits_over`.

    Raises:
        LimitExceeded: the operation is longer than the server's largest payload.
    """
    body = json.dumps(dict(operation)).encode()
    header = {"job": job, "revision": int(revision)}
    return _whole(door, Message("EDIT", header, body), Deadline(_ANSWER_S))


def _whole(door: Connection, first: Message, deadline: Deadline) -> bytes:
    """All pieces of an answer. After another person's edit they are asked for anew."""
    rest = {"job": first.header["job"], "what": first.header.get("what", "edits")}
    answer = _answer(door, first, deadline)
    while True:
        header, data = answer.header, bytearray(answer.payload)
        nbytes = positive("nbytes", header["nbytes"], _MOST_BYTES)
        while len(data) < nbytes:
            answer = _answer(door, Message("EDITS", {**rest, "offset": len(data)}), deadline)
            if any(answer.header[name] != header[name] for name in ("revision", "nbytes")):
                break
            if answer.header["offset"] != len(data) or not len(answer.payload):
                raise ServiceError("the server sent another piece than the next one")
            data += answer.payload
        if len(data) > nbytes:
            raise ServiceError(f"the server sent more than {nbytes} bytes")
        if len(data) == nbytes:
            return bytes(data)
        answer = _answer(door, Message("EDITS", rest), deadline)


def _answer(door: Connection, question: Message, deadline: Deadline) -> Message:
    """The EDITED to a question, which is repeated over a new connection if the old one is lost."""
    request = secrets.token_hex(8)
    header, body = {**question.header, "request": request}, question.payload
    for number in range(TRIES):
        try:
            door.connect(deadline, anew=number > 0)
            if not door.limits.get("edits", False):
                raise Forbidden("this server edits trees over HTTP alone: use that address")
            if len(body) > door.limits["chunk_bytes"]:
                most = door.limits["chunk_bytes"]
                raise LimitExceeded(f"an edit has at most {most} bytes here: edit over HTTP")
            door.say(Message(question.type, header, body))
            return _heard(door, request, deadline)
        except Lost:
            continue
    raise ServerGone("the server no longer answers")


def _heard(door: Connection, request: str, deadline: Deadline) -> Message:
    while True:
        message = door.hear(deadline)
        if message.header.get("request", request) != request:
            continue
        if message.type == "EDITED":
            return message
        if message.type == "ERROR" and ("request" in message.header or "job" not in message.header):
            error = error_of(message)
            raise Lost if isinstance(error, Unauthorized) else error
