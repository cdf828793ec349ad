"""Headers of uploads: bounded in time and memory, in a process that may die."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dineuro_bridge.errors import BadFile, DineuroError, LimitExceeded, UnsupportedFormat
from dineuro_bridge.volumes.formats import write_volume
from dineuro_bridge.volumes.volume import Volume
from dineuro_server.jobs import header_process, headers
from dineuro_server.jobs.headers import HeaderReader
from dineuro_server.ops.logs import TextLines

GIB = 2**30


@pytest.fixture(scope="module")
def reader() -> Iterator[HeaderReader]:
    one = HeaderReader()
    yield one
    one.close()


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    path = tmp_path / "a.tif"
    write_volume(path, Volume(np.zeros((1, 4, 5, 6), np.uint8)))
    return path


@pytest.mark.parametrize("suffix", [".tif", ".v3draw", ".v3dpbd"])
def test_the_suffix_is_that_of_the_content(
    suffix: str, tmp_path: Path, reader: HeaderReader
) -> None:
    write_volume(tmp_path / f"a{suffix}", Volume(np.zeros((1, 4, 5, 6), np.uint8)))
    path = (tmp_path / f"a{suffix}").rename(tmp_path / "upload.part")
    assert reader.check(path, GIB).suffix == suffix
    with pytest.raises(LimitExceeded, match=r"upload\.part: 6 x 5 x 4 voxels"):
        reader.check(path, 119)


def test_errors_are_those_of_the_reader(tmp_path: Path, reader: HeaderReader) -> None:
    path = tmp_path / "a.part"
    path.write_bytes(b"GIF89a" * 9)
    with pytest.raises(UnsupportedFormat, match=r"a\.part: is no volume"):
        reader.check(path, GIB)
    path.write_bytes(b"raw_image_stack_by_hpengL")
    with pytest.raises(BadFile, match=r"a\.part: truncated"):
        reader.check(path, GIB)


def test_one_process_answers_many_headers(stack: Path) -> None:
    reader = HeaderReader()
    for _ in range(20):
        reader.check(stack, GIB)
    assert len(reader._idle) == 1
    process = reader._idle[0]._popen
    reader.close()
    assert process.poll() is not None
    reader.check(stack, GIB)  # an upload that ends while the server stops
    assert not reader._idle


def test_a_header_that_takes_too_long_is_refused_and_its_process_replaced(
    stack: Path,
) -> None:
    reader = HeaderReader(limit_s=1.0)
    reader.check(stack, GIB)
    first = reader._idle[0]._popen
    os.kill(first.pid, 19)  # a process that stands still answers nothing
    with pytest.raises(BadFile, match=r"a\.tif: its header cannot be read within 1 s"):
        reader.check(stack, GIB)
    assert first.poll() is not None
    assert reader.check(stack, GIB).suffix == ".tif"
    assert reader._idle[0]._popen.pid != first.pid
    reader.close()


def speaking(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, program: str) -> None:
    """Let a program stand for the process that reads headers."""
    script = tmp_path / "python"
    script.write_text(f"#!{sys.executable} -I\nimport sys\n{program}\n")
    script.chmod(0o700)
    monkeypatch.setattr("sys.executable", str(script))


def test_what_a_process_says_forges_no_line_of_the_log_and_is_bounded(
    stack: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    forged = "2026-01-01 00:00:00,000 INFO    anna was admitted"
    speaking(
        monkeypatch,
        tmp_path,
        f"sys.stderr.write('x' * 10**6 + '\\n{forged}\\n'); sys.stderr.flush(); sys.exit(3)",
    )
    with pytest.raises(BadFile, match="header cannot be read"):
        HeaderReader().check(stack, GIB)
    assert capfd.readouterr().err == ""
    said = [record for record in caplog.records if "reads headers has ended" in record.message]
    assert said
    for record in said:
        assert forged in record.message
        assert len(record.message) < 1200
        assert "\n" not in TextLines().format(record)


def test_a_process_that_only_complains_is_ended_in_time(
    stack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = "print('{}', flush=True)\nwhile True: sys.stderr.write('no ' * 1000)"
    speaking(monkeypatch, tmp_path, endless)
    with pytest.raises(BadFile, match="within 1 s"):
        HeaderReader(limit_s=1.0).check(stack, GIB)


def test_a_process_that_died_is_replaced(stack: Path) -> None:
    reader = HeaderReader()
    reader.check(stack, GIB)
    reader._idle[0]._popen.kill()
    reader._idle[0]._popen.wait()
    assert reader.check(stack, GIB).suffix == ".tif"
    reader.close()


def test_a_header_that_ends_every_process_is_refused(
    stack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/bin/true")
    reader = HeaderReader()
    with pytest.raises(BadFile, match="header cannot be read"):
        reader.check(stack, GIB)
    assert not reader._idle


def test_the_memory_of_a_header_is_bounded(
    stack: Path, reader: HeaderReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    def greedy(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(header_process, "format_of_content", greedy)
    answer = header_process.answer({"path": str(stack), "max_bytes": GIB})
    assert answer["code"] == "bad_file"
    assert "takes more memory" in answer["detail"]
    # The limit itself, as the system has it.
    reader.check(stack, GIB)
    limits = Path(f"/proc/{reader._idle[0]._popen.pid}/limits").read_text()
    (line,) = (line for line in limits.splitlines() if line.startswith("Max address space"))
    assert 2**28 < int(line.split()[3]) < 2**32


def looping(pages: int) -> bytes:
    """A TIFF whose last page points back to the first."""
    page = struct.Struct("<HHHIII")
    raw = b"II*\0" + struct.pack("<I", 8)
    for number in range(pages):
        following = 8 + (number + 1) % pages * page.size
        raw += page.pack(1, 256, 4, 1, 9, following)
    return raw


@pytest.mark.parametrize("pages", [1, 2, 150, 1000])
def test_a_page_list_that_points_back_ends_at_once(
    pages: int, tmp_path: Path, reader: HeaderReader
) -> None:
    path = tmp_path / "loop.part"
    path.write_bytes(looping(pages))
    with pytest.raises(DineuroError, match=r"loop\.part: .*points back"):
        reader.check(path, GIB)
    assert len(reader._idle) == 1  # it was refused, and not killed


def test_preparing_starts_at_most_one_process() -> None:
    reader = HeaderReader()
    for _ in range(3):
        reader.prepare()
    assert len(reader._idle) == 1
    reader.close()
    reader.prepare()
    assert not reader._idle
    assert headers.LIMIT_S <= 10


def test_a_process_whose_server_was_killed_does_not_read_on() -> None:
    code = (
        "import threading\n"
        "from dineuro_server.jobs import header_process\n"
        "header_process.answer = lambda request: threading.Event().wait()\n"
        "header_process.main()\n"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe) as process:
        assert process.stdin is not None
        process.stdin.write(b'{"path": "a.tif", "max_bytes": 1, "limit_s": 0.1}\n')
        process.stdin.flush()
        assert process.wait(60) == -signal.SIGALRM


def test_a_process_that_cannot_start_takes_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = HeaderReader()

    def fail(_: str) -> None:
        raise OSError(11, "no process can be started")

    with monkeypatch.context() as broken:
        broken.setattr(headers, "LineProcess", fail)
        for _ in range(4):
            with pytest.raises(OSError, match="no process"):
                reader.prepare()
    reader.prepare()
    assert len(reader._idle) == 1
    reader.close()
