"""Who does the tasks: this process alone, or the workers of a Dask cluster.

At most twice as many tasks as workers are on their way, so that the scheduler stays small and an
interrupt has little to wait for.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from dineuro.brain.store.folder import Entry
from dineuro_bridge.errors import (
    BadInput,
    BadParameter,
    FileAccess,
    MissingDependency,
    ServiceError,
)
from dineuro_model.inference.registry import nvidia_gpus

#: A task is tried so often before its block becomes a hole. Wrong input is not tried again.
_TRIES = 3
#: Time in which a scheduler has to answer (seconds).
_ANSWERS_S = 30
#: Tasks on their way for each worker.
_WINDOW = 2
#: The stages that run a network. Where workers have the resource GPU, only those do them.
NETWORK_STAGES = ("trial", "network")
_GPU = "GPU"

Item = tuple[int, tuple[Any, ...]]
Task = Callable[..., dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Spent:
    """What a task returned, or the sentence of its failure, and what it cost."""

    figures: dict[str, Any] | None
    error: str | None
    is_final: bool
    cpu: float
    seconds: float
    peak: int


class Workers(Protocol):
    """Does the tasks of a stage."""

    def run(self, stage: str, task: Task, items: Iterable[Item]) -> Iterator[Entry]:
        """Do a task for each item, in any order; an item is its number and the arguments.

        Raises:
            FileAccess: the disk is full, or a path cannot be written.
        """
        ...

    def rest(self) -> Iterator[Entry]:
        """What was on its way when `run` was left."""
        ...

    def close(self) -> None:
        """End what was started."""
        ...


def keep_memory() -> None:
    """Let what a task frees stay in the process, until `return_memory`; glibc alone can do it.

    An array of a block is larger than what glibc keeps. The kernel would clear the pages of every
    array anew, which took a third to a half of the time. Threads that exist already do not profit.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):
        change = ctypes.CDLL(None).mallopt
        for which, value in ((_ARENA_MAX, 1), (_MMAP_THRESHOLD, 2**30), (_TRIM_THRESHOLD, 2**30)):
            change(which, value)


