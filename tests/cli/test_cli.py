"""The command line as a user meets it: files in, files out, errors, exit codes, pipes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from dineuro.files import outputs as places
from dineuro.files import write as batch
from dineuro_bridge.errors import BadFile
from dineuro_bridge.options import TraceOptions
from dineuro_bridge.trees.marker import read_markers
from dineuro_bridge.trees.swc import read_eswc, read_swc, swc_text, write_swc
from dineuro_bridge.volumes.formats import read_volume, write_volume
from dineuro_bridge.volumes.volume import Volume
from dineuro_cli import main
from dineuro_model.catalog import ModelInfo, list_models
from dineuro_model.network.network import Network
from dineuro_model.network.weights import load_network, save_weights
from tests.model.test_transfer import TINY
from tests.support.shapes import chain, line, paint

SHAPE = (30, 50, 90)
VOXELS = paint([line((8, 25, 15), (82, 25, 15))], SHAPE)


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    path = tmp_path / "cell.tif"
    write_volume(path, Volume(VOXELS[None], spacing=(1.0, 0.5, 0.5)))
    return path


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """The exit code of `dineuro WORDS`."""
    monkeypatch.setattr(sys, "argv", ["dineuro", *map(str, words)])
    with pytest.raises(SystemExit) as left:
        main()
    code = left.value.code
    assert isinstance(code, int)
    return code


def shell(*words: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, its output in pipes."""
    command = [sys.executable, "-c", "from dineuro_cli import main; main()"]
    return subprocess.run(
        [*command, *map(str, words)], capture_output=True, text=True, cwd=cwd, check=False
    )


def hidden(folder: Path) -> Sequence[str]:
    return [p.name for p in folder.iterdir() if p.name.startswith(".")]


