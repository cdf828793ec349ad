"""The edits of a job's tree over the ZeroMQ door: accepted, refused, and in bounded pieces."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest

from dineuro_bridge import protocol
from dineuro_bridge.protocol import Message
from dineuro_server.doors.zeromq.door import Door
from dineuro_server.engine import Engine
from dineuro_server.jobs.records import JobSpec
from tests.support.peer import FAST, LIMITS, Peer, other

_REQUESTS = itertools.count()


@pytest.fixture
def job(peer: Peer) -> str:
    """A job of its own for each test."""
    name: str = peer.result(other()).header["job"]
    return name


def asked(peer: Peer, kind: str, job: str, body: bytes = b"", **more: Any) -> Message:
    request = f"q{next(_REQUESTS)}"
    peer.say(kind, body, request=request, job=job, **more)
    message = peer.hear("EDITED", "ERROR")
    assert message.header["request"] == request
    return message


def edit(peer: Peer, job: str, revision: int, **operation: Any) -> Message:
    return asked(peer, "EDIT", job, json.dumps(operation).encode(), revision=revision)


def whole(peer: Peer, job: str, what: str = "edits") -> bytes:
    """All pieces of a form, none of which is larger than the door's other payloads."""
    data, nbytes = b"", 1
    while len(data) < nbytes:
        piece = asked(peer, "EDITS", job, what=what, offset=len(data))
        assert piece.type == "EDITED", piece
        assert 0 < len(piece.payload) <= LIMITS.chunk_bytes
        nbytes = piece.header["nbytes"]
        data += bytes(piece.payload)
    return data


def test_an_edit_is_kept_and_a_second_editor_is_told(peer: Peer, job: str, door: Door) -> None:
    assert peer.welcome["edits"] is True
    assert json.loads(whole(peer, job)) == {
        "revision": 0, "can_undo": False, "can_redo": False, "operations": [], "doubts": {},
        "moot": [],
    }  # fmt: skip
    answer = edit(peer, job, 0, op="cut", node=3)
    assert (answer.type, answer.header["revision"]) == ("EDITED", 1)
    record = json.loads(bytes(answer.payload))
    assert record["operations"][0] == record["operations"][0] | {
        "op": "cut", "node": 3, "revision": 1, "author": "local", "in_force": True,
    }  # fmt: skip
    second = Peer(door.address)
    error = edit(second, job, 0, op="cut", node=4).header
    assert (error["code"], error["job"]) == ("outdated", job)
    assert "revision 1" in error["detail"]
    assert json.loads(whole(second, job)) == record
    second.close()


def test_a_tree_is_replaced_and_the_replacement_taken_back(peer: Peer, job: str) -> None:
    before = whole(peer, job, "tree")
    tree = "1 1 20 12 8 3 -1\n2 3 25 12 8 1 1\n"
    record = json.loads(bytes(edit(peer, job, 0, op="replace", tree=tree).payload))
    assert (record["operations"][0]["nodes"], "tree" in record["operations"][0]) == (2, False)
    assert json.loads(whole(peer, job, "paths"))["operations"][0]["tree"] == tree
    rows = [line for line in whole(peer, job, "swc").decode().splitlines() if line[0] != "#"]
    assert [row.split()[2:5] for row in rows] == [["20", "12", "8"], ["25", "12", "8"]]
    wrong = edit(peer, job, 1, op="replace", tree="1 1 20 12 8 3 -1\n2 3 x 12 8 1 1").header
    assert wrong["code"] == "bad_edit"
    assert "line 2" in wrong["detail"]
    assert edit(peer, job, 1, op="undo").header["revision"] == 2

    def nodes(text: bytes) -> list[bytes]:
        return [line for line in text.splitlines() if not line.startswith(b"#")]

    assert nodes(whole(peer, job, "tree")) == nodes(before)


