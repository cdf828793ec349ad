"""The queue under faults: leftovers of a kill, a locked store, a job that cannot be begun."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dineuro_bridge.errors import Conflict, TryLater
from dineuro_server.engine import Engine
from dineuro_server.jobs.records import Job, JobSpec, WorkFigures
from dineuro_server.jobs.results import PROBABILITY
from dineuro_server.settings import Settings

START = b"raw_image_stack_by_hpengL\x01\x00" + np.array([4, 4, 4, 1], "<i4").tobytes()
FIGURES = WorkFigures(nbytes=10, voxels=64, seconds={}, gpu_bytes=0)


def engine_of(state: Path) -> Engine:
    """An engine that is not started: its jobs wait."""
    return Engine(Settings(state=state, warm=False, min_free_gib=0, devices="cpu"))


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = engine_of(tmp_path)
    yield engine
    engine.stop(drain=False)


def submitted(engine: Engine, number: int = 0, **more: Any) -> Job:
    with engine.spool("anna") as spool:
        spool.write(START + bytes([number] * 64))
        return engine.submit(JobSpec("trace", "anna", spool.finish().sha256, **more))


def begun(engine: Engine) -> Job | None:
    """The job that a runner gets now; None if there is none."""
    looks = iter([False, True])
    return engine._dispatcher.next_job(lambda: next(looks))


def done(engine: Engine, job: Job) -> None:
    """Complete a running job with one file of results."""
    folder = engine.store.results.unfinished(job.id)
    folder.mkdir()
    (folder / PROBABILITY).write_bytes(b"x")
    engine._dispatcher.complete(job, FIGURES)


@contextmanager
def locked(engine: Engine) -> Iterator[None]:
    """Another program has locked the store."""
    with closing(sqlite3.connect(engine.store.folder / "jobs.sqlite")) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield


def test_results_that_a_kill_left_do_not_block_the_job_that_the_store_answers(
    engine: Engine,
) -> None:
    first = submitted(engine)
    second = submitted(engine)
    running = begun(engine)
    assert running is not None
    assert running.id == first.id
    done(engine, running)
    # A server that is killed between the rename and the record of it leaves this.
    engine.store.results.link(first.id, second.id)
    behind = submitted(engine, 1)
    assert begun(engine) is None
    answered = engine.get(second.id, "anna")
    assert (answered.state, answered.reused) == ("done", True)
    assert (engine.store.results.folder(second.id) / PROBABILITY).read_bytes() == b"x"
    following = begun(engine)
    assert following is not None
    assert following.id == behind.id


def test_results_that_cannot_be_linked_are_made_again(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = submitted(engine), submitted(engine)
    running = begun(engine)
    assert running is not None
    done(engine, running)

    def no_room(source: str, job: str) -> None:
        raise OSError(28, "no room")

    monkeypatch.setattr(engine.store.results, "link", no_room)
    again = begun(engine)
    assert again is not None
    assert (again.id, again.state) == (second.id, "running")
    assert first.id != second.id


def test_a_job_that_raises_when_it_is_begun_fails_and_the_next_one_is_done(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, behind = submitted(engine, 1), submitted(engine, 2)
    begin = engine.store.begin

    def begin_unless_broken(job_id: str) -> Job:
        if job_id == broken.id:
            raise FileExistsError(17, "there is one")
        return begin(job_id)

    monkeypatch.setattr(engine.store, "begin", begin_unless_broken)
    assert begun(engine) is None
    failed = engine.get(broken.id, "anna")
    assert (failed.state, failed.error_code) == ("failed", "internal")
    following = begun(engine)
    assert following is not None
    assert following.id == behind.id


def test_a_locked_store_is_said_to_clients_and_outlived_by_the_queue(engine: Engine) -> None:
    job = submitted(engine)
    jobs: list[Job | None] = []
    thread = threading.Thread(
        target=lambda: jobs.append(engine._dispatcher.next_job(lambda: False)), daemon=True
    )
    with locked(engine):
        thread.start()
        with pytest.raises(TryLater, match="locked by another program"):
            engine.cancel(job.id, "anna")
        assert thread.is_alive()
    thread.join(30)
    assert [one.id for one in jobs if one] == [job.id]


def test_the_end_of_a_job_is_recorded_once_the_store_is_free_again(engine: Engine) -> None:
    submitted(engine)
    job = begun(engine)
    assert job is not None
    thread = threading.Thread(target=done, args=(engine, job), daemon=True)
    with locked(engine):
        thread.start()
        thread.join(3)
        assert thread.is_alive()
    thread.join(30)
    assert engine.get(job.id, "anna").state == "done"


def test_a_cancel_is_kept_over_a_restart(tmp_path: Path) -> None:
    first = engine_of(tmp_path)
    submitted(first)
    job = begun(first)
    assert job is not None
    assert first.cancel(job.id, "anna").cancel_requested
    first.store.close()  # as a kill does
    first._admission.close()
    again = engine_of(tmp_path)
    try:
        again._dispatcher.lost(again.get(job.id, "anna"))
        assert again.get(job.id, "anna").state == "cancelled"
    finally:
        again.stop(drain=False)


def test_a_retrace_whose_source_was_deleted_fails_with_that_reason(engine: Engine) -> None:
    submitted(engine)
    source = begun(engine)
    assert source is not None
    done(engine, source)
    retrace = engine.submit(JobSpec("retrace", "anna", source=source.id))
    engine.remove(source.id, "anna")
    with pytest.raises(Conflict, match="was deleted and cannot be traced again"):
        engine._dispatcher.task(retrace)


def test_what_a_kill_in_a_deletion_leaves_is_removed_at_the_next_start(engine: Engine) -> None:
    submitted(engine)
    job = begun(engine)
    assert job is not None
    done(engine, job)
    stray = engine.store.results.folder("0" * 32)
    stray.mkdir()
    blob = engine.store.blob_path("ab" * 32, ".tif")
    blob.parent.mkdir(exist_ok=True)
    blob.write_bytes(b"x")
    engine.store.remove_strays()
    assert not stray.exists()
    assert not blob.exists()
    assert engine.store.results.folder(job.id).exists()
    assert job.input is not None
    assert engine.store.blob(job.input).path.exists()


def test_a_state_folder_is_for_its_owner_alone(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o755)
    engine_of(state).stop(drain=False)
    assert state.stat().st_mode & 0o077 == 0
    assert (state / "jobs.sqlite").stat().st_mode & 0o077 == 0


_PLACE = "ALTER TABLE jobs DROP COLUMN place;"
_CANCEL = "ALTER TABLE jobs DROP COLUMN cancel_requested;"


@pytest.mark.parametrize(
    ("version", "undo"), [(1, f"{_PLACE} DROP TABLE edits; {_CANCEL}"), (3, _PLACE)]
)
def test_a_store_of_an_earlier_schema_is_upgraded(tmp_path: Path, version: int, undo: str) -> None:
    engine = engine_of(tmp_path)
    job = submitted(engine)
    engine.stop(drain=False)
    with closing(sqlite3.connect(tmp_path / "jobs.sqlite")) as db:
        db.executescript(f"{undo} PRAGMA user_version = {version};")
    again = engine_of(tmp_path)
    try:
        found = again.get(job.id, "anna")
        assert not found.cancel_requested
        assert found.place is None
    finally:
        again.stop(drain=False)
