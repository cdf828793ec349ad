"""Commands that cannot succeed: one sentence that names the file once, and no traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dineuro_bridge.errors import BadFile, BadParameter, FileAccess, UnsupportedFormat
from dineuro_bridge.volumes.formats import write_volume
from dineuro_bridge.volumes.volume import Volume
from dineuro_cli import main
from tests.support.server import PACKAGES, VOXELS


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a stack, a damaged one, symbolic links in a circle, deep nesting."""
    write_volume(tmp_path / "cell.tif", Volume(VOXELS[None]))
    (tmp_path / "bad.tif").write_bytes(b"II*\0 and nothing else")
    (tmp_path / "loop.tif").symlink_to("knot.tif")
    (tmp_path / "knot.tif").symlink_to("loop.tif")
    (tmp_path / "deep.toml").write_text(f"a = {'[' * 5000}{']' * 5000}")
    (tmp_path / "deep_report.json").write_text("[" * 100_000)
    (tmp_path / "part.toml").write_text('[[training]]\nvolume = "bad.tif"\nmask = "bad.tif"\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("words", "code", "name"),
    [
        ("trace loop.tif --enhancer classical", FileAccess, "loop.tif"),
        ("trace cell.tif --enhancer classical -o loop.tif/x.swc", FileAccess, "loop.tif"),
        ("trace cell.tif --enhancer classical --marker loop.tif", FileAccess, "loop.tif"),
        ("info loop.tif", FileAccess, "loop.tif"),
        ("convert loop.tif x.v3draw", FileAccess, "loop.tif"),
        ("train deep.toml", BadFile, "deep.toml"),
        ("train part.toml", BadFile, "bad.tif"),
        ("report .", BadFile, "deep_report.json"),
        ("trace bad.tif", BadFile, "bad.tif"),
        ("trace cell.tif --enhancer classical --root 999,0,0", BadFile, "cell.tif"),
        ("trace cell.tif --enhancer classical --roi 0,0,0,999,9,9", BadFile, "cell.tif"),
        ("trace cell.tif --enhancer classical --channel 7", BadFile, "cell.tif"),
        ("trace cell.tif --enhancer classical --units um", BadFile, "cell.tif"),
        ("serve --drain-s inf", BadParameter, "--drain-s"),
        ("serve --keep-hours 1e9", BadParameter, "--keep-hours"),
        ("keys list --tokens loop.tif", FileAccess, "loop.tif"),
        ("keys curve anna --keys loop.tif", FileAccess, "loop.tif"),
    ],
)
def test_the_sentence_names_the_file_once(
    words: str,
    code: type[FileAccess | BadFile | BadParameter],
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["dineuro", *words.split()])
    with pytest.raises(SystemExit) as end:
        main()
    (sentence,) = capsys.readouterr().err.splitlines()
    assert sentence.startswith("dineuro: error: ")
    assert sentence.count(name) == 1
    assert end.value.code == code.exit_code, sentence


def test_control_characters_of_a_name_do_not_reach_the_terminal(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "cell.tif").rename(folder / "\x1b[31mcell\n.tif")
    (folder / "bad.tif").rename(folder / "\x1b[31mbad\n.tif")
    for words, code in (("info \x1b[31mcell\n.tif", 0), ("info \x1b[31mbad\n.tif", 3)):
        monkeypatch.setattr(sys, "argv", ["dineuro", *words.split(" ")])
        with pytest.raises(SystemExit) as end:
            main()
        said = "".join(capsys.readouterr())
        assert end.value.code == code
        assert "\x1b" not in said
        assert " .tif" in said


def test_a_folder_of_another_programs_files_is_named_with_what_to_do(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "cells").mkdir()
    (folder / "cells" / "a.oib").write_bytes(b"{}")
    monkeypatch.setattr(sys, "argv", ["dineuro", "trace", "cells"])
    with pytest.raises(SystemExit) as end:
        main()
    (sentence,) = capsys.readouterr().err.splitlines()
    assert "files are not read: open it in Fiji" in sentence
    assert end.value.code == UnsupportedFormat.exit_code
    (folder / "a.n5").mkdir()
    (folder / "a.n5" / "attributes.json").write_bytes(b"{}")
    for command in ("trace", "info"):
        monkeypatch.setattr(sys, "argv", ["dineuro", command, "a.n5"])
        with pytest.raises(SystemExit):
            main()
        assert "a.n5: is no N5 image: name a folder" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "words", ["trace cell.tif --enhancer classical -o -", "info cell.tif", "-h"]
)
def test_a_full_disk_under_the_output_is_a_sentence(
    words: str, unbuffered: str, folder: Path
) -> None:
    with Path("/dev/full").open("w") as full:
        command = subprocess.run(
            [sys.executable, "-c", "from dineuro_cli import main; main()", *words.split()],
            stdout=full, stderr=subprocess.PIPE, text=True, cwd=folder, check=False,
            env=os.environ | {"PYTHONPATH": PACKAGES, "PYTHONUNBUFFERED": unbuffered},
        )  # fmt: skip
    sentence = command.stderr.splitlines()[-1]
    assert sentence == "dineuro: error: the output cannot be written: no space left on device"
    assert "Traceback" not in command.stderr
    assert command.returncode == FileAccess.exit_code
