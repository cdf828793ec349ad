"""DNP1, the protocol between a client such as Vaa3D and the lab's server: messages as frames.

A message is `[b"DNP1", TYPE, HEADER]` or `[b"DNP1", TYPE, HEADER, PAYLOAD]`. TYPE is in capital
letters, and HEADER is a JSON object in UTF-8. PAYLOAD is raw bytes; a CHUNK, an EDIT and an EDITED
have one. This module has no sockets. `docs/protocol.md` is the authority on the sequence of
messages.

    client    HELLO SUBMIT CHUNK FETCH ATTACH CANCEL EDITS EDIT PING
    server    WELCOME ACCEPT CREDIT REJECT QUEUED PROGRESS RESULT CHUNK CANCELLED EDITED ERROR PONG
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dineuro_bridge.errors import BadRequest

VERSION = 1
MAGIC = b"DNP1"
#: The most bytes of a payload, unless the server announces fewer.
CHUNK_BYTES = 2**21
#: The most chunks or fetches under way at a time.
CREDIT = 8
#: The most bytes of a header.
HEADER_BYTES = 2**16
#: The interval between PINGs of a client without other messages (seconds).
HEARTBEAT_S = 5.0
#: A peer that is silent for this number of heartbeats counts as disconnected.
LOST_AFTER = 4
#: The time for which an upload without a sign of its client is kept for ATTACH (seconds).
IDLE_S = 60.0

_WHOLE, _TEXT, _NUMBER, _FLAG, _OBJECT, _LIST = int, str, float, bool, dict, list
#: The required and the optional fields of each type. Unknown fields are ignored.
_FIELDS: dict[str, tuple[dict[str, type], dict[str, type]]] = {
    "HELLO": ({"protocol": _WHOLE}, {"client": _TEXT}),
    "WELCOME": (
        {
            "protocol": _WHOLE, "server": _TEXT, "max_bytes": _WHOLE, "chunk_bytes": _WHOLE,
            "credit": _WHOLE, "heartbeat_s": _NUMBER, "idle_s": _NUMBER, "models": _LIST,
        },
        {"devices": _LIST, "waiting": _WHOLE, "by_path": _FLAG, "edits": _FLAG},
    ),
    "SUBMIT": (
        {"request": _TEXT, "kind": _TEXT},
        {
            "nbytes": _WHOLE, "volume": _OBJECT, "sha256": _TEXT, "source": _TEXT,
            "params": _OBJECT, "priority": _WHOLE, "time_limit_s": _NUMBER, "reuse": _FLAG,
            "path": _TEXT, "fingerprint": _TEXT,
        },
    ),
    "ACCEPT": (
        {"request": _TEXT, "transfer": _TEXT, "next": _WHOLE, "credit": _WHOLE},
        {},
    ),
    "REJECT": ({"request": _TEXT, "code": _TEXT, "detail": _TEXT}, {"retry_after": _WHOLE}),
    "CHUNK": (
        {},
        {"transfer": _TEXT, "seq": _WHOLE, "job": _TEXT, "part": _TEXT, "offset": _WHOLE},
    ),
    "CREDIT": ({"transfer": _TEXT, "n": _WHOLE}, {}),
    "QUEUED": ({"request": _TEXT, "job": _TEXT, "reused": _FLAG}, {}),
    "PROGRESS": (
        {"job": _TEXT, "state": _TEXT},
        {"stage": _TEXT, "done": _WHOLE, "total": _WHOLE},
    ),
    "RESULT": ({"job": _TEXT, "parts": _OBJECT, "reused": _FLAG}, {}),
    "FETCH": ({"job": _TEXT, "part": _TEXT, "offset": _WHOLE, "nbytes": _WHOLE}, {}),
    "ATTACH": ({}, {"transfer": _TEXT, "job": _TEXT}),
    "CANCEL": ({}, {"transfer": _TEXT, "job": _TEXT}),
    "CANCELLED": ({}, {"transfer": _TEXT, "job": _TEXT}),
    "EDITS": ({"request": _TEXT, "job": _TEXT}, {"what": _TEXT, "offset": _WHOLE}),
    "EDIT": ({"request": _TEXT, "job": _TEXT, "revision": _WHOLE}, {}),
    "EDITED": (
        {"request": _TEXT, "job": _TEXT, "revision": _WHOLE, "offset": _WHOLE, "nbytes": _WHOLE},
        {},
    ),
    "ERROR": (
        {"code": _TEXT, "detail": _TEXT},
        {"id": _TEXT, "job": _TEXT, "transfer": _TEXT, "request": _TEXT, "retry_after": _WHOLE},
    ),
    "PING": ({}, {}),
    "PONG": ({}, {}),
}  # fmt: skip
TYPES = tuple(_FIELDS)
#: The types whose header names either a transfer or a job.
_ONE_OF = {"ATTACH", "CANCEL", "CANCELLED"}
#: The types with a payload.
_WITH_PAYLOAD = {"CHUNK", "EDIT", "EDITED"}


@dataclass(frozen=True, slots=True)
class Message:
    """One message.

    Attributes:
        type: one of `TYPES`.
        header: JSON values.
        payload: the bytes of a CHUNK, an EDIT or an EDITED; empty for all other types.
    """

    type: str
    header: Mapping[str, Any] = field(default_factory=dict)
    payload: bytes | memoryview = b""


def encode(message: Message) -> list[bytes | memoryview]:
    """Return the frames of a message. The payload is not copied.

    Raises:
        BadRequest: the type does not allow the header, or the header is too long.
    """
    header = json.dumps(dict(message.header), separators=(",", ":"), sort_keys=True).encode()
    frames: list[bytes | memoryview] = [MAGIC, message.type.encode(), header]
    if message.type in _WITH_PAYLOAD:
        frames.append(message.payload)
    _checked(message.type, header)
    return frames


def decode(frames: Sequence[bytes | memoryview]) -> Message:
    """Return the message of frames.

    Raises:
        BadRequest: the frames are not a message. The text states the reason.
    """
    if len(frames) < 3 or bytes(frames[0][:4]) != MAGIC or len(frames[0]) != len(MAGIC):
        raise BadRequest(
            f"no message of DNP{VERSION}: it has the frames DNP{VERSION}, type, header and, if its "
            "type has one, a payload"
        )
    kind = bytes(frames[1][:32]).decode("ascii", errors="replace")
    if kind not in _FIELDS:
        raise BadRequest(f"{kind!r}: is no type of DNP{VERSION}; those are {', '.join(TYPES)}")
    if len(frames) != (4 if kind in _WITH_PAYLOAD else 3):
        raise BadRequest(f"{kind}: has {len(frames)} frames")
    if len(frames[2]) > HEADER_BYTES:
        raise BadRequest(f"{kind}: the header has more than {HEADER_BYTES} bytes")
    header = _checked(kind, bytes(frames[2]))
    return Message(kind, header, frames[3] if kind in _WITH_PAYLOAD else b"")


def _checked(kind: str, raw: bytes) -> dict[str, Any]:
    """Return the header of a type.

    Raises:
        BadRequest: the type does not allow the header.
    """
    if len(raw) > HEADER_BYTES:
        raise BadRequest(f"{kind}: the header has more than {HEADER_BYTES} bytes")
    try:
        header = json.loads(raw, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"{kind}: the header is no JSON: {error}") from error
    if not isinstance(header, dict):
        raise BadRequest(f"{kind}: the header is no JSON object")
    if b"\\ud" in raw.lower():
        try:
            json.dumps(header, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise BadRequest(f"{kind}: half of a surrogate pair is no text") from error
    needed, possible = _FIELDS[kind]
    for name in needed:
        if name not in header:
            raise BadRequest(f"{kind}: the header lacks {name!r}")
    for name, type_ in (needed | possible).items():
        if name in header and not _is(header[name], type_):
            raise BadRequest(f"{kind}: {name!r} is no {_words(type_)}")
    if kind in _ONE_OF and ("transfer" in header) == ("job" in header):
        raise BadRequest(f"{kind}: names a transfer or a job")
    if kind == "CHUNK" and not (
        {"transfer", "seq"} <= set(header) or {"job", "part"} <= set(header)
    ):
        raise BadRequest("CHUNK: names a transfer and its seq, or a job, a part and an offset")
    return header


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no number of JSON")


def _is(value: Any, type_: type) -> bool:
    """Whether a JSON value is of a type. Whole numbers may be negative, for priorities."""
    if type_ is _WHOLE:
        return isinstance(value, int) and not isinstance(value, bool) and -(2**62) < value < 2**62
    if type_ is _NUMBER:
        return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
    return isinstance(value, type_)


def _words(type_: type) -> str:
    names = {int: "whole number", str: "text", float: "number of 0 or more", bool: "true or false"}
    return names.get(type_, "list" if type_ is list else "object")


@dataclass(frozen=True, slots=True)
class RawVolume:
    """The description of a volume that is sent as plain memory.

    Attributes:
        shape: (C, Z, Y, X), planar: x varies fastest, channels slowest; rows as Vaa3D shows them.
        dtype: "uint8", "uint16" or "float32", little-endian.
    """

    shape: tuple[int, int, int, int]
    dtype: str

    @property
    def nbytes(self) -> int:
        """The number of bytes of all samples."""
        c, z, y, x = self.shape
        return c * z * y * x * _DTYPES[self.dtype]

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON value of the field `volume` of a SUBMIT."""
        return {"format": "raw", "shape": list(self.shape), "dtype": self.dtype}


_DTYPES = {"uint8": 1, "uint16": 2, "float32": 4}


def raw_volume(description: Mapping[str, Any]) -> RawVolume | None:
    """Return the volume that a SUBMIT's field `volume` describes; None for a file.

    Raises:
        BadRequest: the format is neither, or the size is invalid.
    """
    form = description.get("format")
    if form == "file":
        return None
    if form != "raw":
        raise BadRequest("SUBMIT: the volume's format is 'raw' or 'file'")
    shape, dtype = description.get("shape"), description.get("dtype")
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise BadRequest(f"SUBMIT: the volume's dtype is one of {', '.join(_DTYPES)}")
    sizes = shape if isinstance(shape, list) else []
    if len(sizes) != 4 or not all(_is(n, int) and 0 < n < 2**31 for n in sizes):
        raise BadRequest("SUBMIT: the volume's shape is four whole numbers: C, Z, Y, X")
    c, z, y, x = sizes
    return RawVolume((c, z, y, x), dtype)