def return_memory() -> None:
    """Give back to the system what is free; Dask would pause a worker that seems to be full."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


#: Parameters of glibc's mallopt.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8


def spend(task: Task, *arguments: Any) -> Spent:
    """Do a task and measure it; an error becomes a sentence."""
    cpu, start = time.process_time(), time.perf_counter()
    figures, error, final = None, None, False
    try:
        figures = task(*arguments)
    except FileAccess:
        raise
    except OSError as failure:
        if failure.errno in _DISK:
            raise FileAccess(f"{arguments[0].folder}: the disk is full") from failure
        error = f"{type(failure).__name__}: {failure}"
    except BadInput as failure:
        error, final = str(failure), True
    except Exception as failure:  # noqa: BLE001 - a poison block must not end the run
        error = f"{type(failure).__name__}: {failure}"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return_memory()
    return Spent(
        figures, error, final, time.process_time() - cpu, time.perf_counter() - start, peak
    )


_DISK = (28, 122)  # ENOSPC, EDQUOT


class ThisProcess:
    """Does one task after the other, without Dask."""

    def __init__(self) -> None:
        keep_memory()

    def run(self, stage: str, task: Task, items: Iterable[Item]) -> Iterator[Entry]:
        """See `Workers.run`."""
        for number, arguments in items:
            tries, spent = 1, spend(task, *arguments)
            while spent.figures is None and not spent.is_final and tries < _TRIES:
                tries, spent = tries + 1, spend(task, *arguments)
            yield _entry(stage, number, spent, tries)

    def rest(self) -> Iterator[Entry]:
        """Nothing is ever on its way."""
        return iter(())

    def close(self) -> None:
        """There is nothing to end."""


class DaskWorkers:
    """Does tasks on a Dask cluster.

    Args:
        count: of workers on this machine, one thread each; ignored with a scheduler. Each GPU of
            NVIDIA gets one more, which has the resource GPU.
        memory: of each worker, such as "4GiB".
        scheduler: address of the scheduler of a cluster; None starts workers here.

    Raises:
        MissingDependency: Dask is not installed.
        BadParameter: the memory is no size.
        ServiceError: the scheduler does not answer.
    """

    def __init__(self, count: int, memory: str, scheduler: str | None = None) -> None:
        try:
            import distributed
            from dask.utils import parse_bytes
        except ImportError as error:
            raise MissingDependency(
                "brain: workers need Dask: pip install 'dineuro[brain]', or --workers 0 for none"
            ) from error
        logging.getLogger("distributed").setLevel(logging.ERROR)
        try:
            limit = parse_bytes(memory)
        except ValueError as error:
            raise BadParameter(f"memory {memory!r}: is no size such as 4GiB") from error
        self._cluster: Any = None
        if scheduler is None:
            self._cluster = distributed.LocalCluster(
                n_workers=count, threads_per_worker=1, memory_limit=limit, processes=True,
                dashboard_address="127.0.0.1:0", silence_logs=logging.ERROR,
            )  # fmt: skip
        try:
            self._client = distributed.Client(self._cluster or scheduler, timeout=_ANSWERS_S)
        except (OSError, TimeoutError, ValueError) as error:
            raise ServiceError(f"{scheduler}: no Dask scheduler answers there") from error

        class Memory(distributed.WorkerPlugin):
            name = "dineuro-memory"

            def setup(self, worker: Any) -> None:  # noqa: ARG002
                keep_memory()

        self._client.register_plugin(Memory())
        self._fixed = count if scheduler is None else None
        gpus = nvidia_gpus() if scheduler is None else []
        self._gpu_workers = [_gpu_worker(self._cluster.scheduler_address, gpu) for gpu in gpus]
        if gpus:
            self._client.wait_for_workers(count + len(gpus), timeout=60)
        self._resources: dict[str, float] | None = None
        self._flying: dict[Any, tuple[str, Task, Item, int]] = {}

    def run(self, stage: str, task: Task, items: Iterable[Item]) -> Iterator[Entry]:
        """See `Workers.run`."""
        source = iter(items)
        if stage in NETWORK_STAGES and self._has_gpus():
            self._resources = {_GPU: 1}
        else:
            self._resources = None
        while True:
            for item in source:
                self._submit(stage, task, item, 1)
                if len(self._flying) >= _WINDOW * self._count():
                    break
            if not self._flying:
                return
            yield from self._landed(again=True)

    def rest(self) -> Iterator[Entry]:
        """See `Workers.rest`; tasks that no worker has begun are given up."""
        processing = {key for keys in self._client.processing().values() for key in keys}
        for future in [f for f in self._flying if f.key not in processing and not f.done()]:
            del self._flying[future]
            future.cancel()
        while self._flying:
            yield from self._landed(again=False)

    def close(self) -> None:
        """End the workers that were started here."""
        for future in self._flying:
            future.cancel()
        self._client.close()
        for worker in self._gpu_workers:
            worker.terminate()
            worker.wait()
        if self._cluster is not None:
            self._cluster.close()

    def _count(self) -> int:
        """The threads of all workers; a cluster may grow."""
        return self._fixed or max(1, sum(self._client.nthreads().values()))

    def _has_gpus(self) -> bool:
        """Whether a worker has the resource GPU."""
        workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        return any(_GPU in each.get("resources", {}) for each in workers)

    def _submit(self, stage: str, task: Task, item: Item, tries: int) -> None:
        number, arguments = item
        future = self._client.submit(
            spend, task, *arguments, key=f"{stage}-{number}-{tries}-{os.urandom(4).hex()}",
            pure=False, retries=0, resources=self._resources,
        )  # fmt: skip
        self._flying[future] = stage, task, item, tries

    def _landed(self, *, again: bool) -> Iterator[Entry]:
        """What has ended, after waiting for one task at least; failures are tried again."""
        import distributed

        ended, _ = distributed.wait(list(self._flying), return_when="FIRST_COMPLETED")
        for future in sorted(ended, key=lambda each: str(each.key)):
            stage, task, item, tries = self._flying.pop(future)
            spent = _result(future)
            future.release()
            if spent.figures is None and not spent.is_final and tries < _TRIES and again:
                self._submit(stage, task, item, tries + 1)
            else:
                yield _entry(stage, item[0], spent, tries)


def _gpu_worker(address: str, gpu: str) -> subprocess.Popen[bytes]:
    """A worker process for one GPU, which ends with its scheduler."""
    program = [sys.executable, "-m", "distributed.cli.dask_worker", address]
    options = ["--nthreads", "1", "--resources", f"{_GPU}=1", "--no-dashboard",
               "--death-timeout", "30"]  # fmt: skip
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": gpu}
    return subprocess.Popen(  # noqa: S603 - the names of GPUs alone come from outside
        [*program, *options], env=environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def _result(future: Any) -> Spent:
    """What a task of the cluster gave; a worker that died with it gives a sentence.

    Raises:
        FileAccess: of the task.
    """
    if future.status == "finished":
        result: Spent = future.result()
        return result
    error = future.exception() if future.status == "error" else None
    if isinstance(error, FileAccess):
        raise error
    if type(error).__name__ == "KilledWorker":
        text = "its worker was killed again and again: is there too little memory (--memory)?"
        return Spent(None, text, True, 0.0, 0.0, 0)
    return Spent(None, f"{type(error).__name__}: {error}", False, 0.0, 0.0, 0)


def _entry(stage: str, number: int, spent: Spent, tries: int) -> Entry:
    return Entry(
        stage, number, spent.figures, spent.error, tries, spent.cpu, spent.seconds, spent.peak
    )


def start_workers(count: int, memory: str, scheduler: str | None) -> Workers:
    """The workers of a run; without a scheduler, 0 is this process alone."""
    if count == 0 and scheduler is None:
        return ThisProcess()
    if sys.platform == "win32":
        raise BadParameter("workers: Dask's workers are not tried on Windows: use --workers 0")
    return DaskWorkers(count, memory, scheduler)
