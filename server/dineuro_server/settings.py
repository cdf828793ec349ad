"""What a server may be told, by `DINEURO_*` variables or the options of `dineuro serve`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import psutil
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

GIB = 2**30
#: Of the machine's memory the workers may have this share together, unless the user says else.
_MEMORY_SHARE = 0.9


def default_state() -> Path:
    """The folder `dineuro` in the user's data directory."""
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "dineuro"


def _container_memory(root: Path = Path("/sys/fs/cgroup")) -> Iterator[int]:
    """What the container may have, where it is bound: psutil knows the machine's memory alone."""
    for name in ("memory.max", "memory/memory.limit_in_bytes"):  # cgroups v2 and v1
        try:
            yield int((root / name).read_text())
        except (OSError, ValueError):  # no such file, or "max"
            continue


class Settings(BaseSettings):
    """One server's settings; safe as they are.

    Attributes:
        http: HOST:PORT that is listened at.
        zmq: tcp://HOST:PORT of the ZeroMQ door, or "off".
        keys: folder of CURVE keys, made by `dineuro keys curve`; None asks nobody.
        state: folder of the jobs, their inputs and results; one server alone may use it.
        tokens: file of hashed bearer tokens, made by `dineuro keys`; None asks nobody.
        insecure: let anyone in from anywhere.
        local: what is listened at is reached from this machine alone, whatever address it is, as in
            a container whose ports are published at loopback: nobody is asked who he is, and
            requests under another machine's name are turned away.
        devices: "auto" is one worker that takes a GPU where there is one; else a worker for each
            of a comma-separated list of "cpu" and "cuda:N".
        warm: load the network and compile before the first job.
        max_gib: of one volume in memory, and of one upload.
        max_queue: jobs that wait, of all owners.
        owner_jobs: jobs of one owner that wait or run.
        owner_gib: disk that one owner's inputs and results may take.
        min_free_gib: of the disk; below this nothing is taken in.
        keep_hours: how long a result is kept after its job has ended.
        time_limit_s: of one job; a request may ask for less.
        memory_gib: of one worker; None shares nine tenths of the machine's memory, or of its
            container's, out.
        wait_s: how long a request waits for its result before it is answered with its job.
        drain_s: how long running jobs may go on at shutdown before they are put back.
        cancel_s: after this a worker that does not heed a cancel is killed.
        log: "text" for people, "json" for machines.
        log_level: "debug", "info", "warning" or "error".
    """

    # An empty variable is none: that is how a compose file leaves one out.
    model_config = SettingsConfigDict(
        env_prefix="DINEURO_", env_ignore_empty=True, frozen=True, extra="forbid"
    )

    http: str = "127.0.0.1:8000"
    zmq: str = "tcp://127.0.0.1:5599"
    keys: Path | None = None
    state: Path = Field(default_factory=default_state)
    tokens: Path | None = None
    insecure: bool = False
    local: bool = False
    devices: str = Field(default="auto", pattern=r"^(auto|(cpu|cuda:\d+)(,(cpu|cuda:\d+))*)$")
    warm: bool = True
    max_gib: float = Field(default=16.0, gt=0, le=2**23)
    max_queue: int = Field(default=200, ge=1)
    owner_jobs: int = Field(default=50, ge=1)
    owner_gib: float = Field(default=100.0, gt=0)
    min_free_gib: float = Field(default=2.0, ge=0)
    keep_hours: float = Field(default=168.0, gt=0)
    time_limit_s: float = Field(default=3600.0, gt=0)
    memory_gib: float | None = Field(default=None, gt=0)
    wait_s: float = Field(default=60.0, ge=0)
    drain_s: float = Field(default=30.0, ge=0)
    cancel_s: float = Field(default=1.0, gt=0)
    log: Literal["text", "json"] = "text"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @property
    def device_names(self) -> tuple[str, ...]:
        """One entry a worker."""
        return tuple(self.devices.split(","))

    @property
    def max_bytes(self) -> int:
        """Bytes of one volume in memory, and of one upload."""
        return int(self.max_gib * GIB)

    @property
    def owner_bytes(self) -> int:
        """Bytes on disk of one owner."""
        return int(self.owner_gib * GIB)

    @property
    def min_free_bytes(self) -> int:
        """Bytes of the disk that stay free."""
        return int(self.min_free_gib * GIB)

    @property
    def memory_bytes(self) -> int:
        """Bytes of one worker's memory."""
        if self.memory_gib is not None:
            return int(self.memory_gib * GIB)
        total = min([psutil.virtual_memory().total, *_container_memory()])
        return int(_MEMORY_SHARE * total / len(self.device_names))
