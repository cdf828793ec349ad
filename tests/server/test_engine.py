"""The engine's parts by themselves: whose turn it is, clocks that are set, keys that are reused."""

from __future__ import annotations

import functools
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dineuro_bridge.errors import Conflict, NotFound, QuotaExceeded
from dineuro_server.engine import Engine
from dineuro_server.jobs.admission import Quota
from dineuro_server.jobs.fair_queue import FairQueue, FairThreads
from dineuro_server.jobs.records import JobSpec
from dineuro_server.jobs.sweeper import ClockWatch
from dineuro_server.settings import Settings
from tests.support.server import until

START = b"raw_image_stack_by_hpengL\x01\x00" + np.array([4, 4, 4, 1], "<i4").tobytes()


def test_the_engine_loads_no_tracer_and_no_network() -> None:
    """The server's own process stays small: workers alone import what traces."""
    heavy = ("numba", "scipy", "skimage", "torch", "timm")
    program = f"import sys, dineuro_server.serve; print([n for n in {heavy} if n in sys.modules])"
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"


def waiting(*jobs: tuple[str, str, int]) -> Any:
    return [SimpleNamespace(id=name, owner=owner, priority=rank) for name, owner, rank in jobs]


def order(jobs: list[Any]) -> list[str]:
    queue, done = FairQueue(), []
    while (job := queue.choose(jobs)) is not None:
        jobs.remove(job)
        done.append(job.id)
    return done


def test_owners_take_turns_however_many_jobs_one_has() -> None:
    jobs = waiting(*((f"a{n}", "anna", 0) for n in range(5)), ("b0", "ben", 0), ("c0", "cem", 0))
    assert order(jobs) == ["a0", "b0", "c0", "a1", "a2", "a3", "a4"]


def test_a_priority_moves_one_s_own_jobs_and_nobody_else_s() -> None:
    jobs = waiting(("a0", "anna", 0), ("a1", "anna", 9), ("b0", "ben", -9), ("b1", "ben", -10))
    assert order(jobs) == ["a1", "b0", "a0", "b1"]


def test_calls_are_made_by_owners_in_turn_and_an_error_is_the_caller_s() -> None:
    threads, may_go, made = FairThreads(2, "test"), threading.Event(), []

    def call(name: str) -> str:
        assert may_go.wait(60)
        made.append(name)
        return name

    def named(owner: str, count: int) -> list[Future[str]]:
        names = [f"{owner}{number}" for number in range(count)]
        return [threads.submit(owner, functools.partial(call, name)) for name in names]

    many = named("anna", 20)
    few = [*named("ben", 1), *named("cem", 1)]
    wrong = threads.submit("dora", lambda: 1 / 0)
    may_go.set()
    assert [outcome.result(60) for outcome in few] == ["ben0", "cem0"]
    assert isinstance(wrong.exception(60), ZeroDivisionError)
    assert {outcome.result(60) for outcome in many} == {f"anna{n}" for n in range(20)}
    # Two of anna's had begun before the others came, and one may have begun beside them.
    assert max(made.index("ben0"), made.index("cem0")) <= 5
    threads.close()


def test_calls_that_wait_are_cancelled_at_the_end() -> None:
    threads, may_go = FairThreads(1, "test"), threading.Event()
    outcomes = [threads.submit("anna", lambda: may_go.wait(60)) for _ in range(3)]
    until(outcomes[0].running, 60, "the first call")
    ending = threading.Thread(target=threads.close)
    ending.start()
    until(outcomes[-1].cancelled, 60, "the end")
    may_go.set()
    ending.join(60)
    assert outcomes[0].result(60)
    assert outcomes[1].cancelled()


def test_a_clock_that_is_set_is_seen_and_one_that_drifts_is_not() -> None:
    wall, steady = [1000.0], [5.0]
    watch = ClockWatch(lambda: wall[0], lambda: steady[0])
    wall[0], steady[0] = wall[0] + 60.5, steady[0] + 60
    assert watch.jump() == 0
    wall[0], steady[0] = wall[0] + 86_400, steady[0] + 10
    assert watch.jump() == pytest.approx(86_390)
    assert watch.jump() == 0
    wall[0] -= 86_400
    assert watch.jump() == pytest.approx(-86_400)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """Not started: its jobs wait."""
    quotas = {"small": Quota(jobs=2, nbytes=200)}
    fresh = Engine(
        Settings(state=tmp_path, warm=False, min_free_gib=0, devices="cpu"),
        lambda owner: quotas.get(owner, Quota(100, 2**30)),
    )
    yield fresh
    fresh.stop(drain=False)


def submitted(engine: Engine, owner: str, number: int = 0, **more: Any) -> Any:
    with engine.spool(owner) as spool:
        spool.write(START + bytes([number] * 64))
        spec = JobSpec("trace", owner, spool.finish().sha256, **more)
        return engine.submit(spec)


def test_results_are_kept_as_long_as_before_after_the_clock_was_set(engine: Engine) -> None:
    job = engine.cancel(submitted(engine, "anna").id, "anna")
    assert job.expires is not None
    engine.store.shift_expiry(86_400)
    later = engine.get(job.id, "anna")
    assert later.expires == pytest.approx(job.expires + 86_400)


def test_a_key_gives_the_same_job_and_is_not_for_another_request(engine: Engine) -> None:
    first = submitted(engine, "anna", idempotency_key="k")
    assert submitted(engine, "anna", idempotency_key="k").id == first.id
    assert submitted(engine, "ben", idempotency_key="k").id != first.id
    with pytest.raises(Conflict):
        submitted(engine, "anna", number=1, idempotency_key="k")


def test_an_owner_s_quota_is_its_own(engine: Engine) -> None:
    submitted(engine, "small", 1)
    with pytest.raises(QuotaExceeded, match="bytes"):
        submitted(engine, "small", 2)
    submitted(engine, "anna", 2)
    assert engine.jobs("small")[0].state == "queued"


def test_inputs_that_nobody_needs_are_thrown_out_and_shared_ones_are_not(engine: Engine) -> None:
    one, two = submitted(engine, "anna", 3), submitted(engine, "ben", 3)
    blob = engine.store.blob(one.input).path
    for job in (one, two):
        engine.cancel(job.id, job.owner)
    engine.remove(one.id, "anna")
    assert blob.exists()
    engine.remove(two.id, "ben")
    assert not blob.exists()
    with pytest.raises(NotFound):
        engine.get(one.id, "anna")
