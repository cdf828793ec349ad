"""The cost of the lab's server beside the work itself: load, overhead, uploads, memory.

    python -m benchmarks.service                 # all parts; some minutes
    python -m benchmarks.service load overhead   # some parts

load      32 clients send 10 small stacks each through both doors at once. Every tree is compared
          with the pipeline's own, and the time with that of the same jobs without doors.
overhead  A stack of 64 MiB is sent through each door, beside the pipeline in this process.
upload    1 GiB is sent through each door, beside a plain socket whose other end counts the bytes.
memory    2 GiB are sent through each door, and the growth of the server's memory is measured.
"""

from __future__ import annotations

import argparse
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from dineuro.evaluation import as_table
from dineuro.files.write import run_one
from dineuro_bridge.client import Client
from dineuro_bridge.errors import Cancelled
from dineuro_bridge.options import TraceOptions
from dineuro_bridge.parts import PARTS
from dineuro_bridge.progress import Progress
from dineuro_bridge.volumes.formats import write_volume
from dineuro_bridge.volumes.volume import Volume
from dineuro_server.access.tokens import LOCAL
from dineuro_server.engine import Engine
from dineuro_server.jobs.records import Job, JobSpec
from dineuro_server.settings import Settings

CLIENTS, EACH = 32, 10
SHAPE = (24, 48, 64)
ROUNDS = 3
_PIECE = 2**21


@dataclass(frozen=True, slots=True)
class Running:
    """A running server."""

    process: psutil.Process
    doors: dict[str, str]
    state: Path


@contextmanager
def server(environment: Mapping[str, str] | None = None, **settings: object) -> Iterator[Running]:
    """Run `dineuro serve` in a process of its own; yield it when it is warm.

    Args:
        environment: further variables.
        settings: of the server.
    """
    with tempfile.TemporaryDirectory(prefix="dineuro-bench-") as folder:
        state = Path(folder) / "state"
        given = {"http": "127.0.0.1:0", "zmq": "tcp://127.0.0.1:0", "state": state,
                 "max_queue": 1000, "owner_jobs": 1000, "min_free_gib": 0, **settings}  # fmt: skip
        variables = {f"DINEURO_{name.upper()}": str(value) for name, value in given.items()}
        variables |= environment or {}
        log = Path(folder) / "log"
        with log.open("wb") as file:
            command = [sys.executable, "-c", "from dineuro_cli import main; main()", "serve"]
            child = subprocess.Popen(command, env={**os.environ, **variables}, stderr=file)
        try:
            while "is ready" not in (said := log.read_text()):
                if child.poll() is not None:
                    raise RuntimeError(said)
                time.sleep(0.1)
            http = re.findall(r"HTTP at (http://\S+)", said)[0]
            zmq = re.findall(r"ZeroMQ at (tcp://[^\s,]+)", said)[0]
            doors = {"HTTP": http, "ZeroMQ": zmq}
            yield Running(psutil.Process(child.pid), doors, state)
        finally:
            child.terminate()
            child.wait()


def small(number: int) -> np.ndarray:
    """Return a stack with one neurite, whose place depends on the number."""
    voxels = np.zeros(SHAPE, dtype=np.uint8)
    y, z = 4 + number % 40, 3 + number // 40 % 18
    voxels[z - 1 : z + 2, y - 1 : y + 2, 6 : 40 + number % 20] = 200
    return voxels


