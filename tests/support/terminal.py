"""A command before a terminal: what it draws, and how it ends."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys

from tests.support.server import PACKAGES

_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


class Terminal:
    """`dineuro` with a terminal as stderr, so that it draws its progress bar.

    Args:
        words: the command line after `dineuro`.
    """

    def __init__(self, *words: object) -> None:
        self.screen, stderr = pty.openpty()
        self._drawn = b""
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from dineuro_cli import main; main()", *map(str, words)],
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            env=os.environ | {"PYTHONPATH": PACKAGES, "COLUMNS": "120"},
            # As a shell in the foreground starts it.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        os.close(stderr)

    @property
    def text(self) -> str:
        """All text that was drawn, without the escapes that move the cursor and colour it."""
        return _ESCAPE.sub("", self._drawn.decode(errors="ignore"))

    def _read(self) -> bool:
        """Read one piece of the screen; return whether there was one."""
        try:
            piece = os.read(self.screen, 4096)
        except OSError:  # Linux reports the end of a terminal as an error
            return False
        self._drawn += piece
        return bool(piece)

    def wait_for(self, text: str) -> None:
        """Wait until a text is drawn."""
        while text not in self.text and self._read():
            pass
        assert text in self.text, self.text

    def wait(self) -> int:
        """Wait for the command's end; return its exit code."""
        while self._read():
            pass
        return self.process.wait(60)

    def close(self) -> None:
        """End the command, if it still runs."""
        self.process.kill()
        self.process.wait()
        os.close(self.screen)
