"""Tokens, keys, quotas, settings and figures: who may do what, for how long, and who sees it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from dineuro_bridge.errors import BadParameter, FileAccess, QuotaExceeded, Unauthorized
from dineuro_server.access.curve import client_keys, make_client_keys
from dineuro_server.access.tokens import TokenFile, add_token, read_tokens, revoke
from dineuro_server.access.uses import last_uses
from dineuro_server.engine import Engine
from dineuro_server.jobs.admission import Quota
from dineuro_server.jobs.records import Job, JobSpec
from dineuro_server.jobs.store import JobStore
from dineuro_server.settings import Settings

START = b"raw_image_stack_by_hpengL\x01\x00" + np.array([4, 4, 4, 1], "<i4").tobytes()
TODAY = datetime.now(UTC).date()


def dineuro(*words: object) -> subprocess.CompletedProcess[str]:
    program = "from dineuro_cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, words)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


def test_a_token_has_a_label_a_date_a_last_use_and_an_end(file: Path) -> None:
    token = add_token(file, "anna", label="laptop", expires=TODAY + timedelta(days=30))
    (line,) = read_tokens(file)
    assert (line.label, line.created) == ("laptop", TODAY)
    state = file.parent / "state"
    state.mkdir()
    assert last_uses(state) is None
    tokens = TokenFile(file, Settings(state=state))
    assert tokens.owner(token) == "anna"
    assert last_uses(state) == {line.sha256: TODAY}
    assert (state / "uses.json").stat().st_mode & 0o077 == 0


def test_a_last_use_is_kept_where_the_token_file_is_read_only(file: Path) -> None:
    """As in a container: the folder of the keys has only what the keys' program wrote there."""
    token = add_token(file, "anna")
    there = sorted(path.name for path in file.parent.iterdir())
    state = file.parent / "state"
    state.mkdir()
    assert TokenFile(file, Settings(state=state)).owner(token) == "anna"
    assert sorted(path.name for path in file.parent.iterdir()) == sorted([*there, "state"])
    again = TokenFile(file, Settings(state=state))
    assert again.owner(token) == "anna"
    assert list((last_uses(state) or {}).values()) == [TODAY]


def test_a_broken_file_of_uses_refuses_no_token(file: Path) -> None:
    token = add_token(file, "anna")
    (file.parent / "uses.json").write_text("[" * 100_000)
    with pytest.raises(FileAccess, match="holds no days of use"):
        last_uses(file.parent)
    assert TokenFile(file, Settings(state=file.parent)).owner(token) == "anna"
    assert list((last_uses(file.parent) or {}).values()) == [TODAY]


def test_keys_list_shows_the_last_use_that_the_server_s_state_has(file: Path) -> None:
    token, state = add_token(file, "anna"), file.parent / "state"
    words = ("keys", "list", "--tokens", file, "--state", state)
    listing = dineuro(*words)
    assert "last_use=unknown" in listing.stdout
    assert f"{state}: no server used it" in listing.stderr
    assert listing.stderr.count("\n") == 1
    JobStore(state).close()
    assert "last_use=never" in dineuro(*words).stdout
    TokenFile(file, Settings(state=state)).owner(token)
    listing = dineuro(*words)
    assert f"last_use={TODAY}" in listing.stdout
    assert listing.stderr == ""


def test_a_token_that_has_expired_is_refused_with_its_day(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = add_token(file, "anna", expires=TODAY)
    tokens = TokenFile(file, Settings(state=file.parent))
    assert tokens.owner(token) == "anna"
    monkeypatch.setattr("dineuro_server.access.tokens._today", lambda: date(2100, 1, 1))
    with pytest.raises(Unauthorized, match=f"expired on {TODAY}"):
        tokens.owner(token)
    with pytest.raises(BadParameter, match="in the past"):
        add_token(file, "anna", expires=TODAY)


def test_one_of_several_tokens_is_revoked_by_its_label_or_its_hash(file: Path) -> None:
    for label in ("laptop", "desktop", None):
        add_token(file, "anna", label=label)
    add_token(file, "ben", label="laptop")
    assert revoke(file, "anna", "laptop") == 1
    digest = next(token.sha256 for token in read_tokens(file) if token.label is None)
    assert revoke(file, "anna", digest[:12]) == 1
    assert revoke(file, "anna", digest[:12]) == 0
    assert [(t.name, t.label) for t in read_tokens(file)] == [
        ("anna", "desktop"),
        ("ben", "laptop"),
    ]


def test_tokens_of_the_earlier_form_still_count(file: Path) -> None:
    file.write_text(f"# name sha256 [jobs=N] [gib=X]\nanna {'ab' * 32} jobs=20 gib=0.5\n")
    (line,) = read_tokens(file)
    assert (line.name, line.jobs, line.gib, line.created) == ("anna", 20, 0.5, None)


def test_tokens_that_are_made_at_the_same_time_are_all_kept(file: Path) -> None:
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda n: dineuro("keys", "token", f"n{n}", "--tokens", file), range(10)))
    assert {token.name for token in read_tokens(file)} == {f"n{n}" for n in range(10)}


