"""Dask's workers: what becomes of tasks that fail, or that kill their worker."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import pytest

from dineuro.brain.workers import DaskWorkers

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
    return {"process": os.getpid(), "threads": os.environ.get("OMP_NUM_THREADS")}


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
