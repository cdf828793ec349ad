"""The command line before a terminal: its progress bar, and signals in the middle of its work."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from dineuro_bridge.volumes.formats import write_volume
from dineuro_bridge.volumes.volume import Volume
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


def test_ctrl_c_leaves_nothing_behind(noise: Path, start: Start) -> None:
    terminal = start("trace", noise, "--enhancer", "classical")
    terminal.wait_for("noise.v3draw: enhance")
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.wait() == 130
    assert terminal.text.strip().splitlines()[-1] == "dineuro: stopped"
    assert list(noise.parent.iterdir()) == [noise]
