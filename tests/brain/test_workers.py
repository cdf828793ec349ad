"""Dask's workers: what becomes of tasks that fail, or that kill their worker."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import distributed  # noqa: F401 - its defaults must be there before others are set
import pytest

from dineuro.brain.workers import DaskWorkers
from tests.support.server import PACKAGES

#: Dask leaves sockets and loops to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def crew() -> Iterator[DaskWorkers]:
    # One death is forgiven, and the second one makes a hole: each costs the start of a process.
    with dask.config.set({"distributed.scheduler.allowed-failures": 1}):
        workers = DaskWorkers(1, "4GiB")
        yield workers
        workers.close()
    gc.collect()


def mark(path: str, action: str) -> dict[str, Any]:
    """A task that dies once, always, or fails; or returns its process's number."""
    place = Path(path)
    if action == "dies" or (action == "dies once" and not place.exists()):
        place.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if action == "fails":
        raise RuntimeError("no luck")
    return {"process": os.getpid(), "threads": os.environ.get("OMP_NUM_THREADS"),
            "gpu": os.environ.get("CUDA_VISIBLE_DEVICES")}  # fmt: skip


@pytest.mark.slow
def test_a_task_is_tried_again_and_one_that_always_kills_becomes_a_hole(
    crew: DaskWorkers, tmp_path: Path
) -> None:
    actions = ["works", "dies once", "fails", "works"]
    items = [(n, (str(tmp_path / str(n)), action)) for n, action in enumerate(actions)]
    found = {entry.number: entry for entry in crew.run("mark", mark, items)}
    assert sorted(found) == [0, 1, 2, 3]
    assert (tmp_path / "1").exists()
    for number in (0, 1, 3):
        figures = found[number].figures
        assert figures is not None
        assert figures["process"] != os.getpid()
        assert figures["threads"] == "1"
    assert found[2].error == "RuntimeError: no luck"
    assert found[2].tries == 3
    poison = [(7, (str(tmp_path / "7"), "dies"))]
    (entry,) = crew.run("poison", mark, poison)
    assert entry.figures is None
    assert entry.error is not None
    assert "killed again and again" in entry.error
    (after,) = crew.run("after", mark, [(8, (str(tmp_path / "8"), "works"))])
    assert after.figures is not None


@pytest.mark.slow
def test_the_network_runs_on_workers_with_a_gpu_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker with the resource GPU stands for a GPU, which this machine need not have."""
    monkeypatch.setattr("dineuro.brain.workers.nvidia_gpus", lambda: ["0"])
    workers = DaskWorkers(1, "4GiB")
    try:
        items = [(n, (str(tmp_path / str(n)), "works")) for n in range(8)]
        found = {
            stage: {entry.figures["process"] for entry in workers.run(stage, mark, items)
                    if entry.figures}
            for stage in ("network", "enhance")
        }  # fmt: skip
        assert len(found["network"]) == 1
        assert len(found["enhance"]) == 2
        visible = {
            entry.figures["gpu"]
            for entry in workers.run("trial", mark, items) if entry.figures
        }  # fmt: skip
        assert visible == {"0"}
    finally:
        workers.close()
    gc.collect()


ALLOCATE = """
import resource, numpy as np, psutil
from dineuro.brain import workers

def task():
    for _ in range(6):
        np.ones(150_000_000, dtype=np.uint8)
    return {}

if KEEP:
    workers.keep_memory()
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
before = faults()
workers.spend(task)
print(faults() - before, psutil.Process().memory_info().rss)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc alone")
def test_a_task_keeps_its_memory_and_gives_it_back_at_its_end() -> None:
    faults, resident = {}, {}
    for keep in (False, True):
        printed = subprocess.run(
            [sys.executable, "-c", ALLOCATE.replace("KEEP", str(keep))],
            env=os.environ | {"PYTHONPATH": PACKAGES}, capture_output=True, check=True, text=True,
        ).stdout  # fmt: skip
        faults[keep], resident[keep] = map(int, printed.split())
    assert faults[True] < 0.5 * faults[False]
    assert resident[True] < resident[False] + 50_000_000
