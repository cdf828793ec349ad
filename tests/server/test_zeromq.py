"""The ZeroMQ door over real sockets, on the real engine with its worker process."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq
import zmq.auth

from dineuro_bridge import protocol
from dineuro_bridge.client.zeromq import CurveKeys
from dineuro_bridge.errors import (
    BadParameter,
    BadRequest,
    DiskFull,
    FileAccess,
    TryLater,
    Unauthorized,
)
from dineuro_bridge.protocol import Message
from dineuro_bridge.trees.swc import read_swc
from dineuro_bridge.volumes.formats import write_volume
from dineuro_bridge.volumes.v3draw import HEADER_BYTES as V3DRAW_HEADER_BYTES
from dineuro_bridge.volumes.volume import Volume
from dineuro_server.access.addresses import check_doors
from dineuro_server.access.curve import exposures, make_client_keys, revoke_client
from dineuro_server.access.tokens import LOCAL
from dineuro_server.doors.zeromq.door import Door
from dineuro_server.doors.zeromq.fetches import Fetches, Piece
from dineuro_server.doors.zeromq.peers import Peers, Sender
from dineuro_server.engine import Engine
from dineuro_server.jobs.records import JobSpec
from dineuro_server.jobs.spool import Spool
from dineuro_server.settings import Settings
from tests.support.peer import FAST, LIMITS, RAW, SHAPE, VOXELS, Peer, other


def spooled(engine: Engine) -> int:
    return len(list((engine.store.folder / "spool").iterdir()))


def spooled_bytes(engine: Engine) -> int:
    return sum(path.stat().st_size for path in (engine.store.folder / "spool").iterdir())


def until(happened: Any, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_the_limits_are_announced(peer: Peer) -> None:
    assert peer.welcome["protocol"] == 1
    assert peer.welcome["chunk_bytes"] == 1024
    assert peer.welcome["credit"] == protocol.CREDIT
    assert peer.welcome["max_bytes"] == int(0.001 * 2**30)
    assert "dineuro-s1" in peer.welcome["models"]


def test_plain_memory_goes_in_and_tree_mask_report_and_doubts_come_out(
    peer: Peer, engine: Engine
) -> None:
    result = peer.result(VOXELS.tobytes(), sha256=hashlib.sha256(VOXELS.tobytes()).hexdigest())
    job, parts = result.header["job"], result.header["parts"]
    text = {
        part: peer.fetch(job, part, parts[part]["nbytes"]) for part in ("swc", "report", "doubts")
    }
    assert b"# n type x y z radius parent" in text["swc"]
    assert json.loads(text["report"])["mask_voxels"] == (VOXELS > 0).sum()
    assert text["doubts"].startswith(b"##x,y,z")
    assert parts["mask"]["shape"] == [1, *SHAPE]
    mask = np.frombuffer(peer.fetch(job, "mask", parts["mask"]["nbytes"]), np.uint8)
    assert np.array_equal(mask.reshape(SHAPE) > 0, VOXELS > 0)
    # On the disk it is the file that could have come in through the other door.
    stored = engine.get(job, LOCAL)
    whole = b"raw_image_stack_by_hpengL\x01\x00" + np.array([48, 24, 16, 1], "<i4").tobytes()
    assert stored.input == hashlib.sha256(whole + VOXELS.tobytes()).hexdigest()


def test_a_mask_is_traced_without_an_enhancer_if_that_is_said(peer: Peer, tmp_path: Path) -> None:
    mask = (VOXELS > 0).astype(np.uint8) * 255
    result = peer.result(mask.tobytes())
    job, parts = result.header["job"], result.header["parts"]
    (tmp_path / "tree.swc").write_bytes(peer.fetch(job, "swc", parts["swc"]["nbytes"]))
    assert 28 < read_swc(tmp_path / "tree.swc").length < 38  # 32, and the ends' thickness
    report = json.loads(peer.fetch(job, "report", parts["report"]["nbytes"]))
    assert not [text for text in report["warnings"] if "two values" in text or "inverted" in text]


def test_a_file_goes_in_as_it_is(peer: Peer, tmp_path: Path) -> None:
    path = tmp_path / "cell.tif"
    write_volume(path, Volume(VOXELS[None]))
    data = path.read_bytes()
    result = peer.result(data, volume={"format": "file"}, sha256=hashlib.sha256(data).hexdigest())
    assert result.header["parts"]["mask"]["shape"] == [1, *SHAPE]


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_other_sample_types(peer: Peer, dtype: str) -> None:
    voxels = (VOXELS.astype(dtype) * 3).astype(np.dtype(dtype).newbyteorder("<"))
    result = peer.result(voxels.tobytes(), volume={**RAW, "dtype": dtype})
    assert result.header["parts"]["swc"]["nbytes"] > 300


def test_progress_is_told_and_what_was_asked_before_is_reused(peer: Peer) -> None:
    data = other()
    accepted = peer.submit(data)
    peer.upload(accepted.header["transfer"], data)
    assert peer.hear("QUEUED").header["reused"] is False
    states = []
    while (message := peer.any()).type in ("PROGRESS", "PONG"):
        states.append(message.header.get("state"))
    assert message.type == "RESULT"
    assert "running" in states
    assert peer.result(data).header["reused"] is True
    assert peer.result(data, reuse=False).header["reused"] is False


def test_a_finished_job_is_traced_again_with_other_parameters(peer: Peer) -> None:
    job = peer.result(other()).header["job"]
    peer.say("SUBMIT", request=f"again{random.random()}", kind="retrace", source=job,
             params={"threshold": 200})  # fmt: skip
    again = peer.hear("QUEUED").header["job"]
    assert again != job
    result = peer.hear("RESULT").header
    report = json.loads(peer.fetch(again, "report", result["parts"]["report"]["nbytes"]))
    assert report["settings"]["threshold"] == 200


def test_retraces_of_one_owner_are_bounded_while_they_are_submitted(
    peer: Peer, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = peer.result(other()).header["job"]
    may_go, submit = threading.Event(), Engine.submit

    def slow_submit(self: Engine, spec: JobSpec) -> Any:
        assert may_go.wait(60)
        return submit(self, spec)

    monkeypatch.setattr(Engine, "submit", slow_submit)
    retrace = {"kind": "retrace", "source": job, "params": {"min_length": 3}}
    for number in range(70):
        peer.say("SUBMIT", request=f"again {job} {number}", **retrace)
    refused = [peer.hear("REJECT").header for _ in range(6)]
    assert {one["code"] for one in refused} == {TryLater.code}
    assert peer.silent()
    may_go.set()
    queued = [peer.hear("QUEUED", "RESULT", "ERROR").type for _ in range(64)]
    assert "QUEUED" in queued
    until(lambda: not engine.store.count_by_owner(), 60)
    peer.say("SUBMIT", request=f"again {job}", **retrace)
    while peer.hear("QUEUED", "RESULT", "ERROR").header.get("request") != f"again {job}":
        pass


def test_enhance_has_no_tree(peer: Peer) -> None:
    result = peer.result(other(), kind="enhance")
    assert set(result.header["parts"]) == {"mask", "report", "preview"}
    peer.say("FETCH", job=result.header["job"], part="swc", offset=0, nbytes=10)
    assert peer.hear("ERROR").header["code"] == "not_found"


@pytest.mark.parametrize(
    ("more", "code", "text"),
    [
        ({"kind": "paint"}, "bad_parameter", "kind 'paint'"),
        ({"params": {"threshold": 999}}, "bad_parameter", "threshold"),
        ({"params": {"model": "../../etc"}}, "bad_parameter", "model"),
        ({"params": {"colour": 1}}, "bad_parameter", "colour: is no parameter"),
        ({"nbytes": 0}, "bad_request", "nbytes"),
        ({"nbytes": 2**40, "volume": {"format": "file"}}, "too_large", "the limit"),
        ({"volume": {"format": "picture"}}, "bad_request", "'raw' or 'file'"),
        ({"volume": {**RAW, "dtype": "int64"}}, "bad_request", "dtype"),
        ({"volume": {**RAW, "dtype": ["uint8"]}}, "bad_request", "dtype"),
        ({"volume": {**RAW, "shape": [1, 2, 3]}}, "bad_request", "shape"),
        ({"volume": {**RAW, "shape": [1, 16, 24, -48]}}, "bad_request", "shape"),
        ({"volume": {**RAW, "shape": [1, 16, 24, 47]}}, "bad_request", "make"),
        ({"request": ""}, "bad_request", "request"),
        ({"source": "0" * 32, "kind": "retrace"}, "not_found", "there is none"),
        ({"priority": 99}, "bad_parameter", "priority"),
    ],
)
def test_what_cannot_be_is_refused_before_a_byte_is_sent(
    peer: Peer, engine: Engine, more: dict[str, Any], code: str, text: str
) -> None:
    data = other()
    answer = peer.submit(data, **more)
    if answer.type == "ACCEPT":  # what only the engine knows is said at the upload's end
        peer.upload(answer.header["transfer"], data)
        answer = peer.hear("ERROR")
    assert answer.type in ("REJECT", "ERROR")
    assert answer.header["code"] == code
    assert text in answer.header["detail"]
    until(lambda: spooled(engine) == 0)


@pytest.mark.parametrize(
    ("chunk", "code"),
    [
        ({"seq": 1, "payload": b"x" * 10}, "bad_request"),
        ({"seq": 0, "payload": b""}, "bad_request"),
        ({"seq": -1, "payload": b"x"}, "bad_request"),
        ({"seq": 0, "payload": b"x" * 1025}, "too_large"),
    ],
)
def test_a_chunk_that_does_not_fit_ends_the_upload(
    peer: Peer, engine: Engine, chunk: dict[str, Any], code: str
) -> None:
    transfer = peer.submit(other()).header["transfer"]
    peer.say("CHUNK", chunk["payload"], transfer=transfer, seq=chunk["seq"])
    assert peer.hear("ERROR").header["code"] == code
    assert spooled(engine) == 0
    peer.say("CHUNK", b"x", transfer=transfer, seq=0)
    assert peer.hear("ERROR").header["code"] == "not_found"


def test_more_bytes_than_were_announced_end_the_upload(peer: Peer, engine: Engine) -> None:
    transfer = peer.submit(b"x" * 100, volume={"format": "file"}).header["transfer"]
    peer.say("CHUNK", b"x" * 101, transfer=transfer, seq=0)
    assert peer.hear("ERROR").header["code"] == "too_large"
    assert spooled(engine) == 0


def test_more_chunks_than_the_credit_end_the_upload_and_credit_is_given_again(
    peer: Peer, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dineuro_server.doors.zeromq.transfers import Transfer

    take, remaining = Transfer.take, []

    def watched(self: Transfer, *words: Any) -> None:
        remaining.append(self.credit)
        take(self, *words)

    monkeypatch.setattr(Transfer, "take", watched)
    data = other()
    transfer = peer.submit(data).header["transfer"]
    peer.upload(transfer, data)
    peer.hear("RESULT", "QUEUED")
    assert min(remaining) >= 1
    assert max(remaining) == protocol.CREDIT
    # Without credit: the door's own count is made to be at its end.
    monkeypatch.setattr(Transfer, "accept", lambda self: _exhausted(self))
    transfer = peer.submit(other()).header["transfer"]
    peer.say("CHUNK", b"x", transfer=transfer, seq=0)
    while (message := peer.any()).type != "ERROR":
        assert message.type in ("PROGRESS", "RESULT", "PONG")
    assert "without credit" in message.header["detail"]
    until(lambda: spooled(engine) == 0)


def _exhausted(transfer: Any) -> Message:
    transfer.credit = 0
    accept = {"request": transfer.request, "transfer": transfer.token, "next": 0, "credit": 0}
    return Message("ACCEPT", accept)


@pytest.mark.parametrize("form", ["raw", "file"])
def test_a_damaged_upload_is_told_from_a_whole_one(peer: Peer, engine: Engine, form: str) -> None:
    data = other()
    volume = RAW if form == "raw" else {"format": "file"}
    transfer = peer.submit(data, volume=volume, sha256="0" * 64).header["transfer"]
    peer.upload(transfer, data)
    error = peer.hear("ERROR").header
    assert error["code"] == "bad_file"
    assert "damaged on its way" in error["detail"]
    assert len(error["id"]) == 16
    until(lambda: spooled(engine) == 0)


def test_no_volume_at_all_is_refused_and_no_path_told(peer: Peer, engine: Engine) -> None:
    data = b"this is no volume" * 9
    transfer = peer.submit(data, volume={"format": "file"}).header["transfer"]
    peer.upload(transfer, data)
    error = peer.hear("ERROR").header
    assert error["code"] in ("bad_file", "unsupported_format")
    assert error["detail"].startswith("cell.v3draw: ")
    assert str(engine.store.folder) not in error["detail"]


@pytest.mark.parametrize(
    ("frames", "text"),
    [
        ([b"hello"], "no message"),
        ([b"DNP1", b"PING"], "no message"),
        ([b"DNP2", b"PING", b"{}"], "no message"),
        ([b"DNP1", b"SING", b"{}"], "'SING'"),
        ([b"DNP1", b"\xff" * 100, b"{}"], "is no type"),
        ([b"DNP1", b"PING", b"{"], "no JSON"),
        ([b"DNP1", b"PING", b"[" * 50_000], "no JSON"),
        ([b"DNP1", b"PING", b"[]"], "no JSON object"),
        ([b"DNP1", b"PING", b"{}", b"more"], "4 frames"),
        ([b"DNP1", b"CHUNK", b"{}"], "3 frames"),
        ([b"DNP1", b"CHUNK", b"{}", b"x"], "names a transfer"),
        ([b"DNP1", b"SUBMIT", b"{}"], "lacks 'request'"),
        ([b"DNP1", b"SUBMIT", b'{"request":1,"kind":"trace"}'], "no text"),
        ([b"DNP1", b"SUBMIT", b'{"request":"a","kind":"trace","nbytes":NaN}'], "no JSON"),
        ([b"DNP1", b"SUBMIT", b'{"request":"a","kind":"trace","nbytes":true}'], "whole number"),
        ([b"DNP1", b"ATTACH", b'{"job":"\\ud800"}'], "is no text"),
        ([b"DNP1", b"ATTACH", b"{}"], "a transfer or a job"),
        ([b"DNP1", b"WELCOME", b"{}"], "lacks"),
        ([b"DNP1", b"PONG", b"{}"], "is a message of the server"),
        ([b"DNP1", b"HELLO", b'{"protocol":2}'], "speaks DNP1"),
        ([b"DNP1", b"PING", b"{%s}" % (b" " * 65_600)], "more than 65536"),
    ],
)
def test_what_is_no_message_is_said_so_and_harms_nobody(
    peer: Peer, frames: list[bytes], text: str
) -> None:
    peer.frames(*frames)
    error = peer.hear("ERROR").header
    assert error["code"] == "bad_request"
    assert text in error["detail"]
    peer.say("PING")
    peer.hear("PONG")


def test_unknown_fields_are_passed_over(peer: Peer) -> None:
    peer.say("PING", colour="blue")
    peer.hear("PONG")


def test_hello_comes_first(door: Door) -> None:
    stranger = Peer(door.address, hello=False)
    stranger.say("PING")
    error = stranger.hear("ERROR").header
    assert error["code"] == "unauthorized"
    assert "HELLO" in error["detail"]
    stranger.close()


def test_a_frame_beyond_all_measure_ends_the_connection_and_no_other(
    door: Door, peer: Peer
) -> None:
    liar = Peer(door.address)
    liar.frames(b"DNP1", b"CHUNK", b"{}", b"x" * 200_000)
    assert liar.silent(0.5)
    liar.close()
    peer.say("PING")
    peer.hear("PONG")


def test_the_same_request_is_one_job(peer: Peer) -> None:
    data, request = other(), f"once{random.random()}"
    first = peer.submit(data, request=request)
    again = peer.submit(data, request=request)
    assert first.header["transfer"] == again.header["transfer"]
    peer.upload(first.header["transfer"], data)
    job = peer.hear("QUEUED").header["job"]
    peer.hear("RESULT")
    third = peer.submit(data, request=request)
    assert (third.type, third.header["job"]) == ("QUEUED", job)


def test_an_upload_goes_on_over_another_connection(door: Door, peer: Peer, engine: Engine) -> None:
    data = other()
    first = Peer(door.address)
    transfer = first.submit(data).header["transfer"]
    first.upload(transfer, data, most=5)
    until(lambda: spooled_bytes(engine) == V3DRAW_HEADER_BYTES + 5 * LIMITS.chunk_bytes)
    peer.say("ATTACH", transfer=transfer)
    accepted = peer.hear("ACCEPT").header
    assert accepted["next"] == 5
    first.say("CHUNK", b"x", transfer=transfer, seq=5)
    assert first.hear("ERROR").header["code"] == "conflict"
    first.close()
    peer.upload(transfer, data, start=5)
    peer.hear("QUEUED")
    peer.hear("RESULT")
    peer.say("ATTACH", transfer=transfer)
    peer.hear("QUEUED")


def test_a_result_goes_on_over_another_connection(door: Door, peer: Peer) -> None:
    first = Peer(door.address)
    result = first.result(other()).header
    nbytes = result["parts"]["mask"]["nbytes"]
    start = first.fetch(result["job"], "mask", 3000)
    first.close()
    peer.say("ATTACH", job=result["job"])
    assert peer.hear("RESULT").header["parts"] == result["parts"]
    rest = peer.fetch(result["job"], "mask", nbytes, start=len(start))
    assert len(start + rest) == nbytes == VOXELS.size


def test_an_upload_is_cancelled_and_nothing_stays(peer: Peer, engine: Engine) -> None:
    transfer = peer.submit(other()).header["transfer"]
    peer.say("CHUNK", b"x" * 100, transfer=transfer, seq=0)
    peer.say("CANCEL", transfer=transfer)
    peer.hear("CANCELLED")
    assert spooled(engine) == 0


def test_an_upload_that_is_cancelled_while_it_is_checked_becomes_no_job_that_runs_on(
    peer: Peer, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dineuro_server.doors.zeromq.transfers import Transfer

    finish = Transfer.finish
    cancelled = threading.Event()

    def finish_after_cancel(self: Transfer, engine: Engine) -> Any:
        assert cancelled.wait(60)
        return finish(self, engine)

    monkeypatch.setattr(Transfer, "finish", finish_after_cancel)
    data = other()
    before = {job.id for job in engine.jobs(LOCAL)}
    transfer = peer.submit(data).header["transfer"]
    peer.upload(transfer, data)
    peer.say("CANCEL", transfer=transfer)
    peer.hear("CANCELLED")
    cancelled.set()
    until(lambda: {job.id for job in engine.jobs(LOCAL)} - before)
    (job,) = {job.id for job in engine.jobs(LOCAL)} - before
    until(lambda: engine.get(job, LOCAL).ended)


def test_a_running_and_a_queued_job_are_cancelled(peer: Peer) -> None:
    rng = np.random.default_rng(5)
    noise = (rng.random((100, 100, 100)) < 0.3).astype(np.uint8).tobytes()
    volume = {"format": "raw", "shape": [1, 100, 100, 100], "dtype": "uint8"}
    slow = {"enhancer": "classical", "trees": "all", "name": "noise"}
    jobs = []
    for _ in range(2):
        accepted = peer.submit(noise, volume=volume, params=slow, reuse=False)
        peer.upload(accepted.header["transfer"], noise)
        jobs.append(peer.hear("QUEUED").header["job"])
    for job in jobs[::-1]:
        peer.say("CANCEL", job=job)
        assert peer.hear("CANCELLED", "RESULT").header["job"] == job
    peer.say("CANCEL", job=jobs[0])
    assert peer.hear("CANCELLED", "RESULT").header["job"] == jobs[0]


def test_a_silent_client_s_upload_is_given_up(engine: Engine) -> None:
    hasty = Door(engine, "tcp://127.0.0.1:0", limits=replace(LIMITS, heartbeat_s=0.3, idle_s=0.3))
    hasty.start()
    silent = Peer(hasty.address)
    silent.submit(other())
    assert spooled(engine) == 1
    until(lambda: spooled(engine) == 0 and not list(hasty._peers))
    silent.say("PING")
    assert silent.hear("ERROR").header["code"] == "unauthorized"
    silent.close()
    hasty.close()


def test_an_upload_of_a_byte_now_and_then_is_given_up(engine: Engine) -> None:
    door = Door(engine, "tcp://127.0.0.1:0", limits=replace(LIMITS, idle_s=1.0))
    door.start()
    slow = Peer(door.address)
    transfer = slow.submit(other()).header["transfer"]
    begun = time.monotonic()
    for seq in itertools.count():
        slow.say("CHUNK", b"x", transfer=transfer, seq=seq)
        if slow.socket.poll(300) and slow.any().type == "ERROR":
            break
        assert time.monotonic() - begun < 60
    assert time.monotonic() - begun > 1.5
    assert spooled(engine) == 0
    slow.close()
    door.close()


def test_another_s_job_is_not_there(door: Door, engine: Engine, peer: Peer) -> None:
    with engine.spool("anna") as spool:
        spool.write(b"raw_image_stack_by_hpengL\x01\x00")
        spool.write(np.array([48, 24, 16, 1], "<i4").tobytes() + other())
        job = engine.submit(JobSpec("trace", "anna", spool.finish().sha256, parameters=FAST))
    for kind in ("ATTACH", "CANCEL"):
        peer.say(kind, job=job.id)
        assert peer.hear("ERROR").header["code"] == "not_found"
    peer.say("FETCH", job=job.id, part="swc", offset=0, nbytes=10)
    assert peer.hear("ERROR").header["code"] == "not_found"


@pytest.mark.parametrize(("offset", "nbytes"), [(-1, 10), (0, 0), (0, 2000)])
def test_a_fetch_out_of_bounds_is_refused(peer: Peer, offset: int, nbytes: int) -> None:
    peer.say("FETCH", job="0" * 32, part="swc", offset=offset, nbytes=nbytes)
    assert peer.hear("ERROR").header["code"] == "bad_request"


@pytest.mark.parametrize("offset", [2**20, 2**61])
def test_a_fetch_beyond_the_end_of_its_part_is_refused(peer: Peer, offset: int) -> None:
    job = peer.result(other()).header["job"]
    peer.say("FETCH", job=job, part="swc", offset=offset, nbytes=10)
    error = peer.hear("ERROR").header
    assert error["code"] == "bad_request"
    assert "bytes, the offset is" in error["detail"]


def test_two_clients_at_once_get_each_their_own(door: Door) -> None:
    peers = [Peer(door.address) for _ in range(2)]
    volumes = [other() for _ in peers]
    accepted = [p.submit(v) for p, v in zip(peers, volumes, strict=True)]
    for seq in range(-(-len(volumes[0]) // 1024)):
        for p, a, v in zip(peers, accepted, volumes, strict=True):
            if seq >= protocol.CREDIT and seq % 4 == 0:
                p.hear("CREDIT")
            part = v[seq * 1024 : (seq + 1) * 1024]
            p.say("CHUNK", part, transfer=a.header["transfer"], seq=seq)
    for p, v in zip(peers, volumes, strict=True):
        result = p.hear("QUEUED"), p.hear("RESULT")
        job = result[1].header["job"]
        report = json.loads(p.fetch(job, "report", result[1].header["parts"]["report"]["nbytes"]))
        head = b"raw_image_stack_by_hpengL\x01\x00" + np.array([48, 24, 16, 1], "<i4").tobytes()
        assert report["sha256"] == hashlib.sha256(head + v).hexdigest()
        p.close()


def test_noise_of_every_kind_harms_nobody(door: Door, peer: Peer) -> None:
    rng = random.Random(7)
    vandal = Peer(door.address)
    types = [kind.encode() for kind in protocol.TYPES]
    for _ in range(1500):
        header = rng.choice(
            [
                b"{}",
                rng.randbytes(rng.randrange(60)),
                _random_header(rng),
                b'{"transfer":"x","seq":0}',
            ]
        )
        frames = [rng.choice([b"DNP1", rng.randbytes(4)]), rng.choice(types), header]
        if rng.random() < 0.5:
            frames.append(rng.randbytes(rng.randrange(200)))
        vandal.frames(*frames)
        while not vandal.silent(0):
            vandal.any()
    vandal.close()
    peer.say("PING")
    peer.hear("PONG")
    peer.result(other())


def _random_header(rng: random.Random) -> bytes:
    names = ["request", "kind", "nbytes", "volume", "params", "job", "transfer", "part", "offset"]
    values = [0, -1, 2**70, "", "x" * 300, None, [], {}, {"format": "raw"}, True, 1.5, "trace"]
    chosen = {name: rng.choice(values) for name in rng.sample(names, rng.randrange(len(names)))}
    return json.dumps(chosen).encode()


# Floods


class Tracker:
    """Memory that libzmq still holds, until `done`."""

    done = False


def test_a_peer_that_requests_pieces_and_reads_none_holds_its_credit_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[tuple[bytes, Any]] = []

    def send(identity: bytes, piece: Piece) -> Any:
        sent.append((identity, Tracker()))
        return sent[-1][1]

    fetches = Fetches(send)
    piece = Piece("job", "mask", Path("mask"), 0, 0, 2**20)
    for _ in range(2 * protocol.CREDIT):
        fetches.add(b"glutton", b"glutton", piece)
    with pytest.raises(BadRequest, match="at the same time"):
        fetches.add(b"glutton", b"glutton", piece)
    assert len(sent) == protocol.CREDIT
    assert fetches.waiting
    fetches.add(b"modest", b"modest", piece)
    assert sent[-1][0] == b"modest"
    sent[0][1].done = True
    fetches.pump()
    assert len(sent) == protocol.CREDIT + 2
    # The memory of all peers together is bounded too.
    monkeypatch.setattr("dineuro_server.doors.zeromq.fetches._TOTAL_BYTES", 9 * 2**20)
    fetches.add(b"late", b"late", piece)
    assert len(sent) == protocol.CREDIT + 2
    fetches.forget(b"glutton")
    for _, tracker in sent:
        tracker.done = True
    fetches.pump()
    assert sent[-1][0] == b"late"
    assert not fetches.waiting


def test_an_owner_with_many_peers_that_read_nothing_leaves_the_others_their_memory() -> None:
    sent: list[tuple[bytes, Any]] = []

    def send(identity: bytes, piece: Piece) -> Any:
        sent.append((identity, Tracker()))
        return sent[-1][1]

    fetches = Fetches(send)
    piece = Piece("job", "mask", Path("mask"), 0, 0, protocol.CHUNK_BYTES)
    for number in range(64):
        for _ in range(protocol.CREDIT):
            fetches.add(b"anna", b"anna %d" % number, piece)
    assert len(sent) * protocol.CHUNK_BYTES == 2**27 // 4
    for _ in range(protocol.CREDIT):
        fetches.add(b"ben", b"ben", piece)
    assert [identity for identity, _ in sent].count(b"ben") == protocol.CREDIT
    # The room of one piece goes to the peer of anna's that was served longest ago.
    sent[0][1].done = True
    fetches.pump()
    assert sent[-1][0] == b"anna 2"


def test_a_flood_of_hellos_shuts_nobody_out(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dineuro_server.doors.zeromq.peers._MAX_PEERS", 8)
    flood = [Peer(door.address) for _ in range(12)]
    late = Peer(door.address)
    late.say("PING")
    late.hear("PONG")
    for one in (*flood, late):
        one.close()


def test_the_sender_with_the_most_connections_makes_room() -> None:
    peers = Peers()
    few, many = Sender("anna", "a", "1.1.1.1"), Sender("ben", "b", "2.2.2.2")
    peers.greet(b"anna", few)
    for number in range(2000):
        peers.greet(b"ben%d" % number, many)
    assert peers.active(b"anna", few).owner == "anna"
    with pytest.raises(Unauthorized):
        peers.active(b"ben0", many)


# CURVE


@pytest.fixture
def guarded(engine: Engine, tmp_path: Path) -> Iterator[tuple[Door, Path]]:
    keys = tmp_path / "keys"
    make_client_keys(keys, "anna")
    fresh = Door(engine, "tcp://127.0.0.1:0", keys, LIMITS)
    fresh.start()
    yield fresh, keys
    fresh.close()


def curve(keys: Path, name: str) -> tuple[bytes, bytes, bytes | None]:
    server, _ = zmq.auth.load_certificate(keys / "server.key")
    return (server, *zmq.auth.load_certificate(keys / f"{name}.key_secret"))


def test_a_key_s_name_owns_its_jobs(guarded: tuple[Door, Path], engine: Engine) -> None:
    door, keys = guarded
    anna = Peer(door.address, keys=curve(keys, "anna"))
    job = anna.result(other()).header["job"]
    assert engine.get(job, "anna").owner == "anna"
    make_client_keys(keys, "ben")  # counts at once
    ben = Peer(door.address, keys=curve(keys, "ben"))
    ben.say("ATTACH", job=job)
    assert ben.hear("ERROR").header["code"] == "not_found"
    for one in (anna, ben):
        one.close()


def test_without_a_key_or_with_a_strange_one_nobody_comes_in(
    guarded: tuple[Door, Path], tmp_path: Path
) -> None:
    door, keys = guarded
    plain = Peer(door.address, hello=False)
    make_client_keys(tmp_path / "elsewhere", "anna")
    server, _ = zmq.auth.load_certificate(keys / "server.key")
    public, secret = zmq.auth.load_certificate(tmp_path / "elsewhere" / "anna.key_secret")
    strange = Peer(door.address, hello=False, keys=(server, public, secret))
    assert plain.turned_away()
    assert strange.turned_away()
    for one in (plain, strange):
        one.close()


def test_a_revoked_key_comes_in_no_more(guarded: tuple[Door, Path]) -> None:
    door, keys = guarded
    admitted = Peer(door.address, hello=False, keys=curve(keys, "anna"))
    assert not admitted.turned_away()
    admitted.close()
    revoke_client(keys, "anna")
    anna = Peer(door.address, hello=False, keys=curve(keys, "anna"))
    assert anna.turned_away()
    anna.close()
    with pytest.raises(BadParameter, match="has no key of anna"):
        revoke_client(keys, "anna")


def test_a_revoked_key_loses_its_open_connection(guarded: tuple[Door, Path]) -> None:
    door, keys = guarded
    make_client_keys(keys, "ben")
    anna, ben = (Peer(door.address, keys=curve(keys, name)) for name in ("anna", "ben"))
    revoke_client(keys, "anna")
    assert anna.hear("ERROR").header["code"] == "unauthorized"
    anna.say("PING")
    assert anna.hear("ERROR").header["code"] == "unauthorized"
    ben.say("PING")
    ben.hear("PONG")
    for one in (anna, ben):
        one.close()


@pytest.mark.parametrize("content", [b"", b"curve\n    public-key = ", b"\xff\xfe nothing"])
def test_a_key_file_that_is_half_copied_keeps_nobody_else_out(
    guarded: tuple[Door, Path], content: bytes
) -> None:
    door, keys = guarded
    (keys / "clients" / "half.key").write_bytes(content)
    (keys / "clients" / "gone.key").symlink_to(keys / "nothing")
    anna = Peer(door.address, keys=curve(keys, "anna"))
    assert door.healthy
    make_client_keys(keys, "half2")
    late = Peer(door.address, keys=curve(keys, "half2"))
    for one in (anna, late):
        one.close()


def test_the_authenticator_outlives_any_error_and_the_door_says_if_it_does_not(
    guarded: tuple[Door, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    door, keys = guarded
    assert door.allowed is not None
    with monkeypatch.context() as broken:
        broken.setattr(door.allowed, "name", lambda key: 1 / 0)
        refused = Peer(door.address, hello=False, keys=curve(keys, "anna"))
        assert refused.turned_away()
        refused.close()
    anna = Peer(door.address, keys=curve(keys, "anna"))
    assert door.healthy
    anna.close()
    authenticator = door._authenticator
    assert authenticator is not None
    authenticator.pipe.send(b"TERMINATE")
    authenticator.thread.join(30)
    assert not door.healthy  # and the fixture closes the door, which does not hang


def test_the_door_outlives_keys_that_cannot_be_read_and_calls_that_fail(
    guarded: tuple[Door, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    door, keys = guarded
    anna = Peer(door.address, keys=curve(keys, "anna"))
    assert door.allowed is not None
    ticked = threading.Event()

    def fail(_key: bytes) -> None:
        if threading.current_thread() is door:
            ticked.set()
        raise OSError(24, "too many open files")

    with monkeypatch.context() as broken:
        broken.setattr(door.allowed, "name", fail)
        assert ticked.wait(60)
        door.call_soon(lambda: fail(b""))
    after = threading.Event()
    door.call_soon(after.set)
    assert after.wait(60)
    anna.say("PING")
    anna.hear("PONG")
    anna.close()


def test_an_upload_that_cannot_begin_leaves_nothing(
    peer: Peer, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_spool: Spool, _chunk: bytes) -> None:
        raise DiskFull("the server's disk is full: try again later")

    before = spooled(engine)
    with monkeypatch.context() as broken:
        broken.setattr(Spool, "write", full)
        answer = peer.submit(other())
    assert answer.header["code"] == DiskFull.code
    assert spooled(engine) == before


def test_an_identity_is_of_use_to_no_other_key(guarded: tuple[Door, Path]) -> None:
    door, keys = guarded
    make_client_keys(keys, "ben")
    anna = Peer(door.address, keys=curve(keys, "anna"), identity=b"anna-1")
    job = anna.result(other()).header["job"]
    anna.close()
    thieves: list[Peer] = []

    def comes_in() -> bool:
        """While the server still sees anna's connection, it does not answer another one."""
        thieves.append(Peer(door.address, hello=False, keys=curve(keys, "ben"), identity=b"anna-1"))
        thieves[-1].say("FETCH", job=job, part="swc", offset=0, nbytes=100)
        if not thieves[-1].silent(1.0):
            return True
        thieves[-1].close()
        return False

    until(comes_in, 60)
    thief = thieves[-1]
    assert thief.hear("ERROR").header["code"] == "unauthorized"
    thief.say("HELLO", protocol=1)
    thief.hear("WELCOME")
    thief.say("FETCH", job=job, part="swc", offset=0, nbytes=100)
    assert thief.hear("ERROR").header["code"] == "not_found"
    thief.close()


