"""The command line. Commands import what they need when they run, so that help is at once there.

The exit codes stand in `dineuro_bridge.errors`, and every command's help tells them; besides those,
1 says that some of several inputs failed and 2 that the command line itself was wrong.
"""

from __future__ import annotations

import os
import sys

from dineuro_bridge.errors import Cancelled, DineuroError
from dineuro_cli.interrupts import listening


def main() -> None:
    """Run the command line; every known error is one sentence and an exit code."""
    with listening() as interrupts:
        try:
            from dineuro_cli.app import app

            app()
        except SystemExit as left:
            if left.code == Cancelled.exit_code:  # typer turns Ctrl-C into this
                sys.stderr.write("dineuro: stopped\n")
            raise
        except (KeyboardInterrupt, Exception) as error:
            code = _told(error, interrupted=interrupts.heard)
            if code is None:
                raise
            raise SystemExit(code) from None


def _told(error: BaseException, *, interrupted: bool) -> int | None:
    """The exit code of an error that is known, after its sentence; None for any other."""
    # Before typer was there to see it, or made by a library into an error of its own.
    if interrupted or isinstance(error, KeyboardInterrupt):
        sys.stderr.write("dineuro: stopped\n")
        return Cancelled.exit_code
    if isinstance(error, DineuroError):
        sys.stderr.write(f"dineuro: error: {error}\n")
        return error.exit_code
    if isinstance(error, BrokenPipeError):
        # Whoever read our output has left; nothing may be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return None
