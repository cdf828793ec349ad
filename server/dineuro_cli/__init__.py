"""The command line.

A command imports its libraries when it runs, so that `--help` answers at once. The exit codes are
those of `dineuro_bridge.errors`; the help of every command lists them. Besides, 1 means that some
of several inputs failed, and 2 that the command line itself is wrong.
"""

from __future__ import annotations

import errno
import os
import sys

from dineuro_bridge.errors import Cancelled, DineuroError, FileAccess, plain_text
from dineuro_bridge.files import reason
from dineuro_cli.interrupts import Interrupts, recording

#: The exit code of the shell for a command whose reader left: 128 and SIGPIPE.
_READER_LEFT = 141
#: The errors of a write to a full disk or a broken device.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def main() -> None:
    """Run the command line; an expected error becomes one sentence and an exit code."""
    with recording() as interrupts:
        code = _run(interrupts) or _flush_output()
    if code:
        _discard_output()
    raise SystemExit(code)


def _run(interrupts: Interrupts) -> str | int | None:
    """Run the command; return its exit code."""
    try:
        from dineuro_cli.app import app

        app()
    except SystemExit as end:
        if end.code != Cancelled.exit_code:
            return end.code
        # typer replaces KeyboardInterrupt by this exit.
        return _stop(interrupts)
    except (KeyboardInterrupt, Exception) as error:
        # The interrupt came before typer could catch it, or a library raised its own error instead.
        if isinstance(error, KeyboardInterrupt) or interrupts.number is not None:
            return _stop(interrupts)
        if isinstance(error, DineuroError):
            sys.stderr.write(f"dineuro: error: {plain_text(str(error))}\n")
            return error.exit_code
        if isinstance(error, BrokenPipeError):
            return _READER_LEFT
        # Every file is written by atomic_output, which raises FileAccess: this is the output.
        if isinstance(error, OSError) and error.errno in _FULL:
            return _output_failure(error)
        raise
    return 0


def _stop(interrupts: Interrupts) -> int:
    """Say that a signal ended the command; return the exit code."""
    sys.stderr.write("dineuro: stopped\n")
    return interrupts.exit_code


def _output_failure(error: OSError) -> int:
    """Say that the standard output cannot be written; return the exit code."""
    sys.stderr.write(f"dineuro: error: the output cannot be written: {reason(error)}\n")
    return FileAccess.exit_code


def _flush_output() -> int:
    """Write the rest of the standard output; return 0, or the exit code after a failure."""
    try:
        sys.stdout.flush()
        return 0
    except BrokenPipeError:
        return _READER_LEFT
    except OSError as error:
        return _output_failure(error)


def _discard_output() -> None:
    """Discard what is left in the buffer: Python flushes it at exit, and must not fail again."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