def load() -> list[dict[str, str]]:
    """Compare all clients' trees, and measure the same work without doors."""
    expected = {number: nodes_of(small(number)) for number in range(CLIENTS * EACH)}
    with server(devices="cpu") as running:
        doors = list(running.doors.values())

        def work(client: int) -> list[bool]:
            right = []
            with Client(doors[client % 2]) as door:
                for at in range(EACH):
                    number = client * EACH + at
                    result = door.trace(small(number), name=f"{number}", enhancer="none")
                    right.append(nodes(result.swc) == expected[number])
            return right

        begun = time.perf_counter()
        with ThreadPoolExecutor(CLIENTS) as pool:
            answers = [one for some in pool.map(work, range(CLIENTS)) for one in some]
        through = time.perf_counter() - begun
    direct = engine_alone()
    return [
        {
            "jobs": str(len(answers)),
            "right": str(sum(answers)),
            "jobs a second through the doors": f"{len(answers) / through:.1f}",
            "the engine alone": f"{len(answers) / direct:.1f}",
            "ratio": f"{direct / through:.2f}",
        }
    ]


def engine_alone() -> float:
    """Return the seconds of the same jobs in an engine of this process."""
    with tempfile.TemporaryDirectory(prefix="dineuro-bench-") as folder:
        settings = Settings(
            state=Path(folder), max_queue=1000, owner_jobs=1000, min_free_gib=0, devices="cpu"
        )
        engine = Engine(settings)
        engine.start()
        try:
            while not engine.ready:
                time.sleep(0.1)
            inputs = []
            for number in range(CLIENTS * EACH):
                path = Path(folder) / f"{number}.v3draw"
                write_volume(path, Volume(small(number)[None]))
                inputs.append(path.read_bytes())
            begun = time.perf_counter()
            jobs = []
            for number, data in enumerate(inputs):
                with engine.spool(LOCAL) as spool:
                    spool.write(data)
                    blob = spool.finish()
                    asked = {"name": f"{number}", "enhancer": "none"}
                    jobs.append(engine.submit(JobSpec("trace", LOCAL, blob.sha256, None, asked)))
            for job in jobs:
                ended = end_of(engine, job)
                if ended.state != "done":
                    raise RuntimeError(f"{ended.state}: {ended.error_text}")
            return time.perf_counter() - begun
        finally:
            engine.stop(drain=False)


def end_of(engine: Engine, job: Job) -> Job:
    """Wait until the job has ended, and return it."""
    changed = threading.Event()
    unsubscribe = engine.subscribe(job.id, changed.set)
    try:
        while not (latest := engine.get(job.id, job.owner)).ended:
            changed.wait()
            changed.clear()
        return latest
    finally:
        unsubscribe()


def nodes(swc: str) -> list[str]:
    """Return the lines of an SWC without its comments."""
    return [line for line in swc.splitlines() if not line.startswith("#")]


def nodes_of(voxels: np.ndarray) -> list[str]:
    """Return the nodes of the pipeline's tree."""
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "a.v3draw", Path(folder) / "a.swc"
        write_volume(path, Volume(voxels[None]))
        run_one(path, {"swc": out}, TraceOptions(enhancer="none"), lambda _: None)
        return nodes(out.read_text())


def overhead() -> list[dict[str, str]]:
    """Measure 64 MiB: in every round the pipeline in this process, and then each door."""
    rng = np.random.default_rng(1)
    voxels = np.zeros((256, 512, 512), dtype=np.uint8)
    for n in range(40):
        y, z = rng.integers(10, 500), rng.integers(10, 246)
        voxels[z - 1 : z + 2, y - 1 : y + 2, 20:490] = 180 + n
    taken: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder, server(devices="cpu") as running:
        path = Path(folder) / "large.v3draw"
        write_volume(path, Volume(voxels[None]))
        outputs = {
            part.name: Path(folder) / part.file_name("large")
            for part in PARTS.values()
            if part.is_delivered
        }
        clients = {name: Client(place) for name, place in running.doors.items()}
        for number in range(ROUNDS + 1):
            begun = time.perf_counter()
            run_one(path, outputs, TraceOptions(enhancer="none"), lambda _: None)
            seconds = {"pipeline": time.perf_counter() - begun}
            for name, client in clients.items():
                begun = time.perf_counter()
                client.trace(path, enhancer="none", reuse=False)
                seconds[name] = time.perf_counter() - begun
            for name, value in seconds.items() if number else ():  # the first round warms up
                taken.setdefault(name, []).append(value)
        for client in clients.values():
            client.close()
    alone = statistics.median(taken["pipeline"])
    return [
        {
            "64 MiB through": name,
            "seconds": f"{statistics.median(values):.2f}",
            "least to most": f"{min(values):.2f} to {max(values):.2f}",
            "more than the pipeline": f"{statistics.median(values) - alone:.2f}",
        }
        for name, values in taken.items()
    ]


