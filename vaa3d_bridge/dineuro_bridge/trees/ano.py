"""Vaa3D's `.ano` linker files: lines of `KEY=path` that open several files with one drag."""

from __future__ import annotations

import os
from pathlib import Path

from dineuro_bridge.errors import BadParameter
from dineuro_bridge.files import atomic_output


def write_ano(
    path: Path,
    image: Path,
    *,
    mask: Path | None = None,
    swc: Path | None = None,
    markers: Path | None = None,
) -> None:
    """Write a linker file; its paths are relative to its own folder, so that all may be moved.

    Raises:
        BadParameter: a file's name that no line can hold.
        FileAccess: the place cannot be written to.
    """
    named = {"GRAYIMG": image, "MASKIMG": mask, "SWCFILE": swc, "MARKERFILE": markers}
    lines = []
    for key, file in named.items():
        if file is not None:
            relative = Path(os.path.relpath(file.absolute(), path.absolute().parent)).as_posix()
            if "\n" in relative or "\r" in relative:
                raise BadParameter(f"{str(file)!r}: has a line break in its name")
            lines.append(f"{key}={relative}\n")
    with atomic_output(path) as temporary:
        temporary.write_text("".join(lines), encoding="utf-8")
