"""Temporary files as answers: each is removed after its answer, whatever becomes of that."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fastapi.responses import FileResponse
from starlette.types import Receive, Scope, Send

from dineuro_bridge.errors import DiskFull, FileAccess


class TemporaryFileResponse(FileResponse):
    """A file that is removed once it was sent, refused or interrupted."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            Path(self.path).unlink(missing_ok=True)


@contextmanager
def temporary_file(folder: Path, suffix: str) -> Iterator[Path]:
    """An empty file to be written in the block, for a `TemporaryFileResponse`.

    Args:
        folder: folder of the file; the next start of the server empties it.
        suffix: suffix of its name.

    Raises:
        DiskFull: the disk has no room. The file is removed after this and any other error.
    """
    path: Path | None = None
    try:
        with tempfile.NamedTemporaryFile(dir=folder, suffix=suffix, delete=False) as file:
            path = Path(file.name)
        yield path
    except BaseException as error:
        if path is not None:
            path.unlink(missing_ok=True)
        cause = error.__cause__ if isinstance(error, FileAccess) else error
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull("the server's disk is full: try again later") from error
        raise
