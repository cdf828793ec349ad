"""What a person at a terminal sees: a bar, tables, complaints. In a pipe nothing moves."""

from __future__ import annotations

import sys
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress
from rich.table import Table

from dineuro_bridge.errors import plain_text
from dineuro_bridge.progress import Progress
from dineuro_cli.interrupts import interrupts


class ProgressBar:
    """A progress callback that draws a bar on a terminal's stderr, and nothing elsewhere.

    Args:
        name: of what is worked on.
        remaining: tell also how many steps are done and how long the others will take.
    """

    def __init__(self, name: str, *, remaining: bool = False) -> None:
        more = [MofNCompleteColumn(), TimeRemainingColumn(compact=True)] if remaining else []
        self._bar = RichProgress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TimeElapsedColumn(),
            *more,
            console=Console(stderr=True),
            transient=True,
            disable=not sys.stderr.isatty(),
        )
        self._name = name
        self._task = self._bar.add_task(name)

    def __enter__(self) -> ProgressBar:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def __call__(self, step: Progress) -> None:
        """Draw how far a stage is.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed, and a library swallowed it.
        """
        interrupts.raise_again()
        self._bar.update(
            self._task,
            description=f"{self._name}: {step.stage}",
            completed=step.done,
            total=step.total,
        )


def complain(text: str) -> None:
    """One line on stderr; a server's control characters do not reach the terminal."""
    sys.stderr.write(f"dineuro: {plain_text(text)}\n")


def print_figures(title: str, figures: dict[str, str]) -> None:
    """A two-column table on stdout; plain lines in a pipe. Names of files may hold anything."""
    title, figures = plain_text(title), {name: plain_text(v) for name, v in figures.items()}
    if not sys.stdout.isatty():
        width = max(map(len, figures))
        lines = [title, *(f"  {name:<{width}}  {value}" for name, value in figures.items())]
        sys.stdout.write("\n".join(lines) + "\n")
        return
    table = Table(title=title, title_justify="left", show_header=False)
    for name, value in figures.items():
        table.add_row(name, value)
    Console().print(table)
