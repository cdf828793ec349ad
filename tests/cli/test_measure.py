"""`dineuro measure`: a table, CSV or JSON, in µm where the size of a voxel is known."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

TREE = "1 1 0 0 0 1 -1\n2 3 30 0 0 1 1\n3 3 30 40 0 1 2\n4 2 30 0 25 1 2\n"


def measure(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from dineuro_cli import main; main()", "measure", *words]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture
def tree(tmp_path: Path) -> str:
    (tmp_path / "a.swc").write_text(TREE)
    return str(tmp_path / "a.swc")


def test_a_tree_is_measured_in_voxels_or_micrometres(tree: str, tmp_path: Path) -> None:
    plain = json.loads(measure(tree, "--json").stdout)
    assert (plain["unit"], plain["length"], plain["tips"]) == ("voxel", 95, 2)
    assert plain["by_type"]["2"]["length"] == 25
    scaled = json.loads(measure(tree, "--json", "--spacing", "0.5,0.5,2", "--step", "5").stdout)
    assert (scaled["unit"], scaled["length"]) == ("um", 85)
    assert scaled["sholl"]["crossings"][:4] == [1, 1, 1, 2]
    (tmp_path / "b.swc").write_text("# spacing_um_xyz 0.5 0.5 2\n" + TREE)
    (tmp_path / "c.swc").write_text("# coordinates x y z, um\n# spacing_um_xyz 0.5 0.5 2\n" + TREE)
    lines = measure(str(tmp_path / "b.swc"), str(tmp_path / "c.swc"), "--json").stdout.splitlines()
    assert [(one["unit"], one["length"]) for one in map(json.loads, lines)] == [
        ("um", 85), ("um", 95),
    ]  # fmt: skip


def test_several_trees_are_a_table_and_a_bad_one_costs_only_itself(
    tree: str, tmp_path: Path
) -> None:
    (tmp_path / "bad.swc").write_text("1 1 0 0 0 1 7\n")
    done = measure(tree, str(tmp_path / "bad.swc"), tree, "--csv")
    assert done.returncode == 3
    assert "bad.swc" in done.stderr
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["length"] for row in rows] == ["95.0", "95.0"]
    assert rows[0]["sholl_crossings"] == "1 1 1 1 1"
    shown = measure(tree).stdout
    assert "strahler" in shown
    assert "95" in shown