def test_keys_list_shows_tokens_and_curve_keys_and_says_when_there_are_none(
    file: Path, tmp_path: Path
) -> None:
    words = ("keys", "list", "--tokens", file, "--keys", tmp_path / "keys", "--state", tmp_path)
    (tmp_path / "lock").touch()
    assert dineuro(*words).stdout.count("  none") == 2
    dineuro("keys", "token", "anna", "--tokens", file, "--label", "laptop", "--expires", "2999-1-2")
    make_client_keys(tmp_path / "keys", "ben")
    (tmp_path / "keys" / "clients" / "half.key").write_text("")
    listing = dineuro(*words).stdout
    assert "anna" in listing
    assert "label=laptop" in listing
    assert f"created={TODAY}" in listing
    assert "expires=2999-01-02 last_use=never" in listing
    ((key, name),) = client_keys(tmp_path / "keys")
    assert f"{name} {key.decode()}" in listing
    once = dineuro("keys", "revoke", "anna", "--only", "laptop", "--tokens", file)
    assert once.returncode == 0
    again = dineuro("keys", "revoke", "anna", "--only", "laptop", "--tokens", file)
    assert again.returncode == 3


# Quotas


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """Not started: its jobs wait. One input of these tests has 107 bytes."""
    engine = Engine(
        Settings(state=tmp_path / "state", warm=False, min_free_gib=0, devices="cpu"),
        lambda _: Quota(jobs=10, nbytes=300),
    )
    yield engine
    engine.stop(drain=False)


def submitted(engine: Engine, number: int, **more: Any) -> Job:
    with engine.spool("anna") as spool:
        spool.write(START + bytes([number] * 64))
        return engine.submit(JobSpec("trace", "anna", spool.finish().sha256, **more))


def test_open_uploads_count_in_the_quota(engine: Engine) -> None:
    submitted(engine, 1)
    first, second = engine.spool("anna"), engine.spool("anna")
    first.write(bytes(100))
    with pytest.raises(QuotaExceeded, match="take 207 bytes"):
        second.write(bytes(100))
    with pytest.raises(QuotaExceeded):
        engine.admit("anna", 100)
    engine.admit("ben", 100)
    for spool in (first, second):
        spool.close()
    engine.admit("anna", 100)
    submitted(engine, 2)


def test_what_another_upload_has_stored_meanwhile_counts(engine: Engine) -> None:
    first, second = engine.spool("anna"), engine.spool("anna")
    second.write(bytes(1))
    with first:
        first.write(START.replace(b"\4\0\0\0\1", b"\x0c\0\0\0\1") + bytes(192))
        engine.submit(JobSpec("trace", "anna", first.finish().sha256))
    with pytest.raises(QuotaExceeded, match="take 236 bytes"):
        second.write(bytes(100))
    second.close()


def test_of_many_uploads_at_once_the_quota_admits_what_fits(engine: Engine) -> None:
    together = threading.Barrier(10)

    def upload(number: int) -> bool:
        with engine.spool("anna") as spool:
            together.wait(60)
            try:
                spool.write(START + bytes([number] * 64))
                engine.submit(JobSpec("trace", "anna", spool.finish().sha256))
            except QuotaExceeded:
                return False
            return True

    with ThreadPoolExecutor(10) as pool:
        assert sum(pool.map(upload, range(10))) == 2
    assert engine.store.usage("anna").nbytes == 214


def test_of_many_jobs_at_once_the_quota_admits_so_many(engine: Engine) -> None:
    submitted(engine, 1)
    digest = engine.jobs("anna")[0].input
    together = threading.Barrier(20)

    def submit(_: int) -> bool:
        together.wait(60)
        try:
            engine.submit(JobSpec("trace", "anna", digest))
        except QuotaExceeded:
            return False
        return True

    with ThreadPoolExecutor(20) as pool:
        assert sum(pool.map(submit, range(20))) == 9
    assert engine.store.usage("anna").jobs == 10


# Settings


@pytest.mark.parametrize(
    ("name", "value"),
    [("keep_hours", 1e9), ("drain_s", float("inf")), ("drain_s", 1e300), ("wait_s", float("nan")),
     ("time_limit_s", 1e12), ("cancel_s", float("inf")), ("max_queue", 10**30),
     ("owner_gib", float("inf")), ("memory_gib", 1e30), ("min_free_gib", float("inf"))],
)  # fmt: skip
def test_a_setting_that_cannot_be_is_refused(tmp_path: Path, name: str, value: float) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate({"state": tmp_path, name: value})


# Figures


def test_figures_tell_the_version_the_wait_and_each_owner_s_jobs(engine: Engine) -> None:
    submitted(engine, 1)
    submitted(engine, 2)
    looks = iter([False, True])
    assert engine._dispatcher.next_job(lambda: next(looks)) is not None
    assert "anna" not in engine.metrics.page(owners=False).decode()
    figures = engine.metrics.page(owners=True).decode()
    assert 'dineuro_owner_jobs{owner="anna",state="queued"} 1.0' in figures
    assert 'dineuro_owner_jobs{owner="anna",state="running"} 1.0' in figures
    assert "dineuro_queue_seconds_count 1.0" in figures
    assert 'dineuro_build_info{version="' in figures
