"""Volumes for a browser, and the page of a batch."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dineuro.files.overview import write_overview
from dineuro.files.view import LONGEST, write_view
from dineuro_bridge.errors import BadFile, FileAccess
from dineuro_bridge.volumes.formats import write_volume
from dineuro_bridge.volumes.volume import Volume
from tests.cli.test_cli import shell
from tests.support.shapes import line, paint


def read_view(path: Path) -> tuple[np.ndarray[Any, Any], list[list[int]]]:
    raw = path.read_bytes()
    assert raw[:4] == b"DNV1"
    head = np.frombuffer(raw, "<i4", 9, 4).reshape(3, 3).tolist()
    return np.frombuffer(raw, np.uint8, offset=40).reshape(head[0]), head


def test_a_small_volume_is_shown_as_it_is(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    volume = rng.integers(0, 30, (5, 6, 7)).astype(np.uint8)
    mask = np.zeros(volume.shape, np.uint8)
    volume[2, 3, 4], mask[2, 3, 4] = 200, 255
    write_view(tmp_path / "v", volume, mask, (10, 20, 30))
    view, head = read_view(tmp_path / "v")
    assert head == [[5, 6, 7], [1, 1, 1], [10, 20, 30]]
    assert np.array_equal(view & 1, mask >> 7)
    assert view.argmax() == np.ravel_multi_index((2, 3, 4), view.shape)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_a_thin_neurite_is_not_lost_in_a_large_volume(tmp_path: Path, dtype: str) -> None:
    volume = np.random.default_rng(2).normal(20, 3, (3, 300, 700)).clip(0).astype(dtype)
    mask = np.zeros(volume.shape, np.uint8)
    volume[1, 150, 5:690], mask[1, 150, 5:690] = 120, 255
    write_view(tmp_path / "v", volume, mask, (0, 0, 0))
    view, head = read_view(tmp_path / "v")
    assert head == [[3, 150, 234], [1, 2, 3], [0, 0, 0]]
    assert max(view.shape) <= LONGEST
    line = view[1, 75, 2:229]
    assert (line & 1).all()
    assert line.min() > 200
    assert np.percentile(view, 90) < 120, "the background would hide it"


@pytest.mark.parametrize("value", [0, 7])
def test_a_volume_of_one_value(tmp_path: Path, value: int) -> None:
    volume = np.full((2, 2, 2), value, np.uint16)
    write_view(tmp_path / "v", volume, np.zeros((2, 2, 2), np.uint8), (0, 0, 0))
    assert read_view(tmp_path / "v")[0].max() <= 1


RECORD = {
    "certain": 0.9, "length": 120.4, "tips": 3, "joined_gaps": 1, "left_out": 2.6, "warnings": [],
}  # fmt: skip


def report(folder: Path, name: str, **more: Any) -> None:
    (folder / f"{name}_report.json").write_text(json.dumps(RECORD | more))


def test_a_batch_on_one_page_the_doubtful_first(tmp_path: Path) -> None:
    report(tmp_path, "good")
    report(tmp_path, "bad", certain=0.25, warnings=["only 3% <of it> is there"])
    (tmp_path / "bad_preview.png").write_bytes(b"")
    (tmp_path / "a & b_dineuro.swc").write_text("")
    report(tmp_path, "a & b", certain=0.5)
    assert write_overview(tmp_path, tmp_path / "page.html") == 3
    text = (tmp_path / "page.html").read_text()
    assert text.index("bad") < text.index("a &amp; b") < text.index("good")
    assert "only 3% &lt;of it&gt; is there" in text
    assert 'src="bad_preview.png"' in text
    assert 'href="a%20%26%20b_dineuro.swc"' in text
    assert "25.0%" in text


def test_the_batch_has_measurements_failures_views_and_a_table(tmp_path: Path) -> None:
    measured = {"unit": "um", "length": 61.5, "strahler": 3, "tortuosity": 1.25}
    view = "http://lab:8000/#/jobs/12"
    report(tmp_path, "=one", measurements=measured, doubts=[{}, {}], view=view, warnings=["so"])
    report(tmp_path, "two", view="javascript:alert(1)")
    (tmp_path / "three_failed.json").write_text('{"error": "three.tif: is <no> TIFF"}')
    assert write_overview(tmp_path, tmp_path / "report.html") == 3
    text = (tmp_path / "report.html").read_text()
    assert f'<a href="{view}">=one</a>' in text
    assert "javascript:" not in text
    assert "failed: three.tif: is &lt;no&gt; TIFF" in text
    assert text.index("three.tif") < text.index("=one")
    assert '<td class="number" data-value="61.5">62 µm</td>' in text
    assert '<td class="number" data-value="120.4">120 voxels</td>' in text
    with (tmp_path / "report.csv").open(newline="", encoding="utf-8") as file:
        table = {row["stack"]: row for row in csv.DictReader(file)}
    assert list(table) == ["three", "'=one", "two"]
    one = table["'=one"]
    assert (one["length"], one["unit"], one["strahler"], one["doubts"]) == ("61.5", "um", "3", "2")
    assert (table["three"]["error"], table["three"]["length"]) == ("three.tif: is <no> TIFF", "")


def test_a_batch_notes_what_failed_until_it_succeeds(tmp_path: Path) -> None:
    stacks, out = tmp_path / "stacks", tmp_path / "out"
    stacks.mkdir()
    neurite = paint([line((5, 8, 8), (25, 8, 8))], (16, 16, 30))
    write_volume(stacks / "good.tif", Volume(neurite[None]))
    (stacks / "bad.tif").write_bytes(b"no TIFF")
    args = ("trace", stacks, "-o", out, "--report", out, "--enhancer", "none")
    assert shell(*args).returncode == 1
    note = out / "bad_failed.json"
    assert "bad.tif" in json.loads(note.read_text())["error"]
    assert write_overview(out, out / "report.html") == 2
    (stacks / "bad.tif").write_bytes((stacks / "good.tif").read_bytes())
    assert shell(*args).returncode == 0
    assert not note.exists()


def test_the_command_and_what_it_refuses(tmp_path: Path) -> None:
    report(tmp_path, "one")
    elsewhere = tmp_path / "pages"
    elsewhere.mkdir()
    (tmp_path / "one_preview.png").write_bytes(b"")
    done = shell("report", tmp_path, "-o", elsewhere / "p.html")
    assert done.returncode == 0, done.stderr
    assert 'src="../one_preview.png"' in (elsewhere / "p.html").read_text()
    with pytest.raises(FileAccess, match="holds no report"):
        write_overview(elsewhere, elsewhere / "x.html")
    with pytest.raises(FileAccess, match="is no folder"):
        write_overview(tmp_path / "none", tmp_path / "x.html")
    for wrong in ("[]", "{}", "no json", '{"certain": "x"}'):
        (tmp_path / "two_report.json").write_text(wrong)
        with pytest.raises(BadFile, match="two_report"):
            write_overview(tmp_path, tmp_path / "x.html")
    assert not (tmp_path / "x.html").exists()
