"""The process that reads the headers of uploads: one request a line, one answer a line.

    (at the start)                               ->  {}
    {"path": …, "max_bytes": …, "limit_s": …,    ->  {"suffix": ".tif", "in_blocks": false}
     "roi": …, "by_path": …, "most_voxels": …}   or  {"code": …, "detail": …}

Its memory is bounded. The server kills it when an answer takes longer than `limit_s` seconds. A
little later its own alarm ends it, so that it does not outlive a server that was killed.
"""

from __future__ import annotations

import json
import math
import resource
import signal
import sys
from pathlib import Path
from typing import Any

from dineuro_bridge.errors import BadFile, BadParameter, BadVolume, DineuroError, UnsupportedFormat
from dineuro_bridge.volumes.formats import format_of_content
from dineuro_bridge.volumes.source import DEFAULT_READING, Format, Reading, Source
from dineuro_bridge.volumes.views import PartSource

#: Memory that a header may take beyond that of the imported libraries.
_ROOM_BYTES = 2**29


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Check the header of one file; errors become their code and text."""
    path = Path(request["path"])
    try:
        each = format_of_content(path)
        if not (each.from_strangers or request["by_path"]):
            raise UnsupportedFormat(
                f"{path}: is an {each.name} file, which is not read from an upload: name it by its "
                f"path, or send it as .tif (dineuro convert)"
            )
        with _open_source(each, path) as source:
            # Of a folder the region alone is read; another file is read whole.
            roi = request["roi"] if each.folder else None
            part = source if roi is None else PartSource(source, tuple(roi))
            most = request.get("most_voxels")
            in_blocks = most is not None and source.reads_boxes and _voxels(source) > most
            if not in_blocks:
                part.header.check(path, request["max_bytes"])
        return {"suffix": each.suffixes[0], "in_blocks": in_blocks}
    except DineuroError as error:
        return {"code": error.code, "detail": str(error)}
    except MemoryError:
        detail = f"{path}: its header takes more memory than a volume's: it is damaged"
        return {"code": BadFile.code, "detail": detail}


def _voxels(source: Source) -> int:
    """Of one channel."""
    return math.prod(source.shape[1:])


def _open_source(each: Format, path: Path) -> Source:
    """The file, whatever its slices are called: the options of the job are not known here."""
    try:
        return each.open(path, DEFAULT_READING)
    except BadVolume:
        if not each.has_time:
            raise
        try:
            return each.open(path, Reading(z_axis="t"))
        except BadParameter:
            pass
        raise


def main() -> None:
    """Answer until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which then ends this
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + _ROOM_BYTES, used + _ROOM_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    print("{}", flush=True)  # noqa: T201  (the pipe to the server)
    for line in sys.stdin:
        request = json.loads(line)
        signal.alarm(math.ceil(request["limit_s"]) + 1)
        reply = answer(request)
        signal.alarm(0)
        print(json.dumps(reply), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