def test_auto_is_the_default_and_needs_no_network_for_a_clear_stack(
    stack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = stack.parent / "r.json"
    assert run(monkeypatch, "trace", stack, "--report", report) == 0
    told = json.loads(report.read_text())
    assert told["settings"]["enhancer"] == "auto"
    assert (told["enhancer"], told["model"]) == ("classical", None)
    assert not any("network" in text for text in told["warnings"])


def test_every_result_lands_where_it_was_asked_for(
    stack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = stack.parent
    code = run(
        monkeypatch, "trace", stack, "-o", out / "t.swc", "--mask", out / "m.v3draw",
        "--report", out / "r.json", "--preview", out / "p.png", "--spacing", "1,1,1",
        "--enhancer", "dineuro",
    )  # fmt: skip
    assert code == 0
    tree = read_swc(out / "t.swc")
    assert tree.length > 60
    comments = "\n".join(tree.comments)
    for word in (
        "DINeuro ",
        "model dineuro-s1",
        "model_sha256 ",
        "image_sha256 ",
        "row_order file",
        "threshold 128",
        "0-based",
    ):
        assert word in comments
    mask = read_volume(out / "m.v3draw")
    assert mask.voxels.shape == (1, *SHAPE)
    assert set(np.unique(mask.voxels)) == {0, 255}
    report = json.loads((out / "r.json").read_text())
    assert report["nodes"] == len(tree)
    assert report["settings"]["enhancer"] == "dineuro"
    assert report["enhancer"] == "dineuro"
    assert report["settings"]["spacing_um_xyz"] == [1, 1, 1]
    assert report["shape_zyx"] == list(SHAPE)
    with Image.open(out / "p.png") as picture:
        colors = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    assert (np.ptp(colors, axis=1) > 100).any()  # the tree is drawn in colour
    assert not hidden(out)


def test_grades_and_doubts_stand_where_they_were_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = [line((8, 25, 15), (40, 25, 15)), line((52, 25, 15), (82, 25, 15))]
    stack = tmp_path / "cell.tif"
    write_volume(stack, Volume(paint(parts, SHAPE)[None]))
    code = run(
        monkeypatch, "trace", stack, "-o", tmp_path / "t.eswc", "--enhancer", "none",
        "--doubts", tmp_path / "d.marker", "--report", tmp_path / "r.json",
    )  # fmt: skip
    assert code == 0
    eswc = read_eswc(tmp_path / "t.eswc")
    names = (tmp_path / "t.eswc").read_text().split("# n type ")[1].split("\n")[0].split()
    assert names[5:] == [
        "seg_id", "level", "mode", "timestamp", "teraflyindex",
        "confidence", "probability", "contrast", "gap_share", "tortuosity",
    ]  # fmt: skip
    report = json.loads((tmp_path / "r.json").read_text())
    (segment,) = report["segments"]
    assert segment["end"] == report["nodes"] == len(eswc.tree)
    assert eswc.columns["seg_id"].tolist() == [-1] + [0] * (len(eswc.tree) - 1)
    assert eswc.columns["feature_1"][1] == pytest.approx(segment["confidence"], abs=1e-3)
    assert 0 < segment["gap_share"] < 0.3
    assert report["certain"] in (0, 1)
    (marker, *_) = read_markers(tmp_path / "d.marker")
    assert (marker.x, marker.y, marker.z) == pytest.approx((46, 25, 15), abs=3)
    assert marker.name == "1 join"
    assert marker.comment == report["doubts"][0]["says"]
    assert report["doubts"][0]["place"] == pytest.approx((marker.x, marker.y, marker.z), abs=0.1)


def test_without_o_the_tree_stands_beside_the_image(
    stack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(monkeypatch, "trace", stack) == 0
    assert len(read_swc(stack.with_name("cell_dineuro.swc"))) > 10


def test_a_pipe_gets_nothing_but_what_it_asked_for(stack: Path) -> None:
    quiet = shell("trace", stack)
    assert (quiet.returncode, quiet.stdout) == (0, "")
    assert "no soma" in quiet.stderr
    assert "\x1b" not in quiet.stderr
    text = shell("trace", stack, "-o", "-")
    assert text.stdout == stack.with_name("cell_dineuro.swc").read_text()
    line_of_json = shell("trace", stack, "--json").stdout
    assert json.loads(line_of_json)["input"] == str(stack)


def test_the_same_input_gives_the_same_bytes_again(stack: Path) -> None:
    assert shell("trace", stack, "-o", "-").stdout == shell("trace", stack, "-o", "-").stdout


def test_a_marker_file_counts_from_one_and_a_root_from_zero(
    stack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = stack.with_name("soma.marker")
    marker.write_text("##x,y,z,radius,shape,name,comment,r,g,b\n82,26,16,0,1,,,255,0,0\n")
    by_marker, by_root = stack.with_name("a.swc"), stack.with_name("b.swc")
    assert run(monkeypatch, "trace", stack, "-o", by_marker, "--marker", marker) == 0
    assert run(monkeypatch, "trace", stack, "-o", by_root, "--root", "81,25,15") == 0
    assert by_marker.read_bytes() == by_root.read_bytes()
    assert read_swc(by_root).xyz[0, 0] > 75
    assert run(monkeypatch, "trace", stack, "--root", "1,2,3", "--marker", marker) == 2


def test_a_batch_goes_on_after_a_bad_file_and_lists_it_at_the_end(
    stack: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = stack.parent
    (folder / "a_broken.tif").write_bytes(stack.read_bytes()[:300])
    write_volume(folder / "other.v3draw", Volume(VOXELS[None]))
    write_volume(folder / "cell_mask.tif", Volume(VOXELS[None]))  # a result, no input
    out = folder / "results"
    assert run(monkeypatch, "trace", folder, "-o", out, "--mask", out, "--json") == 1
    assert sorted(p.name for p in out.iterdir()) == [
        "cell_dineuro.swc", "cell_mask.v3draw", "other_dineuro.swc", "other_mask.v3draw",
    ]  # fmt: skip
    captured = capsys.readouterr()
    records = [json.loads(text) for text in captured.out.splitlines()]
    assert [Path(r["input"]).name for r in records] == ["a_broken.tif", "cell.tif", "other.v3draw"]
    assert "a_broken.tif" in records[0]["error"]
    assert captured.err.splitlines()[-2] == "dineuro: 1 of 3 inputs failed:"
    assert "a_broken.tif: truncated" in captured.err.splitlines()[-1]


def test_images_that_differ_in_their_suffix_alone_keep_it_and_masks_are_no_images(
    stack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = stack.parent
    write_volume(folder / "cell.v3draw", Volume(VOXELS[None]))
    write_volume(folder / "gone_mask.v3draw", Volume(VOXELS[None]))  # its image lies elsewhere
    again = folder / "." / "cell.tif"
    assert run(monkeypatch, "trace", folder, again, "--enhancer", "none") == 0
    assert sorted(p.name for p in folder.glob("*.swc")) == [
        "cell.tif_dineuro.swc", "cell.v3draw_dineuro.swc",
    ]  # fmt: skip


def test_results_of_two_images_under_one_name_are_refused_and_both_are_named(
    stack: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = stack.parent / "other" / stack.name
    other.parent.mkdir()
    other.write_bytes(stack.read_bytes())
    out = stack.parent / "out"
    monkeypatch.setenv("COLUMNS", "1000")
    assert run(monkeypatch, "trace", stack, other, "-o", out) == 2
    said = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert f"of {stack} and {other}" in said


def test_converting_to_a_format_without_voxel_size_says_so(
    stack: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        sys, "argv", ["dineuro", "convert", str(stack), str(stack.with_suffix(".v3draw"))]
    )
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 0
    assert "use --spacing 0.5,0.5,1 later" in capsys.readouterr().err


def test_info_goes_on_after_a_bad_file(
    stack: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = stack.with_name("bad.tif")
    bad.write_text("no picture")
    assert run(monkeypatch, "info", bad, stack, "--json") == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out)["input"] == str(stack)
    assert "bad.tif" in captured.err


def test_patterns_are_understood_without_a_shell(
    stack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_volume(stack.with_name("cell2.tif"), Volume(VOXELS[None]))
    assert run(monkeypatch, "trace", stack.parent / "cell*.tif") == 0
    assert stack.with_name("cell_dineuro.swc").exists()
    assert stack.with_name("cell2_dineuro.swc").exists()
    assert run(monkeypatch, "trace", stack.parent / "nothing*.tif") == 6


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["trace", "cell.tif", "-o", "cell.txt"], 2, "cell.txt: the swc must end with .swc"),
        (["trace", "cell.tif", "--mask", "cell.tif"], 2, "cell.tif: is an input"),
        (["trace", "cell.tif", "--mask", "m.raw5"], 2, "m.raw5: the mask must end with"),
        (["trace", "cell.tif", "--model", "none-such"], 3, "installed: dineuro-s1"),
        (["trace", "cell.tif", "--enhancer", "none", "--model", "x"], 2, "uses none"),
        (["trace", "cell.tif", "--max-gib", "inf"], 2, "--max-gib"),
        (["trace", "cell.tif", "--channel", "0"], 2, "channel"),
        (["trace", "cell.tif", "--roi", "0,0,4,90,50,5"], 3, "one slice thick"),
        (["trace", "cell.tif", "--root", "0,0,0", "--gap", "0"], 3, "cell.tif: the root lies"),
        (["trace", "cell.tif", "plane.tif", "-o", "one.swc"], 2, "name a folder for the swc"),
        (["trace", "missing.tif"], 6, "missing.tif: cannot be read"),
        (["trace", "empty.tif"], 3, "empty.tif: the file is empty"),
        (["trace", "notes.doc"], 4, "notes.doc: the suffix '.doc'"),
        (["trace", "plane.tif"], 3, "plane.tif: is a 2D image"),
        (["trace", "rgb.tif"], 3, "rgb.tif: is a colour picture"),
        (["trace", "nan.tif"], 3, "nan.tif: slice 1 (counted from 1) has 5 voxels that are NaN"),
        (["trace", "cell.tif", "--max-gib", "0.00001"], 5, "cell.tif: 90 x 50 x 30"),
        (["trace", "cell.tif", "--channel", "2"], 3, "cell.tif: has no channel 2"),
        (["trace", "cell.tif", "--roi", "0,0,0,91,5,5"], 3, "cell.tif: region 0,0,0,91,5,5"),
        (["trace", "cell.tif", "--roi", "1,2,3"], 2, "must be 6 whole numbers"),
        (["trace", "cell.tif", "--roi", "0,0,0,5.5,5,5"], 2, "whole numbers"),
        (["trace", "cell.tif", "--spacing", "1,1,0"], 2, "above 0"),
        (["trace", "cell.tif", "--root", "1,1,x"], 2, "must be 3 numbers"),
        (["trace", "cell.tif", "--threshold", "0"], 2, "threshold"),
        (["trace", "cell.tif", "-o", "cell.tif/x.swc"], 6, "cell.tif: cannot be made"),
        (["models", "cell.tif"], 3, "cell.tif: is no readable safetensors file"),
        (["train", "cycle.swc"], 3, "cycle.swc: is no TOML file"),
        (["trace", "cell.tif", "cell.tif", "plane.tif", "-o", "-"], 2, "one input"),
        (["trace"], 2, "Missing argument"),
        (["score", "cell.tif", "cycle.swc"], 3, "cell.tif: is a binary file"),
        (["score", "cycle.swc", "cycle.swc"], 3, "cycle.swc: line 2"),
        (["info", "empty.tif"], 3, "empty.tif: the file is empty"),
        (["convert", "cell.tif", "cell.tif"], 2, "cell.tif: is the input"),
        (["convert", "cell.tif", "x.raw5"], 2, "cannot be written"),
        (["convert", "cell.tif", "x.v3draw", "--compress"], 2, "--compress works with .tif"),
        (["convert", "cell.tif", "cell.png"], 4, "cell.png: the suffix '.png'"),
        (["convert", "nan.tif", "nan.v3dpbd"], 4, "nan.v3dpbd: float32"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(
    words: list[str],
    code: int,
    said: str,
    stack: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = stack.parent
    monkeypatch.chdir(folder)
    (folder / "empty.tif").touch()
    (folder / "notes.doc").write_text("x")
    (folder / "cycle.swc").write_text("1 3 0 0 0 1 -1\n2 3 0 0 0 1 3\n3 3 0 0 0 1 2\n")
    tifffile.imwrite(folder / "plane.tif", VOXELS[15], photometric="minisblack")
    tifffile.imwrite(folder / "rgb.tif", np.zeros((4, 9, 9, 3), np.uint8), photometric="rgb")
    write_volume(folder / "nan.tif", Volume(np.full((1, 2, 1, 5), np.nan, dtype=np.float32)))
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    assert run(monkeypatch, *words) == code
    # A terminal's frame may break the line.
    shown = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert said in shown
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


def test_an_empty_volume_is_an_empty_tree_and_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_volume(tmp_path / "dark.v3draw", Volume(np.zeros((1, 5, 6, 7), np.uint8)))
    assert run(monkeypatch, "trace", tmp_path / "dark.v3draw") == 0
    assert "every voxel is 0" in capsys.readouterr().err
    assert len(read_swc(tmp_path / "dark_dineuro.swc")) == 0


def test_score_prints_a_table_or_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gold, test = tmp_path / "gold.swc", tmp_path / "test.swc"
    path = line((0, 0, 0), (60, 0, 0))
    gold.write_text(swc_text(chain(path)))
    test.write_text(swc_text(chain(path + np.array([0, 3, 0]))))
    assert run(monkeypatch, "score", gold, test, "--json") == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores["esa"] == pytest.approx(3)
    assert scores["pds"] == 1
    assert (scores["at2"]["f1"], scores["at4"]["f1"]) == (0, 1)
    assert run(monkeypatch, "score", gold, test) == 0
    table = capsys.readouterr().out
    assert "ESA" in table
    assert "3.000" in table


def test_info_tells_the_header_without_the_voxels(
    stack: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "info", stack, "--json") == 0
    record = json.loads(capsys.readouterr().out)
    assert record["shape_zyx"] == list(SHAPE)
    assert record["spacing_um_xyz"] == [0.5, 0.5, 1.0]
    assert run(monkeypatch, "info", stack) == 0
    assert "90 x 50 x 30" in capsys.readouterr().out


@pytest.mark.parametrize("suffix", [".tif", ".v3draw", ".v3dpbd", ".raw", ".pbd"])
def test_convert_changes_no_sample(
    stack: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = stack.with_name("out" + suffix)
    assert run(monkeypatch, "convert", stack, target) == 0
    assert np.array_equal(read_volume(target).voxels[0], VOXELS)
    part = stack.with_name("part" + suffix)
    box = "10,20,5,50,40,25"
    assert run(monkeypatch, "convert", target, part, "--roi", box, "--channel", 1) == 0
    assert np.array_equal(read_volume(part).voxels[0], VOXELS[5:25, 20:40, 10:50])


def test_version_and_help_leave_well(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--version") == 0
    assert capsys.readouterr().out.startswith("dineuro 0.")
    for command in ("trace", "score", "info", "convert", "demo"):
        assert run(monkeypatch, command, "--help") == 0
        assert "Exit codes" in capsys.readouterr().out


def test_the_defaults_of_the_command_line_are_those_of_the_tracer(
    stack: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "trace", stack, "--json") == 0
    settings = json.loads(capsys.readouterr().out)["settings"]
    defaults = TraceOptions()
    for name in ("threshold", "min_length", "gap", "trees", "min_confidence", "passes"):
        assert settings[name] == getattr(defaults, name)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A shell that starts the tests in the background has them ignore the interrupt."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("made_of_it", [None, RuntimeError, BadFile])
def test_ctrl_c_is_not_lost_where_a_library_swallows_it(
    made_of_it: type[Exception] | None,
    stack: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """While it is imported, for example, where another error may be made of it, too."""

    def deaf(inputs: list[str], **_: object) -> list[Path]:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            if made_of_it is not None:
                raise made_of_it("some module cannot be imported") from None
        return [Path(name) for name in inputs]

    monkeypatch.setattr(places, "find_inputs", deaf)
    assert run(monkeypatch, "trace", stack) == 130
    assert capsys.readouterr().err == "dineuro: stopped\n"
    assert [p.name for p in stack.parent.iterdir()] == [stack.name]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    monkeypatch.undo()
    assert run(monkeypatch, "trace", stack) == 0, "a later run in the same process is not stopped"


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("made_of_it", [RuntimeError, BadFile])
def test_ctrl_c_at_the_last_of_several_is_no_failure_of_that_one(
    made_of_it: type[Exception],
    stack: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def wrapping(path: Path, *_: object, **__: object) -> None:
        if path != stack:
            raise BadFile(f"{path.name}: is no TIFF")
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise made_of_it("some module cannot be imported") from None

    other = stack.with_name("bad.tif")
    other.write_bytes(b"no TIFF")
    monkeypatch.setattr(batch, "run_one", wrapping)
    assert run(monkeypatch, "trace", other, stack) == 130
    said = capsys.readouterr().err.splitlines()
    assert said == ["dineuro: error: bad.tif: is no TIFF", "dineuro: stopped"]


def test_the_demo_makes_all_that_it_promises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "demo", tmp_path / "demo") == 0
    names = {p.name for p in (tmp_path / "demo").iterdir()}
    assert names == {
        "neuron.tif", "neuron_truth.swc", "neuron_dineuro.swc", "neuron_mask.v3draw",
        "neuron_report.json", "neuron_preview.png", "neuron_doubts.marker",
    }  # fmt: skip
    shown = capsys.readouterr().out
    f1 = float(next(row for row in shown.splitlines() if "within 2 voxels" in row).split()[-1])
    assert f1 > 0.9


def test_models_are_listed_and_a_damaged_one_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = save_weights(tmp_path / "mine.safetensors", Network(TINY), {"recipe": "mine"})
    entry = {"name": "mine", "file": "mine.safetensors", "sha256": digest, "description": "small"}
    infos = [ModelInfo("mine", tmp_path / "mine.safetensors", digest, "small")]
    (tmp_path / "models.json").write_text(json.dumps([entry]))
    assert list_models(tmp_path) == infos
    monkeypatch.setattr("dineuro_model.catalog.list_models", lambda: infos)
    monkeypatch.setattr(sys, "argv", ["dineuro", "models", "--verify", "--json"])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["name"], told["sha256"], told["recipe"]) == ("mine", digest, "mine")
    infos[0] = replace(infos[0], sha256="0" * 64)
    assert run(monkeypatch, "models", "--verify") == 3
    assert "mine: differs from the released file" in capsys.readouterr().err


def test_training_and_fine_tuning_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_volume(tmp_path / "a.tif", Volume(VOXELS[None]))
    write_swc(tmp_path / "a.swc", chain(line((8, 25, 15), (82, 25, 15))))
    save_weights(tmp_path / "start.safetensors", Network(TINY))
    (tmp_path / "recipe.toml").write_text(
        "[schedule]\nsteps = 2\nbatch = 1\nthreads = 1\n[rendered]\nshare = 0.0\n"
        '[[training]]\nvolume = "*.tif"\ntree = "{name}.swc"\nradius = 2\n'
    )
    start = tmp_path / "start.safetensors"
    words = ["train", tmp_path / "recipe.toml", "--device", "cpu"]
    # Where a run was started from need not be said again.
    for more in (["--from", start], ["--resume", "--steps", "3"]):
        monkeypatch.setattr(sys, "argv", ["dineuro", *map(str, [*words, *more])])
        with pytest.raises(SystemExit) as left:
            main()
        assert left.value.code == 0
        weights = Path(capsys.readouterr().out.strip())
        assert weights == tmp_path / "recipe" / "model.safetensors"
    assert load_network(weights).config == TINY
    # The trees may be in µm.
    write_swc(tmp_path / "a.swc", chain(line((4, 12.5, 15), (41, 12.5, 15))))
    more = ["-o", tmp_path / "um", "--from", start, "--gold-spacing", "0.5,0.5,1"]
    assert run(monkeypatch, *words, *more) == 0
    capsys.readouterr()
    assert run(monkeypatch, *words) == 6  # the folder holds a run
    assert "resume it or name another" in capsys.readouterr().err
