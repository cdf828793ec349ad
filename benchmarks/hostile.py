"""Bad inputs through both doors of a live server: answers, pauses, memory, what is left behind.

    python -m benchmarks.hostile [--inputs 10000] [--seed 0]

Half of the inputs meet an open server at loopback, and half one with tokens and keys. Two clients
send at the same time: damaged files and malformed requests over HTTP, damaged files and malformed
messages over ZeroMQ. Meanwhile `GET /livez` and a PING over ZeroMQ ask every 0.1 s whether the
server is alive, and the memory of its own process is read. Jobs use no network.

`closed` is a connection that the server ended without an answer, `left` a request that was
abandoned by the client. No answer may be 5xx, and no code may be `internal`.
"""

from __future__ import annotations

import argparse
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import zmq
import zmq.auth

from benchmarks.hostile_files import damaged
from benchmarks.hostile_messages import Known, frames, http_request, http_upload
from benchmarks.hostile_target import (
    HELLO,
    Outcome,
    Target,
    exchange,
    get,
    is_alive,
    target,
    watch_http,
    watch_zmq,
)
from dineuro.evaluation import as_table
from dineuro_bridge.protocol import CHUNK_BYTES, Message, decode, encode

#: Share of the inputs of a door that are files.
_FILES = 0.45
#: An abandoned upload over ZeroMQ is kept for a minute.
_SWEPT_S = 90.0
#: Codes that tell of a fault of the server.
FAULTS = ("internal", "file_access", "worker_lost", "service", "missing_dependency")


