"""The record of progress that the terminal, the event stream and the dialogs share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """`done` of `total` steps of a stage. Each stage has its own unit of a step."""

    stage: str
    done: int
    total: int


#: The work calls this function between its units. The function stops it by raising `Cancelled`.
ProgressCallback = Callable[[Progress], None]


def silent(_: Progress) -> None:
    """Ignore the progress."""
