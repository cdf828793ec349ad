"""The folder of a run: what it is about, what is done, and the files of the stages.

OUT/run.json            version, input, parameters; another run is refused
OUT/ledger.sqlite       every block and tree of every stage; the driver alone writes it
OUT/work/STAGE/N.npz    what the stages hand on
OUT/probability.ome.zarr, mask.ome.zarr, neurons/, all.swc, neurons.csv, report.json, …
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dineuro.brain.store.grid import Grid
from dineuro_bridge.errors import BadParameter, FileAccess, QuotaExceeded
from dineuro_bridge.files import reading, reason, write_record

#: Bytes on disk for each voxel of an occupied block, for the pieces of the network's tiles, and for
#: the rest. Rendered volumes took two thirds of it.
_BYTES_PER_VOXEL, _PIECES_PER_VOXEL, _BASE_BYTES = 0.6, 3.9, 20_000_000
#: Seconds after which a run that is too large for its owner may be tried again.
_RETRY_S = 3600
_SCHEMA = """
CREATE TABLE IF NOT EXISTS work (
    stage TEXT, number INTEGER, state TEXT, inputs TEXT, tries INTEGER, error TEXT,
    cpu REAL, seconds REAL, peak INTEGER, figures TEXT, PRIMARY KEY (stage, number)
)
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One unit of work that was tried.

    Attributes:
        stage, number: which one.
        figures: what it returned; None where it failed.
        error: the sentence of its failure.
        tries: how often it was tried in this run of the command.
        cpu, seconds: of the last try.
        peak: bytes of the memory that its process had at most.
    """

    stage: str
    number: int
    figures: dict[str, Any] | None
    error: str | None = None
    tries: int = 1
    cpu: float = 0.0
    seconds: float = 0.0
    peak: int = 0


class Ledger:
    """The table of the work that is done; a line is written when its files are in place."""

    def __init__(self, path: Path) -> None:
        try:
            self._table = sqlite3.connect(path)
            self._table.execute("PRAGMA journal_mode=WAL")
            self._table.execute("PRAGMA synchronous=NORMAL")
            self._table.execute(_SCHEMA)
        except sqlite3.DatabaseError as error:
            raise FileAccess(f"{path}: is no ledger of a run ({error}): remove it") from error

    def record(self, entry: Entry, inputs: str) -> None:
        """Write what became of a unit of work, with a digest of what it was made from."""
        state = "failed" if entry.figures is None else "done"
        with self._table:
            self._table.execute(
                "INSERT OR REPLACE INTO work VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (entry.stage, entry.number, state, inputs, entry.tries, entry.error, entry.cpu,
                 entry.seconds, entry.peak, json.dumps(entry.figures)),
            )  # fmt: skip

    def done(self, stage: str, inputs: str) -> dict[int, dict[str, Any]]:
        """The figures of the work of a stage that is done with these inputs."""
        rows = self._table.execute(
            "SELECT number, figures FROM work WHERE stage = ? AND inputs = ? AND state = 'done'",
            (stage, inputs),
        )
        return {number: json.loads(figures) for number, figures in rows}

    def costs(self) -> dict[str, dict[str, float]]:
        """By stage, the units, CPU-seconds and the greatest peak of memory in bytes."""
        rows = self._table.execute(
            "SELECT stage, COUNT(*), SUM(cpu), MAX(peak) FROM work GROUP BY stage"
        )
        return {s: {"units": n, "cpu_seconds": round(c, 1), "peak_bytes": p} for s, n, c, p in rows}

    def close(self) -> None:
        """Close the file."""
        self._table.close()


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The files of a run.

    Attributes:
        path: of the folder.
    """

    path: Path

    def stage(self, name: str, number: int, suffix: str = ".npz") -> Path:
        """The file of one unit of work, in folders of a thousand."""
        folder = self.path / "work" / name / f"{number // 1000:05d}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{number}{suffix}"

    def drop(self, stage: str) -> None:
        """Remove the files of a stage that no later one reads."""
        shutil.rmtree(self.path / "work" / stage, ignore_errors=True)

    def shared(self, name: str) -> Path:
        """A file that all units of a stage read."""
        (self.path / "work").mkdir(exist_ok=True)
        return self.path / "work" / name

    @property
    def probability(self) -> Path:
        """The enhanced volume."""
        return self.path / "probability.ome.zarr"

    @property
    def mask(self) -> Path:
        """The voxels that reach the threshold."""
        return self.path / "mask.ome.zarr"

    def check_room(
        self, grid: Grid, n_blocks: int, *, network: bool = False, most: int | None = None
    ) -> None:
        """Refuse a run of so many occupied blocks that the disk has no room for.

        A run that has its report once needed its room then.

        Args:
            grid: the blocks.
            n_blocks: those to work on.
            network: whether the pieces of its tiles are stored.
            most: bytes that the folder may take; None is what the disk has.

        Raises:
            FileAccess: there is too little room.
            QuotaExceeded: the run needs more than `most`.
        """
        if (self.path / "report.json").exists():
            return
        whole = disk_bytes(grid, n_blocks, network=network)
        if most is not None and whole > most:
            raise QuotaExceeded(
                f"the run needs about {whole / 1e9:.1f} GB, and {most / 1e9:.1f} GB of your limit "
                "are left: delete jobs that you no longer need", _RETRY_S,
            )  # fmt: skip
        used = sum(f.stat().st_size for f in self.path.rglob("*") if f.is_file())
        needed, free = whole - used, shutil.disk_usage(self.path).free
        if needed > free:
            raise FileAccess(
                f"{self.path}: the run needs about {needed / 1e9:.1f} GB, and the disk has "
                f"{free / 1e9:.1f} GB: name a folder on another disk"
            )

    def begin(self, record: dict[str, Any]) -> None:
        """Make the folder, or go on in it.

        Args:
            record: of the run; another one in the folder is refused.

        Raises:
            BadParameter: the folder holds another run; the message names what differs.
            FileAccess: the folder holds other files, or cannot be made.
        """
        place = self.path / "run.json"
        record = json.loads(json.dumps({"dineuro": version("dineuro"), **record}))
        if place.exists():
            with reading(place):
                before = json.loads(place.read_bytes())
            for name in {**before, **record}:
                if before.get(name) != record.get(name):
                    raise BadParameter(
                        f"{self.path}: holds another run: {name} was {before.get(name)} and is "
                        f"{record.get(name)} now: name another folder, or remove this one"
                    )
            return
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            others = sorted(each.name for each in self.path.iterdir())
        except OSError as error:
            raise FileAccess(f"{self.path}: cannot be made: {reason(error)}") from error
        if others:
            raise FileAccess(
                f"{self.path}: holds {others[0]!r} and no run.json: name an empty folder"
            )
        write_record(place, record)


def disk_bytes(grid: Grid, n_blocks: int, *, network: bool = False) -> float:
    """About the bytes that a run of so many occupied blocks takes at most."""
    each = _BYTES_PER_VOXEL + (_PIECES_PER_VOXEL if network else 0)
    return each * n_blocks * grid.edge**3 + _BASE_BYTES
