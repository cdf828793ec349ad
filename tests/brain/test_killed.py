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

from tests.brain.conftest import run
from tests.brain.test_brain import results
from tests.support.server import PACKAGES, ROOT, until

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
