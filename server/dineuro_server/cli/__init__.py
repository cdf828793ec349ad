"""The command line. Commands import what they need when they run, so that help is at once there.

The exit codes stand in `dineuro_bridge.errors`, and every command's help tells them; besides those,
1 says that some of several inputs failed and 2 that the command line itself was wrong.
"""

from __future__ import annotations

import os
import sys

from dineuro_bridge.errors import Cancelled, DineuroError


def main() -> None:
    """Run the command line; every known error is one sentence and an exit code."""
    try:
        from dineuro_server.cli.app import app

        app()
    except DineuroError as error:
        sys.stderr.write(f"dineuro: error: {error}\n")
        raise SystemExit(error.exit_code) from None
    except SystemExit as left:
        if left.code == Cancelled.exit_code:  # typer turns Ctrl-C into this
            sys.stderr.write("dineuro: stopped\n")
        raise
    except KeyboardInterrupt:  # before typer was there to see it
        sys.stderr.write("dineuro: stopped\n")
        raise SystemExit(Cancelled.exit_code) from None
    except BrokenPipeError:
        # Whoever read our output has left; nothing may be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(141) from None