def measure(where: Target, inputs: int, seed: int, abandoned: float = 0.1) -> Outcome:
    """Send bad inputs through both doors at once, and return what the server did.

    Args:
        where: the server.
        inputs: how many to send, over both doors together.
        seed: of the inputs.
        abandoned: share of the connections over ZeroMQ whose uploads are not cancelled.
    """
    outcome = Outcome()
    process = where.running.process
    start, descriptors = process.memory_info().rss, process.num_fds()
    most, ended = start, threading.Event()

    def watch_memory() -> None:
        nonlocal most
        while not ended.wait(0.02):
            most = max(most, process.memory_info().rss)

    watchers = [
        threading.Thread(target=watch_memory),
        threading.Thread(target=watch_http, args=(where, outcome, ended)),
        threading.Thread(target=watch_zmq, args=(where, outcome, ended)),
    ]
    jobs = ["0" * 32]  # each client asks for the jobs of both
    clients = [
        threading.Thread(target=_send_http, args=(where, outcome, jobs, inputs // 2, seed)),
        threading.Thread(
            target=_send_zmq, args=(where, outcome, jobs, -(-inputs // 2), seed + 1, abandoned)
        ),
    ]
    for thread in (*watchers, *clients):
        thread.start()
    for thread in clients:
        thread.join()
    outcome.jobs = ends_of_jobs(where, outcome)
    spool = where.running.state / "spool"
    _wait(lambda: not any(spool.iterdir()) and process.num_fds() <= descriptors + 8, _SWEPT_S)
    ended.set()
    for thread in watchers:
        thread.join()
    outcome.memory = (start, most, process.memory_info().rss)
    outcome.descriptors = (descriptors, process.num_fds())
    outcome.spool = sum(1 for _ in spool.iterdir())
    outcome.alive = process.is_running() and is_alive(where)
    return outcome


def _wait(happened: Callable[[], bool], seconds: float) -> None:
    """Wait until it happened, or the time is over."""
    end = time.monotonic() + seconds
    while not happened() and time.monotonic() < end:
        time.sleep(0.1)


# HTTP


def _send_http(where: Target, outcome: Outcome, jobs: list[str], count: int, seed: int) -> None:
    rng = random.Random(seed)
    known = Known(jobs, tokens=(where.token,) * 3 + (f"{where.token}x", "Bearer dineuro_x"))
    for _ in range(count):
        if rng.random() < _FILES:
            request = http_upload(rng, known, damaged(rng, known.files))
        else:
            request = http_request(rng, known)
        outcome.inputs["HTTP"] += 1
        answer, location = exchange(where, request)
        outcome.answers["HTTP"][answer] += 1
        if answer.startswith("5"):
            outcome.suspects.append(request.data[:3000])
        if location:
            jobs[:] = [*jobs[-20:], location]


def ends_of_jobs(where: Target, outcome: Outcome) -> Counter[str]:
    """Wait for all jobs; return how many ended in each way."""

    def some(state: str) -> bool:
        return bool(get(where, f"/v1/jobs?limit=1&state={state}")["jobs"])

    _wait(lambda: not some("queued") and not some("running"), 600)
    ends: Counter[str] = Counter()
    path = "/v1/jobs?limit=1000"
    while path:
        page = get(where, path)
        for job in page["jobs"]:
            code = job["error"]["code"] if job["error"] else job["state"]
            ends[code] += 1
            if code in FAULTS:
                found = (where.running.state / "blobs").rglob(f"{job['input_sha256']}*")
                data = b"".join(file.read_bytes() for file in found)
                outcome.suspects.append(json.dumps(job).encode() + b"\n" + data)
        path = page["next"]
    return ends


# ZeroMQ


def _send_zmq(
    where: Target, outcome: Outcome, jobs: list[str], count: int, seed: int, abandoned: float
) -> None:
    rng, known = random.Random(seed), Known(jobs)
    peer = Peer(where, outcome, known)
    for number in range(count):
        outcome.inputs["ZeroMQ"] += 1
        if rng.random() < _FILES:
            peer.upload(damaged(rng, known.files), f"{seed}-{number}", rng)
        else:
            peer.send(frames(rng, known))
        if number % 50 == 49:  # a new connection; what is under way is abandoned or cancelled
            peer.leave(cancel=rng.random() >= abandoned)
            peer = Peer(where, outcome, known)
            if rng.random() < 0.8:
                peer.send(encode(HELLO))
    peer.leave(cancel=True)


class Peer:
    """One connection of the hostile client over ZeroMQ."""

    def __init__(self, where: Target, outcome: Outcome, known: Known) -> None:
        self._socket = where.dealer()
        self._answers, self._known = outcome.answers["ZeroMQ"], known
        self._outcome = outcome
        self._sent: list[Any] = []

    def send(self, parts: list[Any]) -> None:
        """Count what has arrived, and send frames."""
        while self._socket.poll(0):
            self._count(decode(self._socket.recv_multipart()))
        self._sent = parts
        with suppress(zmq.Again):
            self._socket.send_multipart(parts, zmq.DONTWAIT)

    def ask(self, message: Message, *kinds: str, about: str = "") -> Message | None:
        """Send a message, and wait for an answer of these types, about an upload if one is named.

        Late answers to other messages come between.
        """
        self.send(encode(message))
        end = time.monotonic() + 10
        while self._socket.poll(max(0, int(1000 * (end - time.monotonic())))):
            answer = decode(self._socket.recv_multipart())
            self._count(answer)
            names = answer.header.get("request"), answer.header.get("transfer")
            if answer.type in kinds and (not about or about in names):
                return answer
        self._answers[f"none within 10 s of {message.type}"] += 1
        return None

    def _count(self, answer: Message) -> None:
        code = answer.header.get("code", "")
        self._answers[f"{answer.type} {code}".strip()] += 1
        if code in FAULTS:
            self._outcome.suspects.append(b"|".join(map(bytes, self._sent))[:3000])
        for name, names in (("job", self._known.jobs), ("transfer", self._known.transfers)):
            if answer.header.get(name):
                names[:] = [*names[-20:], answer.header[name]]

    def upload(self, data: bytes, request: str, rng: random.Random, name: str = "a.tif") -> None:
        """Send a damaged file as a well-formed upload."""
        self.ask(HELLO, "WELCOME")
        header = {
            "request": request, "kind": rng.choice(("trace", "enhance", "retrace")),
            "nbytes": len(data), "params": {"enhancer": "none", "name": name},
        }  # fmt: skip
        reply = self.ask(Message("SUBMIT", header), "ACCEPT", "REJECT", "ERROR", about=request)
        if reply is None or reply.type != "ACCEPT":
            return
        for seq, at in enumerate(range(0, len(data), CHUNK_BYTES)):
            piece = data[at : at + CHUNK_BYTES]
            chunk = Message("CHUNK", {"transfer": reply.header["transfer"], "seq": seq}, piece)
            if at + CHUNK_BYTES < len(data):
                self.send(encode(chunk))
            else:
                self.ask(chunk, "QUEUED", "ERROR", about=request)

    def leave(self, cancel: bool) -> None:
        """End the connection, and cancel its uploads if told so."""
        if cancel:
            self.ask(HELLO, "WELCOME")
            for token in self._known.transfers:
                cancel_it = Message("CANCEL", {"transfer": token})
                self.ask(cancel_it, "CANCELLED", "ERROR", about=token)
        self._known.transfers[:] = ["t"]
        self._socket.close()


# Table


def table(outcomes: dict[str, Outcome]) -> str:
    """The outcomes as tables in Markdown."""
    lines = [
        {
            "server": name,
            "inputs": f"{o.inputs['HTTP']} + {o.inputs['ZeroMQ']}",
            "longest pause (s)": f"{o.slowest_s['HTTP']:.2f}, {o.slowest_s['ZeroMQ']:.2f}",
            "memory (MiB)": " / ".join(f"{m / 2**20:.0f}" for m in o.memory),
            "descriptors": " / ".join(map(str, o.descriptors)),
            "left in the spool": str(o.spool),
            "alive": "yes" if o.alive else "no",
        }
        for name, o in outcomes.items()
    ]
    counts = [
        {
            "server": name,
            "door": door,
            "answers": ", ".join(f"{key}: {n}" for key, n in sorted(counter.items())),
        }
        for name, o in outcomes.items()
        for door, counter in (*o.answers.items(), ("jobs", o.jobs))
    ]
    return f"{as_table(lines)}\n\n{as_table(counts)}"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--inputs", type=int, default=10_000, help="in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--suspects", type=Path, help="folder for inputs that had a bad answer")
    words = parser.parse_args()
    outcomes = {}
    for number, name in enumerate(("open", "with tokens and keys")):
        with target(locked=name != "open") as where:
            outcome = measure(where, words.inputs // 2, words.seed + 10 * number)
        outcomes[name] = outcome
        for at, data in enumerate(outcome.suspects if words.suspects else ()):
            words.suspects.mkdir(parents=True, exist_ok=True)
            (words.suspects / f"{number}-{at}").write_bytes(data)
    print(table(outcomes))


if __name__ == "__main__":
    main()
