"""Whether a killed `dineuro brain` ends with the same trees: 20 runs, each killed at random.

    python -m benchmarks.kills

A rendered volume of 18 blocks is traced by two Dask workers. In each run a worker, the driver or
all processes are killed at a random moment, and the same command is given again. The classical
enhancer and the network take turns. The trees must have the bytes of a run that nobody disturbed,
and work that was done must not be done again.
"""

from __future__ import annotations

import argparse
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random

import numpy as np
import psutil

from dineuro.evaluation import as_table
from dineuro_bridge.volumes import ome_zarr
from dineuro_bridge.volumes.volume import Volume
from dineuro_model.synthesis.growth import grow_tree
from dineuro_model.synthesis.rendering import RenderSettings, render

_SHAPE, _EDGE = (96, 160, 160), 64
_TARGETS = ("worker", "driver", "everything")
_ENHANCERS = ("classical", "dineuro")
#: Commands until a run must have ended, and seconds for each.
_COMMANDS, _PATIENCE = 4, 300

Rows = dict[tuple[str, int], tuple[float, float]]


def main() -> None:
    """Print a table: what was killed, when, and what became of the run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chance = Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        volume = _volume(folder)
        usual, units = {}, {}
        for enhancer in _ENHANCERS:
            _finish(_start(volume, folder / enhancer, enhancer))
            units[enhancer] = len(_rows(folder / enhancer))
            usual[enhancer] = _trees(folder / enhancer)
        rows = []
        for number in range(options.runs):
            enhancer, target = _ENHANCERS[number % 2], _TARGETS[number % 3]
            place, unit = folder / str(number), chance.randrange(units[enhancer])
            row = _disturbed(volume, place, enhancer, target, unit, chance)
            rows.append({**row, "same bytes": "yes" if _trees(place) == usual[enhancer] else "NO"})
            print(rows[-1], file=sys.stderr)
    print(as_table(rows))
    if any(row["same bytes"] == "NO" for row in rows):
        raise SystemExit(1)


def _volume(folder: Path) -> Path:
    """A neuron as OME-Zarr."""
    rng = np.random.default_rng(5)
    voxels = render(grow_tree(_SHAPE, rng), _SHAPE, rng, RenderSettings.clean()).voxels
    path = folder / "brain.ome.zarr"
    ome_zarr.write(path, Volume(voxels[None], spacing=(0.5, 0.5, 0.5)))
    return path


def _disturbed(
    volume: Path, place: Path, enhancer: str, target: str, unit: int, chance: Random
) -> dict[str, str]:
    """A run of which something is killed after some units of work, until it has ended; its row."""
    driver = _start(volume, place, enhancer)
    while len(_rows(place)) < unit and driver.poll() is None:
        time.sleep(0.02)
    time.sleep(chance.uniform(0, 0.3))
    if driver.poll() is None:
        _kill(driver, target, chance)
    before = _rows(place)
    commands = 1
    while driver.wait(_PATIENCE) != 0 and commands < _COMMANDS:
        _end_group(driver)
        commands += 1
        driver = _start(volume, place, enhancer)
    _end_group(driver)
    after = _rows(place)
    repeated = sum(after.get(unit) != cost for unit, cost in before.items())
    return {
        "enhancer": enhancer, "killed": target,
        "units done before": str(len(before)), "done again": str(repeated),
        "commands": str(commands),
    }  # fmt: skip


def _start(volume: Path, place: Path, enhancer: str) -> subprocess.Popen[bytes]:
    program = [sys.executable, "-W", "ignore", "-c", "from dineuro_cli import main; main()"]
    options = ["--workers", "2", "--block", str(_EDGE), "--enhancer", enhancer, "--json"]
    return subprocess.Popen(
        [*program, "brain", str(volume), str(place), *options],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip


def _finish(driver: subprocess.Popen[bytes]) -> None:
    if driver.wait(_PATIENCE) != 0:
        raise SystemExit("a run that nobody disturbed failed")


def _kill(driver: subprocess.Popen[bytes], target: str, chance: Random) -> None:
    if target == "everything":
        os.killpg(driver.pid, signal.SIGKILL)
    elif target == "driver":
        driver.kill()
    else:
        workers = [
            process
            for process in psutil.Process(driver.pid).children(recursive=True)
            if "spawn_main" in " ".join(_command_of(process))
        ]
        if workers:
            chance.choice(workers).kill()


def _command_of(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


def _end_group(driver: subprocess.Popen[bytes]) -> None:
    """Workers whose driver was killed end by themselves, but not at once."""
    try:
        os.killpg(driver.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _rows(place: Path) -> Rows:
    """The units of work of a ledger that are done, with their CPU-seconds and seconds."""
    path = place / "ledger.sqlite"
    if not path.exists():
        return {}
    table = sqlite3.connect(path)
    try:
        rows = table.execute("SELECT stage, number, cpu, seconds FROM work WHERE state = 'done'")
        return {(stage, number): (cpu, seconds) for stage, number, cpu, seconds in rows}
    except sqlite3.OperationalError:
        return {}
    finally:
        table.close()


def _trees(place: Path) -> dict[str, bytes]:
    """The bytes of all trees of a run."""
    paths = [place / "all.swc", place / "neurons.csv", *sorted(place.glob("neurons/*.swc"))]
    return {path.name: path.read_bytes() for path in paths}


if __name__ == "__main__":
    main()
