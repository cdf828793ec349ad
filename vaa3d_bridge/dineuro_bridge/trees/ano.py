"""Vaa3D's `.ano` linker files: lines of `KEY=path` that open several files with one drag."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from dineuro_bridge.errors import BadParameter
from dineuro_bridge.files import atomic_output

#: The keys that Vaa3D reads, in the order of a linker file.
KEYS = ("GRAYIMG", "MASKIMG", "SWCFILE", "MARKERFILE")


def write_ano(path: Path, linked: Mapping[str, Path]) -> None:
    """Write a linker file. Its paths are relative to its folder, so the folder can be moved.

    Args:
        path: the linker file.
        linked: the files to open, by the keys of `KEYS`.

    Raises:
        BadParameter: a file name with a line break, which the format cannot hold.
        FileAccess: the path cannot be written.
    """
    lines = []
    for key in sorted(linked, key=KEYS.index):
        file = linked[key]
        relative = Path(os.path.relpath(file.absolute(), path.absolute().parent)).as_posix()
        if "\n" in relative or "\r" in relative:
            raise BadParameter(f"{str(file)!r}: has a line break in its name")
        lines.append(f"{key}={relative}\n")
    with atomic_output(path) as temporary:
        temporary.write_text("".join(lines), encoding="utf-8")
