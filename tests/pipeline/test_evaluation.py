"""Scores of masks by hand, manifests, and what an evaluation makes of them."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest

from dineuro.evaluation import as_table, evaluate, read_manifest, summary, write_rows
from dineuro_bridge.errors import BadFile, Cancelled
from dineuro_bridge.options import TraceOptions
from dineuro_bridge.progress import Progress
from dineuro_bridge.trees.swc import write_swc
from dineuro_bridge.volumes.formats import write_volume
from dineuro_bridge.volumes.volume import Volume
from dineuro_model.mask_scores import MaskScores, cldice, dice, hd95, line_shares, score_masks
from tests.support.shapes import chain, line, paint

SHAPE = (20, 40, 60)
PATH = line((8, 20, 10), (52, 20, 10))
VOXELS = paint([PATH], SHAPE)
NONE = TraceOptions(enhancer="none")


def block(z: slice, y: slice, x: slice) -> np.ndarray:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[z, y, x] = True
    return mask


def test_scores_of_blocks_that_are_shifted_are_those_by_hand() -> None:
    a = block(slice(5, 10), slice(10, 20), slice(10, 30))
    b = block(slice(5, 10), slice(10, 20), slice(15, 35))
    assert dice(a, b) == pytest.approx(15 / 20)
    assert hd95(a, b) == pytest.approx(5)
    assert hd95(a, b, (1, 1, 3)) == pytest.approx(15)
    assert score_masks(a, a) == MaskScores(1, 1, 0)


def test_a_few_voxels_far_away_do_not_move_hd95_but_a_tenth_does() -> None:
    thick = block(slice(5, 10), slice(10, 20), slice(10, 50))
    speck = thick | block(slice(18, 19), slice(38, 39), slice(0, 1))
    assert hd95(speck, thick) == 0
    wing = thick | block(slice(5, 10), slice(10, 20), slice(50, 60))
    assert hd95(wing, thick) > 4


def test_cldice_looks_at_lines_and_not_at_thickness() -> None:
    thin = paint([PATH], SHAPE, radius=1) > 0
    thick = paint([PATH], SHAPE, radius=3) > 0
    assert cldice(thin, thick) == pytest.approx(1, abs=0.03)
    assert dice(thin, thick) < 0.6
    half = thin.copy()
    half[:, :, 30:] = False
    assert cldice(half, thick) == pytest.approx(2 * 0.5 / 1.5, abs=0.06)
    # Labels of half the neurite: all of it is found, and half of what is found counts as wrong.
    right, found = line_shares(thick, half)
    assert right == pytest.approx(0.5, abs=0.06)
    assert found == 1
    assert line_shares(half, thick)[::-1] == pytest.approx((right, found), abs=0.06)
    assert line_shares(half, half & False) == (0, 0)


def test_empty_masks_and_voxels_that_do_not_count() -> None:
    nothing, something = np.zeros(SHAPE, dtype=bool), VOXELS > 0
    assert score_masks(nothing, nothing) == MaskScores(1, 1, 0)
    missed = score_masks(nothing, something)
    assert (missed.dice, missed.cldice) == (0, 0)
    assert missed.hd95 == pytest.approx(math.sqrt(20**2 + 40**2 + 60**2))
    right = something | block(slice(0, 3), slice(0, 5), slice(0, 9))
    known = ~block(slice(0, 4), slice(0, 6), slice(0, 10))
    assert score_masks(right, something, known) == MaskScores(1, 1, 0)


def test_two_voxels_that_thinning_wipes_out_are_their_own_skeleton() -> None:
    two = block(slice(3, 4), slice(3, 4), slice(3, 5))
    assert cldice(two, two) == 1


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    write_volume(tmp_path / "good.tif", Volume(VOXELS[None]))
    write_volume(tmp_path / "two.tif", Volume(np.stack([np.zeros_like(VOXELS), VOXELS])))
    labels = np.where(VOXELS > 0, 2, 1).astype(np.uint8)
    labels[:, :5] = 0
    write_volume(tmp_path / "labels.tif", Volume(labels[None]))
    write_volume(tmp_path / "small.tif", Volume(labels[None, 3:]))
    write_swc(tmp_path / "gold.swc", chain(PATH))
    path = tmp_path / "cases.csv"
    path.write_text(
        "name,group,volume,mask,gold,channel,neurite,unknown,notes\n"
        "first,a,good.tif,labels.tif,gold.swc,,2,0,\n"
        ",a,two.tif,,gold.swc,2,,,\n"
        "none,a,good.tif,,,,,,left out\n"
        "lost,b,missing.tif,labels.tif,,,2,,\n"
        "other,b,good.tif,small.tif,gold.swc,,2,,\n"
    )
    return path


def test_every_case_is_judged_and_one_that_fails_counts_as_nothing(
    manifest: Path, tmp_path: Path
) -> None:
    steps: list[Progress] = []
    rows = evaluate(read_manifest(manifest), NONE, steps.append)
    assert [row.name for row in rows] == ["first", "two", "lost", "other"]
    assert (steps[0].done, steps[-1].done, steps[-1].total) == (0, 4, 4)
    first, two, lost, other = rows
    assert (first.dice, first.cldice, first.hd95) == (1, 1, 0)
    assert first.f1_2 is not None
    assert first.f1_2 > 0.95
    assert (two.dice, two.f1_2) == (None, first.f1_2)
    assert (lost.dice, lost.cldice, lost.hd95, lost.f1_2) == (0, 0, None, None)
    assert "missing.tif: cannot be read" in lost.error
    assert (other.dice, other.f1_4) == (0, 0)
    assert "small.tif: has (17, 40, 60) voxels" in other.error
    a, b = summary(rows)
    assert (a["cases"], a["failed"], a["Dice"], a["HD95"]) == ("2", "0", "1.000 (1.000)", "0.00")
    assert (b["cases"], b["failed"], b["Dice"], b["ESA"]) == ("2", "2", "0.000 (0.000)", "-")
    assert len(as_table([a, b]).splitlines()) == 4
    write_rows(tmp_path / "rows.csv", rows)
    with (tmp_path / "rows.csv").open() as file:
        written = list(csv.DictReader(file))
    assert written[0]["dice"] == "1.0000"
    assert written[1]["dice"] == ""


def test_cancelling_an_evaluation_passes_through(manifest: Path) -> None:
    def stop(step: Progress) -> None:
        if step.done:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        evaluate(read_manifest(manifest), NONE, stop)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("image,mask\na.tif,b.tif\n", "no column 'volume'"),
        ("volume,mask\n", "no line has a volume"),
        ("volume,mask,channel\na.tif,b.tif,x\n", "line 2: invalid literal"),
        ("volume,mask,neurite\na.tif,b.tif,2\na.tif,b.tif,two\n", "line 3: invalid literal"),
    ],
)
def test_manifests_that_make_no_sense_name_the_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "cases.csv"
    path.write_text(text)
    with pytest.raises(BadFile, match=f"cases.csv: .*{said}"):
        read_manifest(path)


def test_the_command_prints_a_table_and_names_what_failed(
    manifest: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from dineuro_cli import main

    out, plot = manifest.with_name("out.csv"), manifest.with_name("plot.png")
    words = ["dineuro", "evaluate", str(manifest), "--enhancer", "none", "-o", str(out)]
    monkeypatch.setattr("sys.argv", [*words, "--plot", str(plot)])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 1
    captured = capsys.readouterr()
    assert captured.out.startswith("| group | cases | failed |")
    assert "missing.tif" in captured.err
    assert len(out.read_text().splitlines()) == 5
    assert plot.read_bytes().startswith(b"\x89PNG")
    monkeypatch.setattr("sys.argv", [*words, "--json"])
    with pytest.raises(SystemExit):
        main()
    first = json.loads(capsys.readouterr().out.splitlines()[0])
    assert (first["name"], first["dice"]) == ("first", 1.0)
