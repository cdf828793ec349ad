"""The time of stages: in order, added up, and none for a stage that fails."""

from __future__ import annotations

import pytest

from dineuro.pipeline.stages import StageTimer


def test_times_are_recorded_in_order_and_added(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.5, 2.0, 2.25, 10.0, 10.5])
    monkeypatch.setattr("dineuro.pipeline.stages.time.perf_counter", lambda: next(clock))
    stages = StageTimer()
    for stage in ("load", "trace", "load"):
        with stages(stage):
            pass
    assert list(stages.seconds.items()) == [("load", 2.0), ("trace", 0.25)]


def test_a_stage_that_fails_has_no_time() -> None:
    stages = StageTimer()
    with pytest.raises(ValueError, match="broken"), stages("trace"):
        raise ValueError("broken")
    assert stages.seconds == {}
