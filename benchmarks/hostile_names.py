"""Files that name other files, and every file that a live server and its processes open for them.

    python -m benchmarks.hostile_names [--files 2000] [--seed 0]

An audit hook in the server, in its header processes and in its workers writes down each path that
Python opens. The uploads name files by absolute path, `../`, `file://`, the SHA-256 of another
client's upload, a FIFO, a symbolic link, in OME-XML, in other headers, in the file's name and in
the parameters. Apart from the upload, the state folder, the libraries and the system's figures
about the processes, nothing may be opened.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import re
import sys
import sysconfig
import tempfile
import urllib.parse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

import numpy as np

import dineuro
import dineuro_bridge
import dineuro_cli
import dineuro_model
import dineuro_server
import dineuro_tracing
from benchmarks.hostile import Peer, ends_of_jobs
from benchmarks.hostile_files import STACK, damaged, naming, text_naming
from benchmarks.hostile_messages import HttpInput, Known
from benchmarks.hostile_target import Outcome, Target, exchange, target
from dineuro.evaluation import as_table

#: Loaded at the start of each Python process of the server.
_HOOK = """
import json, os, sys

_log = os.open(os.environ["OPENED_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def _hook(event, arguments):
    if event in ("open", "sqlite3.connect", "ctypes.dlopen"):
        path = arguments[0]
        if isinstance(path, (str, bytes)):
            path = os.path.join(os.getcwd(), os.fsdecode(path))
            os.write(_log, (json.dumps([os.getpid(), event, path]) + "\\n").encode())

sys.addaudithook(_hook)
"""
#: The system's figures about processes and memory, and entropy.
_SYSTEM = re.compile(r"/proc/(self|\d+)/(stat|statm|status|mountinfo|cgroup|fd|task)?|/proc/\w+|"
                     r"/sys/(fs/cgroup|devices/system)/.*|/dev/(null|urandom)")  # fmt: skip
_PACKAGES = (dineuro, dineuro_bridge, dineuro_cli, dineuro_model, dineuro_server, dineuro_tracing)
_INSTALLED = (
    sys.prefix, sys.base_prefix, *sysconfig.get_paths().values(),
    *(str(Path(package.__file__ or "").parent) for package in _PACKAGES),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Watched:
    """What was opened for a number of uploads.

    Attributes:
        answers: of both doors, by status or code.
        jobs: how many ended in each way.
        opened: how many files were opened, by process.
        outside: the paths that nobody should have opened.
    """

    answers: Counter[str]
    jobs: Counter[str]
    opened: Counter[int]
    outside: Sequence[str]


def watch(files: int, seed: int) -> Watched:
    """Upload files that name other files, and return what was opened for them."""
    with tempfile.TemporaryDirectory(prefix="dineuro-names-") as name:
        folder = Path(name)
        secret = folder / "secret.ome.tif"
        secret.write_bytes(naming(random.Random(0)))
        os.mkfifo(folder / "pipe.tif")
        (folder / "link.tif").symlink_to(secret)
        (folder / "modules").mkdir()
        (folder / "modules" / "sitecustomize.py").write_text(_HOOK)
        log = folder / "opened"
        environment = {
            "OPENED_LOG": str(log),
            "PYTHONPATH": os.pathsep.join(
                [str(folder / "modules"), *filter(None, [os.environ.get("PYTHONPATH")])]
            ),
        }
        with target(locked=False, environment=environment) as where:
            return _upload(where, files, random.Random(seed), folder, log)


def _upload(where: Target, files: int, rng: random.Random, folder: Path, log: Path) -> Watched:
    """Send the files through both doors in turn."""
    outcome, state = Outcome(), where.running.state
    other = _blob(where, outcome, state)
    names = [
        str(folder / "secret.ome.tif"), "../../../secret.ome.tif", "../../secret.ome.tif",
        (folder / "secret.ome.tif").as_uri(), str(folder / "pipe.tif"), str(folder / "link.tif"),
        str(other), f"../{other.parent.name}/{other.name}", other.name,
        f"../blobs/{other.parent.name}/{other.name}", str(state / "jobs.sqlite"),
        "../jobs.sqlite", "/etc/passwd", "/proc/self/environ", "/dev/zero", "/dev/stdin",
        "..\\secret.ome.tif", "http://127.0.0.1/a.tif", "a.companion.ome",
    ]  # fmt: skip
    # What is loaded once is loaded now: the rest of the log belongs to the files.
    begin = log.stat().st_size
    known = Known()
    peer = Peer(where, outcome, known)
    for number in range(files):
        choice = rng.random()
        data = naming(rng, names) if choice < 0.6 else text_naming(rng, names)
        if choice > 0.9:
            data = damaged(rng, [data])
        if number % 2:
            peer.upload(data, f"n{number}", rng, name=rng.choice(names))
        else:
            answer, _ = exchange(where, _request(rng, data, names))
            outcome.answers["HTTP"][answer] += 1
    peer.leave(cancel=True)
    jobs = ends_of_jobs(where, outcome)
    opened: Counter[int] = Counter()
    outside = list[str]()
    with log.open() as lines:
        lines.seek(begin)
        for line in lines:
            process, event, path = json.loads(line)
            opened[process] += 1
            if not _is_allowed(path, state, other):
                outside.append(f"{event} {path}")
    return Watched(outcome.answers["HTTP"] + outcome.answers["ZeroMQ"], jobs, opened, outside)


def _blob(where: Target, outcome: Outcome, state: Path) -> Path:
    """The upload of another client; its job has ended."""
    header = b"raw_image_stack_by_hpengL" + (1).to_bytes(2, "little")
    data = header + np.array([9, 8, 6, 1], "<i4").tobytes() + STACK.tobytes()
    head = (
        f"POST /v1/trace?enhancer=none HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}"
    )
    exchange(where, HttpInput(f"{head}\r\n\r\n".encode() + data, has_answer=True))
    ends_of_jobs(where, outcome)
    digest = hashlib.sha256(data).hexdigest()
    return state / "blobs" / digest[:2] / f"{digest}.v3draw"


def _request(rng: random.Random, data: bytes, names: Sequence[str]) -> HttpInput:
    """An upload whose parameters name files too."""
    words = {"enhancer": "none", "name": rng.choice(names)}
    if rng.random() < 0.1:
        words[rng.choice(("model", "job"))] = rng.choice(names)
    kind = rng.choice(("trace", "trace", "enhance", "retrace"))
    head = f"POST /v1/{kind}?{urllib.parse.urlencode(words)} HTTP/1.1\r\nHost: localhost\r\n"
    head += f"Prefer: respond-async\r\nContent-Length: {len(data)}\r\n\r\n"
    return HttpInput(head.encode() + data, has_answer=True)


def _is_allowed(path: str, state: Path, other: Path) -> bool:
    """Whether a path belongs to the upload, the server's state, the libraries or the system."""
    real = os.path.realpath(path)
    if real == os.path.realpath(other):
        return False
    packages = (
        dineuro,
        dineuro_bridge,
        dineuro_cli,
        dineuro_model,
        dineuro_server,
        dineuro_tracing,
    )
    folders = [
        os.path.realpath(state), sys.prefix, sys.base_prefix, *sysconfig.get_paths().values(),
        *(str(Path(package.__file__ or "").parent) for package in packages),
        str(distribution("dineuro").locate_file("dineuro.egg-info")),  # of an editable install
    ]  # fmt: skip
    return _SYSTEM.fullmatch(path) is not None or any(
        Path(place).is_relative_to(os.path.realpath(each))
        for each in folders
        for place in (real, path)
    )


def main() -> None:
    """Print the table, and the paths that nobody should have opened."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    words = parser.parse_args()
    watched = watch(words.files, words.seed)
    line = {
        "uploads": str(words.files),
        "jobs": ", ".join(f"{key}: {n}" for key, n in sorted(watched.jobs.items())),
        "processes": str(len(watched.opened)),
        "files opened": str(watched.opened.total()),
        "outside": str(len(watched.outside)),
    }
    print(as_table([line]))
    for path in sorted(set(watched.outside)):
        print(f"- {path}")


if __name__ == "__main__":
    main()
