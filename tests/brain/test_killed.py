"""A run that is killed at any moment goes on, and ends with the same bytes."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.brain.conftest import run
from tests.brain.test_brain import results
from tests.support.server import PACKAGES, ROOT


@pytest.mark.slow
def test_a_killed_run_goes_on_and_has_the_same_bytes(stored: Path, tmp_path: Path) -> None:
    run(stored, tmp_path / "one")
    folder = tmp_path / "two"
    command = [sys.executable, "-c", "from dineuro_cli import main; main()", "brain", str(stored),
               str(folder), "--workers", "0", "--block", "64", "--json"]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": PACKAGES}
    driver = subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True)
    deadline = time.monotonic() + 120
    while _units(folder) < 3 and time.monotonic() < deadline:
        assert driver.poll() is None
        time.sleep(0.05)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    before = _units(folder)
    assert before >= 3
    again = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True)
    assert json.loads(again.stdout)["blocks_done"] == 4
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