@pytest.mark.parametrize(
    ("body", "more", "code", "text"),
    [
        (b"{", {"revision": 0}, "bad_request", "must be JSON"),
        (b"", {"revision": 0}, "bad_request", "must be JSON"),
        (b"\xff", {"revision": 0}, "bad_request", "must be JSON"),
        (b"[" * 1000, {"revision": 0}, "bad_request", "must be JSON"),
        (b'{"op": "undo"}', {"revision": -1}, "bad_request", "0 or more"),
        (b'{"op": "undo"}', {"revision": 0}, "bad_edit", "no edit is left"),
        (b'{"op": "paint"}', {"revision": 0}, "bad_edit", "paint"),
        (b"[1]", {"revision": 0}, "bad_edit", ""),
        (b'{"op": "cut", "node": 99999}', {"revision": 0}, "bad_edit", "no such node"),
        (b" " * 1025, {"revision": 0}, "too_large", "1024 bytes"),
    ],
)
def test_a_wrong_edit_changes_nothing(
    peer: Peer, ended: str, body: bytes, more: dict[str, Any], code: str, text: str
) -> None:
    error = asked(peer, "EDIT", ended, body, **more).header
    assert (error["code"], text in error["detail"]) == (code, True), error
    assert json.loads(whole(peer, ended))["revision"] == 0


@pytest.fixture(scope="module")
def ended(door: Door) -> str:
    """One job for all refusals."""
    peer = Peer(door.address)
    name: str = peer.result(other()).header["job"]
    peer.close()
    return name


@pytest.mark.parametrize(
    ("frames", "text"),
    [
        ([b"DNP1", b"EDIT", b'{"job":"a","request":"q","revision":0}'], "has 3 frames"),
        ([b"DNP1", b"EDIT", b'{"job":"a","request":"q"}', b"{}"], "lacks 'revision'"),
        ([b"DNP1", b"EDIT", b'{"job":"a","request":"q","revision":"0"}', b"{}"], "whole number"),
        ([b"DNP1", b"EDITS", b'{"job":"a"}'], "lacks 'request'"),
        ([b"DNP1", b"EDITS", b'{"job":"a","request":"q"}', b"{}"], "has 4 frames"),
        ([b"DNP1", b"EDITS", b'{"job":"a","request":"q","what":"all"}'], "what is one of"),
        ([b"DNP1", b"EDITS", b'{"job":"a","request":"q","offset":-1}'], "0 or more"),
    ],
)
def test_what_is_no_message_is_refused(peer: Peer, frames: list[bytes], text: str) -> None:
    peer.frames(*frames)
    error = peer.hear("ERROR").header
    assert (error["code"], text in error["detail"]) == ("bad_request", True), error
    peer.say("PING")
    peer.hear("PONG")


def test_an_offset_beyond_the_end_is_refused(peer: Peer, ended: str) -> None:
    assert asked(peer, "EDITS", ended, offset=10**6).header["code"] == "bad_request"


def test_another_s_tree_is_neither_shown_nor_edited(peer: Peer, engine: Engine) -> None:
    with engine.spool("anna") as spool:
        spool.write(b"raw_image_stack_by_hpengL\x01\x00")
        spool.write(np.array([48, 24, 16, 1], "<i4").tobytes() + other())
        job = engine.submit(JobSpec("trace", "anna", spool.finish().sha256, parameters=FAST))
    for name in (job.id, "0" * 32, "../x"):
        assert asked(peer, "EDITS", name).header["code"] == "not_found"
        assert edit(peer, name, 0, op="undo").header["code"] == "not_found"


def test_a_job_without_a_tree_has_no_edits(peer: Peer) -> None:
    job = peer.result(other(), kind="enhance").header["job"]
    assert asked(peer, "EDITS", job).header["code"] == "not_found"


def test_a_peer_that_asks_too_much_at_once_is_told_to_wait(
    peer: Peer, ended: str, monkeypatch: pytest.MonkeyPatch, engine: Engine
) -> None:
    """No thread takes the calls, so that all of them are under way."""
    calls = list[Any]()
    monkeypatch.setattr(engine.checks, "submit", lambda _owner, call: calls.append(call))
    for number in range(protocol.CREDIT + 1):
        peer.say("EDITS", request=f"many {number}", job=ended)
    error = peer.hear("ERROR").header
    assert (error["request"], error["code"]) == (f"many {protocol.CREDIT}", "try_later")
    assert (error["retry_after"], len(calls)) == (1, protocol.CREDIT)
    monkeypatch.undo()
    for call in calls:
        call()
    for number in range(protocol.CREDIT):
        assert peer.hear("EDITED").header["request"] == f"many {number}"
    assert asked(peer, "EDITS", ended).type == "EDITED"
