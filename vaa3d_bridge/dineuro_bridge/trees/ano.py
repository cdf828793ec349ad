"""Vaa3D's `.ano` linker files: lines of `KEY=path` that open several files with one drag."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from dineuro_bridge.errors import BadParameter
from dineuro_bridge.files import atomic_output

#: The keys that Vaa3D reads, in the order of a linker file.
KEYS = ("GRAYIMG", "MASKIMG", "SWCFILE", "MARKERFILE")


def linker_text(path: Path, linked: Mapping[str, Path]) -> str:
    """The lines of a linker file. Its paths are relative to its folder, so it can be moved.

    Args:
        path: the linker file.
        linked: the files to open, by the keys of `KEYS`.

    Raises:
        BadParameter: a file name with a line break or "=", which the format cannot hold. Vaa3D
            skips a line that has more than one "=".
    """
    lines = []
    for key in sorted(linked, key=KEYS.index):
        file = linked[key]
        relative = Path(os.path.relpath(file.absolute(), path.absolute().parent)).as_posix()
        for sign, name in (("\n", "a line break"), ("\r", "a line break"), ("=", "'='")):
            if sign in relative:
                raise BadParameter(
                    f"{str(file)!r}: has {name} in its name, which Vaa3D's .ano files cannot hold; "
                    "rename it"
                )
        lines.append(f"{key}={relative}\n")
    return "".join(lines)


def write_ano(path: Path, linked: Mapping[str, Path]) -> None:
    """Write a linker file; errors as `linker_text`.

    Raises:
        FileAccess: the path cannot be written.
    """
    text = linker_text(path, linked)
    with atomic_output(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
