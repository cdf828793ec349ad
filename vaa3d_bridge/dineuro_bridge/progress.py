"""One record of progress for the terminal's bar, a stream of events and a dialog."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """`done` of `total` steps of a named stage; the unit of a step is the stage's own."""

    stage: str
    done: int
    total: int


#: Called between units of work. It may raise `Cancelled`: that is how work is stopped.
ProgressCallback = Callable[[Progress], None]


def silent(_: Progress) -> None:
    """A callback for those who do not listen."""