def upload() -> list[dict[str, str]]:
    """Measure 1 GiB: the time until the server has the last byte."""
    voxels = np.zeros((1024, 1024, 1024), dtype=np.uint8)
    rates: dict[str, list[float]] = {}
    with server(devices="cpu", max_gib=3) as running:
        for _ in range(3):
            rates.setdefault("plain socket", []).append(voxels.nbytes / plain(voxels) / 1e6)
            for name, place in running.doors.items():
                rates.setdefault(name, []).append(voxels.nbytes / sent(place, voxels) / 1e6)
    alone = statistics.median(rates["plain socket"])
    return [
        {
            "1 GiB through": name,
            "MB/s": f"{statistics.median(values):.0f}",
            "least to most": f"{min(values):.0f} to {max(values):.0f}",
            "of a plain socket": f"{statistics.median(values) / alone:.2f}",
        }
        for name, values in rates.items()
    ]


def sent(place: str, voxels: np.ndarray) -> float:
    """Return the seconds until the server has the whole volume, and cancel its job."""
    begun, last = time.perf_counter(), 0.0

    def watch(step: Progress) -> None:
        nonlocal last
        if step.stage == "upload":
            last = time.perf_counter()
        else:
            raise Cancelled("enough")

    with Client(place) as client:
        try:
            client.trace(voxels, progress=watch, enhancer="none", reuse=False)
        except Cancelled:
            return last - begun
    raise RuntimeError("the job was done before it could be cancelled")


def plain(voxels: np.ndarray) -> float:
    """Return the seconds for the same bytes through a socket, until the other end has them."""
    listening = socket.create_server(("127.0.0.1", 0))

    def take() -> None:
        connection, _ = listening.accept()
        buffer, left = bytearray(_PIECE), voxels.nbytes
        with connection:
            while left:
                left -= connection.recv_into(buffer)
            connection.sendall(b"!")

    thread = threading.Thread(target=take)
    thread.start()
    view = voxels.data.cast("B")
    begun = time.perf_counter()
    with socket.create_connection(listening.getsockname()) as connection:
        for at in range(0, len(view), _PIECE):
            connection.sendall(view[at : at + _PIECE])
        connection.recv(1)
    seconds = time.perf_counter() - begun
    thread.join()
    listening.close()
    return seconds


def memory() -> list[dict[str, str]]:
    """Measure the largest growth of the server's process while it receives 2 GiB."""
    voxels = np.zeros((2048, 1024, 1024), dtype=np.uint8)
    lines = []
    with server(devices="cpu", max_gib=4) as running:
        for name, place in running.doors.items():
            before, most, done = running.process.memory_info().rss, 0, threading.Event()

            def watch(done: threading.Event = done) -> None:
                nonlocal most
                while not done.wait(0.01):
                    most = max(most, running.process.memory_info().rss)

            thread = threading.Thread(target=watch)
            thread.start()
            sent(place, voxels)
            done.set()
            thread.join()
            lines.append({"2 GiB through": name, "MiB more": f"{(most - before) / 2**20:.0f}"})
    return lines


PIECES = {"load": load, "overhead": overhead, "upload": upload, "memory": memory}


def main() -> None:
    """Run the parts and print Markdown."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[[], *PIECES], default=[])
    for part in parser.parse_args().parts or PIECES:
        print(as_table(PIECES[part]()), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
