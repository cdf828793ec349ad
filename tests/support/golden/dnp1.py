"""Messages of DNP1 byte by byte, for clients in any language.

    python -m tests.support.golden.dnp1        writes dnp1.json anew, after the protocol has changed

`dnp1.json` has three lists. `good`: name, type, header (JSON), payload and frames (hexadecimal): a
message of that type with that header has exactly those frames, and is read from them. `bad`: name,
frames, says: who gets these answers with an ERROR of the code bad_request, whose detail has that
text in it. A third list, `edits`, is like `good`: its messages edit trees, and a client that edits
none need not know them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dineuro_bridge.protocol import Message, encode

PLACE = Path(__file__).with_name("dnp1.json")
_JOB, _TRANSFER = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"

GOOD: dict[str, Message] = {
    "hello": Message("HELLO", {"protocol": 1, "client": "vaa3d 4.001"}),
    "welcome": Message(
        "WELCOME",
        {
            "protocol": 1, "server": "0.1.0", "max_bytes": 17179869184, "chunk_bytes": 2097152,
            "credit": 8, "heartbeat_s": 5.0, "idle_s": 60.0, "models": ["dineuro-s1"],
            "devices": ["cpu"], "waiting": 2,
        },
    ),
    "welcome of a server that reads files by path": Message(
        "WELCOME",
        {
            "protocol": 1, "server": "0.2.0", "max_bytes": 17179869184, "chunk_bytes": 2097152,
            "credit": 8, "heartbeat_s": 5.0, "idle_s": 60.0, "models": [], "by_path": True,
        },
    ),
    "submit plain memory": Message(
        "SUBMIT",
        {
            "request": "a1", "kind": "trace", "nbytes": 6,
            "volume": {"format": "raw", "shape": [1, 1, 2, 3], "dtype": "uint8"},
            "sha256": "17e88db187afd62c16e5debf3e6527cd006bc012bc90b51a810cd80c2d511f43",
            "params": {"name": "cell", "root": [1, 1, 0], "spacing": [0.2, 0.2, 1]},
        },
    ),
    "submit a file": Message(
        "SUBMIT",
        {
            "request": "a2", "kind": "enhance", "nbytes": 1234, "volume": {"format": "file"},
            "params": {"name": "é.tif"}, "priority": -1, "time_limit_s": 60, "reuse": False,
        },
    ),
    "submit a retrace": Message(
        "SUBMIT",
        {"request": "a3", "kind": "retrace", "source": _JOB, "params": {"threshold": 90}},
    ),
    "submit a path": Message(
        "SUBMIT",
        {
            "request": "a4", "kind": "trace", "path": "/data/é.tif", "params": {"threshold": 90},
            "fingerprint": "17e88db187afd62c16e5debf3e6527cd006bc012bc90b51a810cd80c2d511f43",
        },
    ),
    "accept": Message(
        "ACCEPT", {"request": "a1", "transfer": _TRANSFER, "next": 0, "credit": 8}
    ),
    "reject": Message(
        "REJECT",
        {"request": "a1", "code": "queue_full", "detail": "the queue is full", "retry_after": 30},
    ),
    "chunk of an upload": Message(
        "CHUNK", {"transfer": _TRANSFER, "seq": 0}, bytes([1, 2, 3, 4, 5, 6])
    ),
    "credit": Message("CREDIT", {"transfer": _TRANSFER, "n": 4}),
    "queued": Message("QUEUED", {"request": "a1", "job": _JOB, "reused": False}),
    "waits": Message("PROGRESS", {"job": _JOB, "state": "queued"}),
    "progress": Message(
        "PROGRESS", {"job": _JOB, "state": "running", "stage": "trace", "done": 3, "total": 9}
    ),
    "result": Message(
        "RESULT",
        {
            "job": _JOB, "reused": False,
            "parts": {
                "swc": {"nbytes": 400}, "report": {"nbytes": 900}, "doubts": {"nbytes": 80},
                "preview": {"nbytes": 5000},
                "mask": {"nbytes": 6, "shape": [1, 1, 2, 3], "dtype": "uint8"},
            },
        },
    ),
    "fetch": Message("FETCH", {"job": _JOB, "part": "mask", "offset": 0, "nbytes": 6}),
    "chunk of a result": Message(
        "CHUNK", {"job": _JOB, "part": "mask", "offset": 0}, bytes([0, 255, 0, 255, 0, 0])
    ),
    "attach to an upload": Message("ATTACH", {"transfer": _TRANSFER}),
    "attach to a job": Message("ATTACH", {"job": _JOB}),
    "cancel": Message("CANCEL", {"job": _JOB}),
    "cancelled": Message("CANCELLED", {"job": _JOB}),
    "error": Message(
        "ERROR",
        {"code": "bad_file", "detail": "cell: is empty", "id": "00ff00ff00ff00ff", "job": _JOB},
    ),
    "ping": Message("PING"),
    "pong": Message("PONG"),
}  # fmt: skip

EDITS: dict[str, Message] = {
    "welcome of a server that edits trees": Message(
        "WELCOME",
        {
            "protocol": 1, "server": "0.2.0", "max_bytes": 17179869184, "chunk_bytes": 2097152,
            "credit": 8, "heartbeat_s": 5.0, "idle_s": 60.0, "models": [], "by_path": False,
            "edits": True,
        },
    ),
    "ask for the edits": Message("EDITS", {"request": "e1", "job": _JOB}),
    "ask for more of the edited tree": Message(
        "EDITS", {"request": "e2", "job": _JOB, "what": "tree", "offset": 2097152}
    ),
    "edit": Message(
        "EDIT", {"request": "e3", "job": _JOB, "revision": 7}, b'{"op":"cut","node":17}'
    ),
    "edited": Message(
        "EDITED",
        {"request": "e3", "job": _JOB, "revision": 8, "offset": 0, "nbytes": 14},
        b'{"revision":8}',
    ),
    "another has edited the tree": Message(
        "ERROR",
        {
            "code": "outdated", "detail": "the tree has revision 8", "id": "00ff00ff00ff00ff",
            "job": _JOB, "request": "e3",
        },
    ),
}  # fmt: skip

BAD: dict[str, tuple[list[bytes], str]] = {
    "another protocol": ([b"DNP2", b"PING", b"{}"], "no message"),
    "too few frames": ([b"DNP1", b"PING"], "no message"),
    "an unknown type": ([b"DNP1", b"SING", b"{}"], "is no type"),
    "a payload where none belongs": ([b"DNP1", b"PING", b"{}", b""], "has 4 frames"),
    "a chunk without payload": ([b"DNP1", b"CHUNK", b'{"seq":0,"transfer":"a"}'], "has 3 frames"),
    "no JSON": ([b"DNP1", b"PING", b"{'a':1}"], "no JSON"),
    "no JSON number": ([b"DNP1", b"PING", b'{"a":NaN}'], "no JSON"),
    "no object": ([b"DNP1", b"PING", b"[1]"], "no JSON object"),
    "a field is missing": ([b"DNP1", b"HELLO", b"{}"], "lacks 'protocol'"),
    "a field of another type": ([b"DNP1", b"HELLO", b'{"protocol":"1"}'], "whole number"),
    "true is no number": ([b"DNP1", b"HELLO", b'{"protocol":true}'], "whole number"),
    "neither of two": ([b"DNP1", b"CANCEL", b"{}"], "a transfer or a job"),
    "both of two": ([b"DNP1", b"CANCEL", b'{"job":"a","transfer":"b"}'], "a transfer or a job"),
    "a header beyond all measure": ([b"DNP1", b"PING", b"{" + b" " * 65536 + b"}"], "more than"),
}


def document() -> dict[str, Any]:
    """All of it as JSON values."""
    return {
        "good": _entries(GOOD),
        "bad": [
            {"name": name, "frames": [frame.hex() for frame in frames], "says": says}
            for name, (frames, says) in BAD.items()
            if sum(map(len, frames)) < 1000
        ],
        "edits": _entries(EDITS),
    }


def _entries(messages: dict[str, Message]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "type": message.type,
            "header": dict(message.header),
            "payload": bytes(message.payload).hex(),
            "frames": [bytes(frame).hex() for frame in encode(message)],
        }
        for name, message in messages.items()
    ]


if __name__ == "__main__":
    PLACE.write_text(json.dumps(document(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