def test_secret_keys_are_their_owner_s_alone(tmp_path: Path) -> None:
    secret, server = make_client_keys(tmp_path, "anna")
    for path in (secret, server.with_suffix(".key_secret")):
        assert path.stat().st_mode & 0o077 == 0
    with pytest.raises(BadParameter, match="has a key already"):
        make_client_keys(tmp_path, "anna")
    with pytest.raises(BadParameter, match="a name has"):
        make_client_keys(tmp_path, "../anna")


def test_a_secret_key_is_never_readable_in_a_folder_that_others_can_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is readable for a moment can be opened in that moment, and read later."""
    folder = tmp_path / "keys"
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    modes, chmod = [], Path.chmod

    def watched(path: Path, mode: int) -> None:
        modes.append(path.parent.stat().st_mode & 0o077)
        chmod(path, mode)

    monkeypatch.setattr(Path, "chmod", watched)
    secret, _ = make_client_keys(folder, "anna")
    assert secret.parent == folder
    assert modes == [0, 0]
    assert {path.name for path in folder.iterdir()} == {
        "anna.key_secret", "clients", "server.key", "server.key_secret"
    }  # fmt: skip
    for path in folder.glob("*.key_secret"):
        assert path.stat().st_mode & 0o777 == 0o600
    assert not list(exposures(folder))  # who reads the folder sees names, and no secret


def test_keys_that_others_can_change_or_read_are_named(
    tmp_path: Path, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    make_client_keys(tmp_path, "anna")
    tmp_path.chmod(0o777)
    (tmp_path / "server.key_secret").chmod(0o644)
    Door(engine, "tcp://127.0.0.1:0", tmp_path, LIMITS).close()
    assert f"{tmp_path}: other users can write in it: chmod 700" in caplog.text
    assert "server.key_secret: other users can read or write it: chmod 600" in caplog.text
    answer = subprocess.run(
        [sys.executable, "-c", "from dineuro_cli import main; main()", "keys", "curve", "ben",
         "--keys", str(tmp_path)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "other users can write in it: chmod 700" in answer.stderr


def test_a_key_file_that_is_missing_or_none_is_told_by_its_name(tmp_path: Path) -> None:
    secret, server = make_client_keys(tmp_path, "anna")
    assert len(CurveKeys(secret, server).load()) == 3
    with pytest.raises(FileAccess, match=r"gone\.key: no such file"):
        CurveKeys(secret, tmp_path / "gone.key").load()
    (tmp_path / "note.key").write_text("nothing")
    with pytest.raises(FileAccess, match=r"note\.key: contains no CURVE key"):
        CurveKeys(secret, tmp_path / "note.key").load()
    with pytest.raises(FileAccess, match="contains no secret key"):
        CurveKeys(server, server).load()


@pytest.mark.parametrize(
    ("address", "text"),
    [("tcp://0.0.0.0:5599", "needs CURVE keys"), ("ipc:///tmp/x", "must be tcp://HOST:PORT")],
)
def test_a_door_to_others_needs_keys(address: str, text: str) -> None:
    with pytest.raises(BadParameter, match=text):
        check_doors(Settings(zmq=address))
    check_doors(Settings(zmq="tcp://0.0.0.0:5599", insecure=True))
    check_doors(Settings(zmq="tcp://0.0.0.0:5599", http="0.0.0.0:8000", local=True))
    check_doors(Settings(zmq="off"))
