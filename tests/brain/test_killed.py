"""A run that is killed at any moment, or loses a worker, ends with the same bytes."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from dineuro_bridge.options import TraceOptions
from tests.brain.conftest import run
from tests.brain.test_brain import results
from tests.support.server import PACKAGES, ROOT, until

NETWORK = TraceOptions(enhancer="dineuro")
ENVIRONMENT = os.environ | {"PYTHONPATH": PACKAGES}


def command_line(stored: Path, folder: Path, workers: int) -> list[str]:
    program = [sys.executable, "-c", "from dineuro_cli import main; main()", "brain"]
    options = ["--workers", str(workers), "--block", "64", "--json"]
    return [*program, str(stored), str(folder), *options]


@pytest.mark.slow
def test_a_killed_run_goes_on_and_has_the_same_bytes(stored: Path, tmp_path: Path) -> None:
    run(stored, tmp_path / "one")
    folder = tmp_path / "two"
    command = command_line(stored, folder, workers=0)
    driver = subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, start_new_session=True)
    deadline = time.monotonic() + 120
    while _units(folder) < 3 and time.monotonic() < deadline:
        assert driver.poll() is None
        time.sleep(0.05)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    before = _units(folder)
    assert before >= 3
    again = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, check=True)
    assert json.loads(again.stdout)["blocks_done"] == 4
    assert results(folder) == results(tmp_path / "one")


@pytest.mark.slow
def test_a_run_on_a_cluster_that_loses_a_worker_has_the_same_bytes(
    stored: Path, tmp_path: Path
) -> None:
    run(stored, tmp_path / "one")
    folder = tmp_path / "two"
    with subprocess.Popen(
        command_line(stored, folder, workers=2),
        cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True,
    ) as driver:  # fmt: skip
        until(lambda: _units(folder) >= 2, 120, "the first blocks")
        spawned = [
            process
            for process in psutil.Process(driver.pid).children(recursive=True)
            if "spawn_main" in " ".join(process.cmdline())
        ]
        spawned[0].kill()
        printed = driver.communicate(timeout=200)[0]
    assert driver.returncode == 0
    assert json.loads(printed)["blocks_done"] == 4
    assert results(folder) == results(tmp_path / "one")


@pytest.mark.slow
def test_a_run_on_a_cluster_at_hand_has_the_same_bytes(stored: Path, tmp_path: Path) -> None:
    """A scheduler and a worker that others started; the network goes to the one with a GPU."""
    run(stored, tmp_path / "one", NETWORK)
    address = tmp_path / "scheduler.json"
    dask = [sys.executable, "-m"]
    scheduler = [*dask, "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0",
                 "--no-dashboard", "--scheduler-file", str(address)]  # fmt: skip
    worker = [*dask, "distributed.cli.dask_worker", "--scheduler-file", str(address),
              "--nthreads", "1", "--no-dashboard", "--death-timeout", "60"]  # fmt: skip
    quiet = {"cwd": tmp_path, "env": ENVIRONMENT, "stderr": subprocess.DEVNULL}
    started = [subprocess.Popen(scheduler, **quiet)]  # type: ignore[call-overload]
    try:
        started += [
            subprocess.Popen([*worker, *more], **quiet)  # type: ignore[call-overload]
            for more in ([], ["--resources", "GPU=1"])
        ]
        until(address.exists, 60, "the scheduler")
        place = json.loads(address.read_bytes())["address"]
        command = command_line(stored, tmp_path / "two", workers=2)
        subprocess.run(
            [*command, "--enhancer", "dineuro", "--scheduler", place],
            cwd=ROOT, env=ENVIRONMENT, capture_output=True, check=True, timeout=200,
        )  # fmt: skip
    finally:
        for process in started:
            process.terminate()
            process.wait()
    assert results(tmp_path / "two") == results(tmp_path / "one")


def _units(folder: Path) -> int:
    """The units of work that a ledger holds."""
    place = folder / "ledger.sqlite"
    if not place.exists():
        return 0
    table = sqlite3.connect(f"file:{place}?mode=ro", uri=True)
    try:
        return int(table.execute("SELECT COUNT(*) FROM work").fetchone()[0])
    except sqlite3.OperationalError:
        return 0
    finally:
        table.close()
