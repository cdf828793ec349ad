"""Signals that end a command: Ctrl-C, SIGTERM and SIGHUP.

Each raises KeyboardInterrupt, so that temporary files are removed on the way out. A library can
swallow that exception (a bare `except` during an import, a destructor) or replace it with one of
its own. The signal is therefore also recorded, and looked at between two pieces of work.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

#: The handler that Python installs for each signal; another one is left in place.
_DEFAULTS: dict[signal.Signals, signal.Handlers | Callable[[int, FrameType | None], Any]] = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
}


class Interrupts:
    """The signal that ends this command, once there is one."""

    def __init__(self) -> None:
        self.number: int | None = None

    @property
    def exit_code(self) -> int:
        """The exit code by the shell's convention: 128 and the signal's number.

        Without a signal, the code of Ctrl-C.
        """
        return 128 + (self.number or signal.SIGINT)

    def raise_again(self) -> None:
        """Raise the interrupt of a recorded signal again; called between two pieces of work.

        Raises:
            KeyboardInterrupt: there was a signal, and a library swallowed the first exception.
        """
        if self.number is not None:
            raise KeyboardInterrupt

    def record(self, number: int, _frame: object) -> None:
        """Handle a signal.

        Raises:
            KeyboardInterrupt: always.
        """
        self.number = number
        raise KeyboardInterrupt


#: The state of this process; signals, too, belong to the process.
interrupts = Interrupts()


@contextmanager
def recording() -> Iterator[Interrupts]:
    """Record signals within the block, except those that the process ignores or handles itself."""
    interrupts.number = None
    ours = [number for number, plain in _DEFAULTS.items() if signal.getsignal(number) is plain]
    for number in ours:
        signal.signal(number, interrupts.record)
    try:
        yield interrupts
    finally:
        for number in ours:
            signal.signal(number, _DEFAULTS[number])
