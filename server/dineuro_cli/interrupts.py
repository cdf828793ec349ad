"""Ctrl-C that is not lost.

Python raises KeyboardInterrupt wherever it happens to be: where a library swallows it (a bare
`except` while it is imported, a destructor) the work would go on as if nothing had been pressed,
and where one wraps it, another error would be shown. So it is also remembered.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


class Interrupts:
    """Whether Ctrl-C was pressed."""

    def __init__(self) -> None:
        self.heard = False

    def raise_again(self) -> None:
        """Called between two pieces of work.

        Raises:
            KeyboardInterrupt: one was heard, and whoever got it went on.
        """
        if self.heard:
            raise KeyboardInterrupt

    def hear(self, *_: object) -> None:
        """The signal's handler."""
        self.heard = True
        raise KeyboardInterrupt


#: Of this process, as the signal is.
interrupts = Interrupts()


@contextmanager
def listening() -> Iterator[Interrupts]:
    """Remember every Ctrl-C while it lasts, where the process does not ignore or handle it."""
    interrupts.heard = False
    before = signal.getsignal(signal.SIGINT)
    plain = before is signal.default_int_handler
    if plain:
        signal.signal(signal.SIGINT, interrupts.hear)
    try:
        yield interrupts
    finally:
        if plain:
            signal.signal(signal.SIGINT, before)
