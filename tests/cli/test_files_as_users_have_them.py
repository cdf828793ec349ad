"""Files as users have them, through the command line."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from dineuro_bridge.trees.swc import read_swc, write_swc
from dineuro_bridge.trees.tree import Tree
from dineuro_bridge.volumes.formats import read_volume
from dineuro_cli import main
from tests.support.shapes import line, paint
from tests.support.tiffs import ome_xml, run_xml, write_described

SHAPE = (20, 30, 50)
NOISE = np.random.default_rng(0).integers(0, 30, SHAPE)
VOXELS = np.maximum(paint([line((5, 15, 10), (45, 15, 10))], SHAPE) // 2, NOISE).astype(np.uint8)


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """The exit code of `dineuro WORDS`."""
    monkeypatch.setattr(sys, "argv", ["dineuro", *map(str, words)])
    with pytest.raises(SystemExit) as left:
        main()
    assert isinstance(left.value.code, int)
    return left.value.code


def test_a_folder_of_slices_is_traced_as_one_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, tree = tmp_path / "slices", tmp_path / "tree.swc"
    folder.mkdir()
    for number, plane in enumerate(VOXELS):
        tifffile.imwrite(folder / f"z{number}.tif", plane)
    assert run(monkeypatch, "trace", folder, "-o", tree, "--enhancer", "classical") == 3
    assert capsys.readouterr().err.count("--stack-folder") == 1
    words = ("trace", folder, "--stack-folder", "-o", tree, "--enhancer", "classical")
    assert run(monkeypatch, *words) == 0
    assert np.ptp(read_swc(tree).xyz[:, 0]) > 30
    assert run(monkeypatch, "info", folder) == 0
    assert "50 x 30 x 20" in capsys.readouterr().out
    assert run(monkeypatch, "convert", folder, tmp_path / "one.tif") == 0
    assert np.array_equal(read_volume(tmp_path / "one.tif").voxels[0], VOXELS)


def test_slices_kept_as_time_are_traced_with_the_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, axes, letter in (("t.tif", "TYX", "t"), ("c.tif", "CYX", "c")):
        path, report = tmp_path / name, tmp_path / "r.json"
        tifffile.imwrite(path, VOXELS, imagej=True, metadata={"axes": axes})
        words = ("trace", path, "-o", tmp_path / "a.swc", "--enhancer", "classical")
        assert run(monkeypatch, *words) == 3
        assert f"--z-axis {letter}" in capsys.readouterr().err
        assert run(monkeypatch, *words, "--z-axis", letter, "--report", report) == 0
        record = json.loads(report.read_text())
        assert record["shape_zyx"] == list(SHAPE)
        assert record["settings"]["z_axis"] == letter
        assert "voxel size unknown" in capsys.readouterr().err
        target = tmp_path / "whole.tif"
        assert run(monkeypatch, "convert", path, target, "--z-axis", letter) == 0
        assert np.array_equal(read_volume(target).voxels[0], VOXELS)


def test_a_set_beside_the_file_is_read_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = run_xml(0, 0, 8, "a.ome.tif", "aa") + run_xml(8, 0, 12, "b.ome.tif", "bb")
    for name, uuid, planes in (("a", "aa", VOXELS[:8]), ("b", "bb", VOXELS[8:])):
        write_described(tmp_path / f"{name}.ome.tif", planes, ome_xml(SHAPE, runs, uuid=uuid))
    assert run(monkeypatch, "info", tmp_path / "a.ome.tif", "--json") == 0
    record = json.loads(capsys.readouterr().out)
    assert record["shape_zyx"] == list(SHAPE)
    assert "b.ome.tif" in record["warnings"][0]
    assert run(monkeypatch, "convert", tmp_path / "b.ome.tif", tmp_path / "one.tif") == 0
    assert "read together with a.ome.tif" in capsys.readouterr().err
    assert np.array_equal(read_volume(tmp_path / "one.tif").voxels[0], VOXELS)


def test_gold_trees_in_micrometres(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = np.arange(40.0)
    voxels = np.stack([5 + steps, 15 + 0 * steps, 10 + 0 * steps], axis=1)
    parents, types = np.arange(-1, 39), np.full(40, 3)
    message = ("Exported; units: micron",)
    gold, test = tmp_path / "gold.swc", tmp_path / "test.swc"
    write_swc(gold, Tree(voxels / 2, np.ones(40) / 2, parents, types, message))
    write_swc(test, Tree(voxels, np.ones(40), parents, types))
    assert run(monkeypatch, "score", gold, test) == 3
    assert "--gold-spacing" in capsys.readouterr().err
    assert run(monkeypatch, "score", gold, test, "--gold-spacing", "0.5,0.5,0.5", "--json") == 0
    assert json.loads(capsys.readouterr().out)["at2"]["f1"] == 1.0
    tifffile.imwrite(tmp_path / "a.tif", VOXELS, photometric="minisblack")
    manifest = tmp_path / "m.csv"
    manifest.write_text("volume,gold\na.tif,gold.swc\n")
    words = ("evaluate", manifest, "--enhancer", "classical", "-o", tmp_path / "rows.csv")
    run(monkeypatch, *words)
    assert "--gold-spacing" in (tmp_path / "rows.csv").read_text()
    assert run(monkeypatch, *words, "--gold-spacing", "0.5,0.5,0.5") == 0
    assert "--gold-spacing" not in (tmp_path / "rows.csv").read_text()
