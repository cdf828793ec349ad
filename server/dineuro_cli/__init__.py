"""The command line.

A command imports its libraries when it runs, so that `--help` answers at once. The exit codes are
those of `dineuro_bridge.errors`; the help of every command lists them. Besides, 1 means that some
of several inputs failed, and 2 that the command line itself is wrong.
"""

from __future__ import annotations

import os
import sys

from dineuro_bridge.errors import Cancelled, DineuroError
from dineuro_cli.interrupts import Interrupts, recording


def main() -> None:
    """Run the command line; an expected error becomes one sentence and an exit code."""
    with recording() as interrupts:
        try:
            from dineuro_cli.app import app

            app()
        except SystemExit as end:
            if end.code != Cancelled.exit_code:
                raise
            # typer replaces KeyboardInterrupt by this exit.
            sys.stderr.write("dineuro: stopped\n")
            raise SystemExit(interrupts.exit_code) from None
        except (KeyboardInterrupt, Exception) as error:
            code = _report(error, interrupts)
            if code is None:
                raise
            raise SystemExit(code) from None


def _report(error: BaseException, interrupts: Interrupts) -> int | None:
    """Write the sentence of an expected error; return its exit code, None for an unexpected one."""
    # The interrupt came before typer could catch it, or a library raised its own error instead.
    if isinstance(error, KeyboardInterrupt) or interrupts.number is not None:
        sys.stderr.write("dineuro: stopped\n")
        return interrupts.exit_code
    if isinstance(error, DineuroError):
        sys.stderr.write(f"dineuro: error: {error}\n")
        return error.exit_code
    if isinstance(error, BrokenPipeError):
        # The reader of the output has left; Python must not write to it again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return None
