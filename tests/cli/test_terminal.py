"""The command line before a terminal: its progress bar, and signals in the middle of its work."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from dineuro_bridge.files import atomic_output
from dineuro_bridge.volumes.formats import write_volume
from dineuro_bridge.volumes.volume import Volume
from dineuro_cli import main
from dineuro_cli.interrupts import recording
from tests.support.server import PACKAGES
from tests.support.terminal import Terminal

Start = Callable[..., Terminal]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start commands before terminals, each ended with the test."""
    terminals: list[Terminal] = []

    def begin(*words: object) -> Terminal:
        terminals.append(Terminal(*words))
        return terminals[-1]

    yield begin
    for terminal in terminals:
        terminal.close()


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    """A stack that takes seconds to trace, alone in its folder."""
    voxels = np.random.default_rng(0).integers(0, 255, (1, 120, 400, 400)).astype(np.uint8)
    write_volume(tmp_path / "noise.v3draw", Volume(voxels))
    return tmp_path / "noise.v3draw"


@pytest.fixture(autouse=True)
def hangups_end_processes() -> Iterator[None]:
    """A test run that nohup started ignores SIGHUP, and so would every process that it starts."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_nothing_behind(number: signal.Signals, noise: Path, start: Start) -> None:
    terminal = start("trace", noise, "--enhancer", "classical")
    terminal.wait_for("noise.v3draw: enhance")
    terminal.process.send_signal(number)
    assert terminal.wait() == 128 + number
    assert terminal.text.strip().splitlines()[-1] == "dineuro: stopped"
    assert list(noise.parent.iterdir()) == [noise]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_a_file_is_written_removes_the_temporary_one(
    number: signal.Signals, tmp_path: Path
) -> None:
    before = signal.getsignal(number)
    target = tmp_path / "tree.swc"
    with (
        pytest.raises(KeyboardInterrupt),
        recording() as interrupts,
        atomic_output(target) as temporary,
    ):
        temporary.write_text("half")
        signal.raise_signal(number)
    assert interrupts.exit_code == 128 + number
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(number) is before


def test_the_bar_stands_with_its_name_before_the_tracer_is_imported(
    noise: Path, start: Start
) -> None:
    """The import of the tracer takes seconds."""
    script = (
        "import sys; from dineuro_cli import main, trace\n"
        "class Bar(trace.ProgressBar):\n"
        "    def __init__(self, name, **more):\n"
        "        print(name, [m for m in ('numba', 'scipy', 'torch') if m in sys.modules])\n"
        "        raise SystemExit(0)\n"
        "trace.ProgressBar = Bar\n"
        "main()\n"
    )
    command = subprocess.run(
        [sys.executable, "-c", script, "trace", str(noise)],
        capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": PACKAGES},
    )  # fmt: skip
    assert command.stdout == "noise.v3draw []\n"
    terminal = start("trace", noise, "--enhancer", "classical")
    terminal.wait_for("noise.v3draw")
    assert "enhance" not in terminal.text


def test_the_help_of_trace_groups_the_options_and_shows_defaults(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["dineuro", "trace", "--help"])
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit):
        main()
    panels = re.split(r"╭─ (\w+) ─", capsys.readouterr().out)[1:]
    texts = dict(zip(panels[::2], panels[1::2], strict=True))
    assert list(texts) == [
        "Arguments", "Options", "Input", "Network", "Tracing", "Output", "Server",
    ]  # fmt: skip
    for panel, options in {
        "Input": ("--roi", "--spacing", "--marker"), "Network": ("--model", "--device"),
        "Tracing": ("--threshold", "--gap"), "Output": ("--output", "--mask", "--units"),
        "Server": ("--server", "--key"),
    }.items():  # fmt: skip
        assert all(option in texts[panel] for option in options), panel
    assert "[default: 128]" in texts["Tracing"]
    assert "[default: auto]" in texts["Network"]
    assert "[default: voxel]" in texts["Output"]
