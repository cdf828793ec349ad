"""The tracing benchmark: peers measured in processes of their own, failures counted, tables."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from benchmarks.peers import Command, as_tree, run_command, run_tracer
from benchmarks.tracing import (
    Outcome,
    box_size,
    by_case,
    cases_in,
    grown_mask,
    judged,
    summary,
    write_plot,
)

from dineuro.evaluation import Case
from dineuro_bridge.errors import BadParameter, FileAccess
from dineuro_bridge.trees.swc import write_swc
from dineuro_bridge.volumes.formats import write_volume
from dineuro_bridge.volumes.volume import Volume
from tests.support.shapes import chain, line, paint

SHAPE = (20, 40, 60)
PATH = line((8, 20, 10), (52, 20, 10))


@pytest.fixture
def case(tmp_path: Path) -> Case:
    """A stack with one line, and its tree."""
    write_volume(tmp_path / "a.tif", Volume(paint([PATH], SHAPE)[None]))
    write_swc(tmp_path / "a.swc", chain(PATH))
    return cases_in(tmp_path, "held-out")[0]


def outcome(method: str, f1: float, esa: float | None, error: str = "") -> Outcome:
    return Outcome("a", "g", method, esa, esa, esa, f1, f1, 2.0, 3_000_000, 10, error)


def test_stacks_without_a_tree_beside_them_are_no_cases(case: Case, tmp_path: Path) -> None:
    write_volume(tmp_path / "b.tif", Volume(paint([PATH], SHAPE)[None]))
    assert [c.name for c in cases_in(tmp_path, "held-out")] == ["a"]
    assert case.gold == tmp_path / "a.swc"
    (tmp_path / "a.swc").unlink()
    with pytest.raises(FileAccess, match="no stack"):
        cases_in(tmp_path, "held-out")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["DINeuro", "DINeuro (all pieces)", "kimimaro"])
def test_a_tracer_is_measured_in_a_process_of_its_own(
    name: str, case: Case, tmp_path: Path
) -> None:
    if name == "kimimaro":
        pytest.importorskip("kimimaro")
    saved = tmp_path / "probability.npy"
    np.save(saved, paint([PATH], SHAPE))
    run = run_tracer(name, saved, (1.0, 1.0, 1.0), tmp_path)
    assert run.error == ""
    assert run.seconds > 0
    assert judged(case, name, run, 1).f1_2 > 0.95


def test_a_tracer_that_finds_nothing_has_failed_and_counts_as_0(case: Case, tmp_path: Path) -> None:
    saved = tmp_path / "probability.npy"
    np.save(saved, np.zeros(SHAPE, dtype=np.uint8))
    run = run_tracer("DINeuro", saved, (1.0, 1.0, 1.0), tmp_path)
    assert run.error == "the tree is empty"
    result = judged(case, "ours", run, 1)
    assert (result.f1_2, result.esa) == (0.0, None)


def test_a_program_gets_its_files_and_its_tree_is_read(case: Case, tmp_path: Path) -> None:
    assert case.gold is not None
    copy = Command.parse(f"copy=cp {case.gold} {{swc}} --suffix={{volume}}")
    run = run_command(copy, case.volume, tmp_path / "mask.tif", tmp_path)
    assert run.error == ""
    assert 0 < run.peak < 50_000_000  # cp's memory, and not this process's
    assert judged(case, "copy", run, 1).f1_2 == 1.0


def test_programs_that_fail_say_why(case: Case, tmp_path: Path) -> None:
    def error_of(script: str, seconds: float = 60) -> str:
        line = f"x={sys.executable} -S -c '{script}' {{volume}} {{swc}}"
        return run_command(Command.parse(line), case.volume, case.volume, tmp_path, seconds).error

    assert error_of('import sys; sys.exit("no licence")') == "exit 1: no licence"
    assert "tree.swc" in error_of("pass")  # it wrote no tree
    assert error_of("import time; time.sleep(60)", 0.5) == "took more than 0.5 s"


@pytest.mark.parametrize("text", ["x", "=a {volume} {swc}", "x=a {volume}", "x=a {swc}"])
def test_a_peer_that_cannot_be_run_is_refused(text: str) -> None:
    with pytest.raises(BadParameter, match="NAME=COMMAND"):
        Command.parse(text)


def test_points_and_edges_in_any_order_become_a_forest() -> None:
    xyz = np.array([[0, 0, 0], [3, 0, 0], [1, 0, 0], [2, 0, 0], [9, 9, 9]], dtype=np.float32)
    tree = as_tree(xyz, np.ones(5), np.array([[3, 1], [2, 3], [0, 2]], dtype=np.uint32))
    assert tree.n_trees == 2
    assert tree.length == 3
    assert tree.xyz[tree.roots].tolist() == [[0, 0, 0], [9, 9, 9]]


def test_means_are_over_all_cases_and_failures_stand_in_the_table() -> None:
    rows = [outcome("ours", 0.9, 1.0), outcome("ours", 0.0, None, "died")]
    assert summary(rows) == [
        {
            "group": "g", "method": "ours", "cases": "2", "ESA": "1.00", "DSA": "1.00",
            "PDS": "1.000", "F1@2": "0.450 (0.000)", "F1@4": "0.450 (0.000)",
            "seconds": "2.00", "peak, MB": "3", "failed": "1",
        }
    ]  # fmt: skip
    assert by_case([rows[0], outcome("theirs", 0, None, "died")]) == [
        {"F1@2 of": "a", "ours": "0.900", "theirs": "failed"}
    ]


def test_the_plot_is_a_picture_also_where_all_of_a_method_failed(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    rows = [outcome("ours", 0.9, 1.0), outcome("theirs", 0.0, None, "died")]
    write_plot(tmp_path / "plot.png", rows)
    assert (tmp_path / "plot.png").read_bytes()[:4] == b"\x89PNG"


def test_grown_masks_have_the_share_asked_for_and_are_the_same_again() -> None:
    mask = grown_mask(64, 0.03, 1)
    assert 0.0285 <= np.count_nonzero(mask) / mask.size < 0.04
    assert np.array_equal(mask, grown_mask(64, 0.03, 1))
    assert box_size(np.zeros((2, 3, 4), dtype=np.bool_)) == 0
    assert box_size(paint([PATH], SHAPE, radius=1) > 0) == 3 * 3 * 47


def test_the_empty_tree_of_no_skeleton() -> None:
    assert len(as_tree(np.zeros((0, 3)), np.zeros(0), np.zeros((0, 2)))) == 0
