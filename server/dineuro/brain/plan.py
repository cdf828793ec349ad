"""What a run will cost: the occupied blocks times what three of them took."""

from __future__ import annotations

import statistics
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dineuro.brain.run import run_stages
from dineuro.brain.stages import Run
from dineuro.brain.store.folder import Entry, Ledger, disk_bytes
from dineuro.brain.store.input import occupied_blocks
from dineuro.brain.tasks import Job
from dineuro.brain.workers import Item, Task, ThisProcess
from dineuro_bridge.progress import Progress, ProgressCallback

#: Blocks that are timed.
_TIMED = 3


@dataclass(frozen=True, slots=True)
class Estimate:
    """The cost of a run.

    Attributes:
        voxels: of the volume.
        blocks, occupied, dark: of all, those to work on, and those that show nothing.
        bytes_read: of the occupied blocks, uncompressed.
        disk_bytes: that the folder of the run will take.
        memory_bytes: of a worker.
        core_hours: of all stages.
        price: of the core-hours; None without a price.
    """

    voxels: int
    blocks: int
    occupied: int
    dark: int
    bytes_read: int
    disk_bytes: int
    memory_bytes: int
    core_hours: float
    price: float | None

    def figures(self) -> dict[str, Any]:
        """The figures for a person or for JSON."""
        plain: dict[str, Any] = {
            "voxels": self.voxels,
            "blocks": self.blocks,
            "blocks_occupied": self.occupied,
            "blocks_dark": self.dark,
            "gigabytes_read": round(self.bytes_read / 1e9, 3),
            "gigabytes_on_disk": round(self.disk_bytes / 1e9, 3),
            "gigabytes_of_memory_a_worker": round(self.memory_bytes / 1e9, 2),
            "core_hours": round(self.core_hours, 4),
        }
        return plain if self.price is None else {**plain, "price": round(self.price, 2)}


@dataclass(slots=True)
class _Clock:
    """Does tasks in this process, and keeps what each took."""

    cpu: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    peak: int = 0
    _inner: ThisProcess = field(default_factory=ThisProcess)

    def run(self, stage: str, task: Task, items: Iterable[Item]) -> Iterator[Entry]:
        """See `Workers.run`."""
        for entry in self._inner.run(stage, task, items):
            self.cpu[stage].append(entry.cpu)
            self.peak = max(self.peak, entry.peak)
            yield entry

    def rest(self) -> Iterator[Entry]:
        """See `Workers.rest`."""
        return iter(())

    def close(self) -> None:
        """See `Workers.close`."""


def estimate(job: Job, price: float, progress: ProgressCallback) -> Estimate:
    """Find the occupied blocks, and time all stages on three of them in a temporary folder.

    Args:
        job: of the run; its folder is not touched.
        price: of a core-hour; 0 for none.
        progress: called between tasks; it may raise.
    """
    blocks, dark = occupied_blocks(
        job.given, job.grid, lambda at, n: progress(Progress("plan", at, n))
    )
    places = {len(blocks) * (2 * at + 1) // (2 * _TIMED) for at in range(_TIMED)}
    sample = [blocks[at] for at in sorted(places) if at < len(blocks)]
    clock, hours, disk = _Clock(), 0.0, disk_bytes(job.grid, 0)
    if sample:
        with tempfile.TemporaryDirectory() as folder:
            run = Run(replace(job, folder=folder), clock, Ledger(Path(folder) / "ledger.sqlite"),
                      progress)  # fmt: skip
            run_stages(run, list(sample))
            run.ledger.close()
            used = sum(f.stat().st_size for f in Path(folder).rglob("*") if f.is_file())
        # The first block of a stage also loads compiled code.
        each = sum(statistics.median(times) for times in clock.cpu.values())
        hours = each * len(blocks) / 3600
        disk += used * len(blocks) / len(sample)
    voxels = len(blocks) * job.grid.edge**3
    z, y, x = job.grid.size
    return Estimate(
        z * y * x, len(job.grid), len(blocks), len(dark),
        min(voxels, z * y * x) * job.given.source().dtype.itemsize,
        int(disk), clock.peak, hours, hours * price if price else None,
    )  # fmt: skip
