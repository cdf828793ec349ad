"""The page of all benchmarks: what is kept, what is measured anew, what is drawn."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from benchmarks import page
from benchmarks.page import BENCHMARKS, Benchmark, Outcome, gather, run, tables_of

TABLE = """Means.

| group | cases | F1@2 |
|---|---|---|
| lifted | 6 | 0.714 (0.459) |
| **real** | 4 | 0.770 (0.450) |
"""


def test_every_benchmark_is_a_module() -> None:
    for one in BENCHMARKS:
        assert importlib.util.find_spec(f"benchmarks.{one.name}"), one.name


def test_tables_are_read_out_of_what_was_printed() -> None:
    (table,) = tables_of(TABLE)
    assert table[0] == ["group", "cases", "F1@2"]
    assert table[2] == ["real", "4", "0.770 (0.450)"]


def test_what_a_commit_has_measured_is_kept_and_no_other_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    one = Benchmark("accuracy", "Trees", ("DATA",), ("F1@2",))
    measured: list[str] = []

    def measure(benchmark: Benchmark) -> Outcome:
        measured.append(benchmark.name)
        return Outcome(TABLE, 2.0, "")

    for commit, times in (("a", 1), ("a", 1), ("b", 2), ("b-dirty", 3), ("b-dirty", 4)):
        monkeypatch.setattr(page, "commit", lambda commit=commit: commit)
        gather([one], tmp_path, measure)
        assert len(measured) == times, commit
    written = (tmp_path / "README.md").read_text()
    assert "0.714 (0.459)" in written
    assert "![Trees](accuracy.png)" in written
    assert (tmp_path / "accuracy.png").stat().st_size > 1000


def test_what_fails_is_said_and_measured_again(tmp_path: Path) -> None:
    one = Benchmark("nothing", "Nothing")
    (pair,) = gather([one], tmp_path, lambda it: run(it, None, tmp_path))
    assert pair[1].problem == "ended with exit code 1"
    assert "**Not measured: ended with exit code 1.**" in (tmp_path / "README.md").read_text()
    assert not (tmp_path / "nothing.txt").exists()
    assert "development data" in run(BENCHMARKS[0], None, tmp_path).problem
