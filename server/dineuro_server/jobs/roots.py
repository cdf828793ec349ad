"""The folders whose files jobs may name by their path, and which path lies below one of them.

A path is compared as text first, so that nothing outside of the folders is ever looked at. Then it
is resolved, and what it leads to must lie below a folder too.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from dineuro_bridge.errors import FileAccess, Forbidden
from dineuro_server.jobs.records import Place

#: The most characters of a client's path that a message repeats.
_SHOWN = 300


class Roots:
    """The folders that a server serves by path.

    Args:
        folders: the folders; without any, no path is served.
        state: the state folder, which holds the inputs and results of all owners and is never
            served.

    Raises:
        FileAccess: a folder does not exist.
    """

    def __init__(self, folders: Sequence[Path], state: Path) -> None:
        self._state = os.path.realpath(state)
        self._folders: list[tuple[str, str]] = []
        for folder in folders:
            if not folder.is_absolute() or not folder.is_dir():
                raise FileAccess(
                    f"{folder}: is no folder by its absolute path: correct --root (DINEURO_ROOTS)"
                )
            self._folders.append((os.path.normpath(folder), os.path.realpath(folder)))

    def __bool__(self) -> bool:
        return bool(self._folders)

    def find(self, named: str) -> tuple[str, str]:
        """The folder that a path lies below, and the path in this folder; both without links.

        Args:
            named: the path as a client wrote it.

        Raises:
            Forbidden: it lies below none, whether it exists or not; or no path is served.
        """
        if not self._folders:
            raise Forbidden(
                "this server reads no files by their path (dineuro serve --root): send the file"
            )
        refusal = Forbidden(
            f"{shown(named)}: lies below none of the folders that this server reads: send the file"
        )
        text = os.path.normpath(named)
        forms = [form for pair in self._folders for form in pair]
        if "\0" in named or not any(_is_below(text, form) for form in forms):
            raise refusal
        real = os.path.realpath(named)
        for _, folder in self._folders:
            if _is_below(real, folder) and not _is_below(real, self._state):
                return folder, os.path.relpath(real, folder)
        raise refusal

    def check(self, place: Place) -> None:
        """Check that a place of an earlier start of the server is still served.

        Raises:
            Forbidden: it is not.
        """
        full = os.path.normpath(Path(place.root) / place.path)
        if not any(_is_below(full, folder) for _, folder in self._folders):
            raise Forbidden(
                f"{shown(place.named)}: its folder is not read by this server any more: send the "
                "file"
            )


def _is_below(path: str, folder: str) -> bool:
    """Whether a normalised path is a folder or lies in it."""
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def shown(named: str) -> str:
    """A client's path for a message."""
    return named if len(named) <= _SHOWN else f"{named[:_SHOWN]}…"
