"""How fast a page gets the slices of a volume of 512^3 voxels from a server on this machine.

    python -m benchmarks.slices

A stack of Poisson noise, which compresses worst, becomes a job without a tree. One connection then
asks for whole slices, one after the other, along each axis. A page needs 20 in a second, and the
first one within half a second.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import httpx2 as httpx
import numpy as np

from benchmarks.service import server
from dineuro.evaluation import as_table
from dineuro_bridge.volumes.formats import write_volume
from dineuro_bridge.volumes.volume import Volume

SIDE, SLICES = 512, 128
_PLANES = {"xy": "tiles/0/{}/0/0", "xz": "tiles/0/0/{}/0", "yz": "tiles/0/0/0/{}"}


def main() -> None:
    """Print a table: the first slice, and the slices in a second, along each axis."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    with (
        server(warm="false") as running,
        httpx.Client(base_url=running.doors["HTTP"], timeout=1800) as client,
    ):
        job = _job(client)
        print(as_table([_row(client, job, plane) for plane in _PLANES]))


def _job(client: httpx.Client) -> str:
    """The address of a done job of the noise."""
    voxels = np.random.default_rng(0).poisson(20, (SIDE,) * 3).astype(np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "noise.v3draw"
        write_volume(path, Volume(voxels[None]))
        query = {"name": "noise.v3draw", "enhancer": "none", "deadline": "1700"}
        answer = client.post("/v1/enhance", params=query, content=path.read_bytes())
    answer.raise_for_status()
    return answer.headers["location"]


def _row(client: httpx.Client, job: str, plane: str) -> dict[str, str]:
    """The figures of one axis; the first request also reads the index of the levels."""
    start = time.perf_counter()
    client.get(f"{job}/tiles").raise_for_status()
    times, sizes = list[float](), list[int]()
    for at in range(SLICES):
        address = f"{job}/{_PLANES[plane].format(at)}"
        answer = client.get(address, params={"plane": plane}).raise_for_status()
        times.append(time.perf_counter() - start)
        sizes.append(len(answer.content))
        start = time.perf_counter()
    rate = (SLICES - 1) / sum(times[1:])
    return {
        "plane": plane,
        "first (s)": f"{times[0]:.3f}",
        "slices/s": f"{rate:.0f}",
        "slowest (s)": f"{max(times[1:]):.3f}",
        "KiB each": f"{statistics.mean(sizes) / 1024:.0f}",
    }


if __name__ == "__main__":
    main()
