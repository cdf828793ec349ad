"""A live server before hostile clients; `benchmarks.hostile` sends many more inputs."""

from __future__ import annotations

import pytest
from benchmarks.hostile import FAULTS, measure
from benchmarks.hostile_names import watch
from benchmarks.hostile_target import target


@pytest.mark.slow
@pytest.mark.parametrize("locked", [False, True], ids=["open", "tokens and keys"])
def test_bad_inputs_through_both_doors_have_answers_and_leave_nothing(locked: bool) -> None:
    with target(locked=locked) as where:
        outcome = measure(where, 400, seed=7, abandoned=0)
    for door in ("HTTP", "ZeroMQ"):
        counts = outcome.answers[door]
        assert outcome.inputs[door] == 200
        assert not [key for key in counts if key.startswith(("5", "none"))], counts
        assert not [key for key in counts if key.endswith(FAULTS)], counts
        assert outcome.slowest_s[door] < 20
    assert not set(outcome.jobs) & set(FAULTS), outcome.suspects
    assert outcome.jobs["done"] > 5
    assert outcome.alive
    start, most, _ = outcome.memory
    assert most - start < 2**26
    assert outcome.spool == 0
    before, after = outcome.descriptors
    assert after - before < 20


@pytest.mark.slow
def test_no_file_that_an_upload_names_is_opened_by_any_process_of_the_server() -> None:
    watched = watch(150, seed=7)
    assert watched.outside == []
    assert watched.jobs["done"] > 20
    # The server, a process that reads headers, and a worker.
    assert len(watched.opened) >= 3
