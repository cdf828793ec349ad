"""The process that writes a volume in another format: one request, one reply, as JSON.

{"source": …, "target": …, "spacing": [z, y, x] or null, "max_bytes": …}  ->  {}
or  {"code": …, "detail": …}
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from dineuro_bridge.errors import DineuroError, DiskFull
from dineuro_bridge.volumes.formats import read_volume, write_volume
from dineuro_bridge.volumes.volume import Volume


def convert(request: dict[str, Any]) -> dict[str, str]:
    """Write the volume; errors become their code and text."""
    target, spacing = Path(request["target"]), request["spacing"]
    try:
        volume = read_volume(request["source"], max_bytes=request["max_bytes"])
        volume = Volume(volume.voxels, None if spacing is None else tuple(spacing))
        write_volume(target, volume, compress=target.suffix == ".tif")
    except DineuroError as error:
        cause = error.__cause__
        full = isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)
        return {"code": DiskFull.code if full else error.code, "detail": str(error)}
    return {}


def main() -> None:
    """Convert one volume, unless the input ends before."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which then ends this
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_input, daemon=True).start()
    print(json.dumps(convert(request)), flush=True)  # noqa: T201  (the pipe to the server)
    os._exit(0)  # the other thread holds the input


def _end_with_input() -> None:
    """End the process with the server, which holds the other end of the input."""
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main()
