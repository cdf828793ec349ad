"""The settings of a server, from `DINEURO_*` variables or the options of `dineuro serve`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import psutil
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

GIB = 2**30
#: Share of the machine's memory for all workers together, if `memory_gib` is not set.
_MEMORY_SHARE = 0.9

#: Memory that a volume takes at most while it is traced, for each voxel, and the most voxels that
#: are traced in memory anyway.
_BYTES_PER_VOXEL, _MOST_VOXELS = 40, 2**31
#: Memory of a process that works on blocks, at least.
_WORKER_BYTES = 3 * GIB

#: Bounds of settings in hours and seconds: beyond them no date and no timer can be computed.
_CENTURY_H, _YEAR_S, _DAY_S = 876_600, 31_557_600, 86_400


def default_state() -> Path:
    """The folder `dineuro` in the user's data directory."""
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "dineuro"


def _container_memory(root: Path = Path("/sys/fs/cgroup")) -> Iterator[int]:
    """The memory limits of the container, if any: psutil knows the machine's memory only."""
    for name in ("memory.max", "memory/memory.limit_in_bytes"):  # cgroups v2 and v1
        try:
            yield int((root / name).read_text())
        except (OSError, ValueError):  # no such file, or "max"
            continue


class Settings(BaseSettings):
    """The settings of one server; the defaults are safe.

    Attributes:
        http: HOST:PORT of the HTTP door.
        zmq: tcp://HOST:PORT of the ZeroMQ door, or "off".
        keys: folder of CURVE keys, made by `dineuro keys curve`; None admits every peer.
        state: folder of the jobs, their inputs and results, for one server at a time.
        tokens: file of hashed bearer tokens, made by `dineuro keys`; None admits every client.
        watcher: owner whose token sees the figures of every owner in /metrics.
        insecure: admit every client from everywhere.
        local: declares that only this machine can reach the doors, whatever their addresses, as in
            a container whose ports are published at loopback. No keys are needed, and requests
            under another machine's name are refused.
        devices: "auto" is one worker, on a GPU if there is one; otherwise a comma-separated list
            of "cpu" and "cuda:N" with one worker each.
        warm: whether workers load the network and compile before the first job.
        max_gib: limit of one upload, and of one volume in memory.
        max_queue: queued jobs of all owners together.
        owner_jobs: queued and running jobs of one owner.
        owner_gib: disk space of one owner's inputs and results.
        min_free_gib: free disk space below which nothing is accepted.
        roots: folders whose files jobs may name by their path, separated by ":"; none by default.
        large_voxels: voxels of one channel above which a volume that a path names runs in blocks
            (docs/brain.md), and not in the memory of a worker; None is what that memory holds.
        large_workers: processes that work on the blocks, on this machine; None is one a processor
            as far as the memory allows, and 0 needs no Dask.
        large_block: edge of a block in voxels.
        large_hours: run time of a job in blocks; a request may set a lower limit.
        scheduler: tcp://HOST:PORT of the Dask cluster that works on the blocks; None starts
            processes on this machine. Its workers see the roots and `runs` under the same paths.
        runs: folder of the runs in blocks, which holds their masks as OME-Zarr; None is `runs` in
            the state folder.
        keep_hours: time that results are kept after their job has ended.
        time_limit_s: run time of one job; a request may set a lower limit.
        memory_gib: memory of one worker; None divides nine tenths of the machine's memory, or of
            its container's, between the workers.
        wait_s: time that a request waits for its result before it is answered with its job.
        drain_s: time that running jobs have at shutdown before they go back into the queue.
        cancel_s: time after a cancel until the worker is killed.
        log: "text" for people, "json" for machines.
        log_level: "debug", "info", "warning" or "error".
    """

    # A compose file leaves a variable out by an empty value.
    model_config = SettingsConfigDict(
        env_prefix="DINEURO_", env_ignore_empty=True, frozen=True, extra="forbid"
    )

    http: str = "127.0.0.1:8000"
    zmq: str = "tcp://127.0.0.1:5599"
    keys: Path | None = None
    state: Path = Field(default_factory=default_state)
    tokens: Path | None = None
    watcher: str = "prometheus"
    insecure: bool = False
    local: bool = False
    devices: str = Field(default="auto", pattern=r"^(auto|(cpu|cuda:\d+)(,(cpu|cuda:\d+))*)$")
    warm: bool = True
    max_gib: float = Field(default=16.0, gt=0, le=2**23)
    max_queue: int = Field(default=200, ge=1, le=10**6)
    owner_jobs: int = Field(default=50, ge=1, le=10**6)
    owner_gib: float = Field(default=100.0, gt=0, le=2**23)
    min_free_gib: float = Field(default=2.0, ge=0, le=2**23)
    roots: str = ""
    large_voxels: int | None = Field(default=None, ge=1)
    large_workers: int | None = Field(default=None, ge=0, le=4096)
    large_block: int = Field(default=256, ge=32, le=2048, multiple_of=8)
    large_hours: float = Field(default=168.0, gt=0, le=_YEAR_S / 3600)
    scheduler: str | None = None
    runs: Path | None = None
    keep_hours: float = Field(default=168.0, gt=0, le=_CENTURY_H)
    time_limit_s: float = Field(default=3600.0, gt=0, le=_YEAR_S)
    memory_gib: float | None = Field(default=None, gt=0, le=2**23)
    wait_s: float = Field(default=60.0, ge=0, le=_DAY_S)
    drain_s: float = Field(default=30.0, ge=0, le=_DAY_S)
    cancel_s: float = Field(default=1.0, gt=0, le=_DAY_S)
    log: Literal["text", "json"] = "text"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @property
    def device_names(self) -> tuple[str, ...]:
        """The device of each worker."""
        return tuple(self.devices.split(","))

    @property
    def root_folders(self) -> tuple[Path, ...]:
        """The folders whose files jobs may name by their path."""
        return tuple(Path(folder) for folder in self.roots.split(os.pathsep) if folder)

    @property
    def runs_folder(self) -> Path:
        """The folder of the runs in blocks."""
        return self.state / "runs" if self.runs is None else self.runs

    @property
    def most_voxels(self) -> int:
        """Voxels of one channel that are traced in memory."""
        if self.large_voxels is not None:
            return self.large_voxels
        return min(_MOST_VOXELS, self.memory_bytes // _BYTES_PER_VOXEL)

    @property
    def block_workers(self) -> tuple[int, int]:
        """How many processes work on blocks, and the memory of each (bytes)."""
        count = self.large_workers
        if count is None:
            count = max(1, min(os.cpu_count() or 1, self.memory_bytes // _WORKER_BYTES))
        return count, max(_WORKER_BYTES, self.memory_bytes // max(count, 1))

    @property
    def block_device(self) -> str:
        """The device of jobs in blocks: GPUs where the other jobs have them."""
        return "cpu" if set(self.device_names) == {"cpu"} else "auto"

    @property
    def max_bytes(self) -> int:
        """Limit of one upload, and of one volume in memory (bytes)."""
        return int(self.max_gib * GIB)

    @property
    def owner_bytes(self) -> int:
        """Disk space of one owner (bytes)."""
        return int(self.owner_gib * GIB)

    @property
    def min_free_bytes(self) -> int:
        """Disk space that stays free (bytes)."""
        return int(self.min_free_gib * GIB)

    @property
    def memory_bytes(self) -> int:
        """Memory of one worker (bytes)."""
        if self.memory_gib is not None:
            return int(self.memory_gib * GIB)
        total = min([psutil.virtual_memory().total, *_container_memory()])
        return int(_MEMORY_SHARE * total / len(self.device_names))
