"""The speed of packing, unpacking, writing and reading volumes, beside a copy in memory.

    python -m benchmarks.formats [--mib 64] [--rounds 5] [STACK ...]

Each round runs every step once, so that a slow moment of the machine affects all of them. The table
has the medians in MB/s of voxels, the least and the most, and the ratio to the copy of the same
round.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dineuro_bridge.volumes.formats import read_volume, write_volume
from dineuro_bridge.volumes.volume import Volume


def stacks(mib: int) -> dict[str, NDArray[Any]]:
    """Return volumes that are easy and hard to pack. Empty space packs well, and noise does not."""
    rng = np.random.default_rng(0)
    shape = (mib, 1024, 1024)
    dim = rng.poisson(3, shape).astype(np.uint8)
    sparse = np.where(rng.random(shape) < 0.03, dim * np.uint8(40), np.uint8(0)).astype(np.uint8)
    return {
        "uint8, random": rng.integers(0, 256, shape, dtype=np.uint8),
        "uint8, dim and noisy": dim,
        "uint8, sparse": sparse,
        "uint16, noisy": rng.poisson(100, shape).astype(np.uint16),
    }


def measure(voxels: NDArray[Any], folder: Path, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each step in each round."""
    volume = Volume(voxels[None])
    packed, raw = folder / "a.v3dpbd", folder / "a.v3draw"
    steps: dict[str, Callable[[], object]] = {
        "copy in memory": lambda: np.array(voxels),
        "write .v3dpbd": lambda: write_volume(packed, volume),
        "read .v3dpbd": lambda: read_volume(packed),
        "write .v3draw": lambda: write_volume(raw, volume),
        "read .v3draw": lambda: np.array(read_volume(raw).voxels),
    }
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for one in range(rounds + 1):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            if one:  # the first round compiles, or loads compiled code
                seconds[name].append(time.perf_counter() - start)
    if not np.array_equal(read_volume(packed).voxels[0], voxels):
        raise SystemExit("what was read is not what was written")
    return seconds


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("stacks", nargs="*", type=Path, help="volumes to measure with as well")
    parser.add_argument("--mib", type=int, default=64, help="voxels of the made stacks, in 2^20")
    parser.add_argument("--rounds", type=int, default=5)
    words = parser.parse_args()
    volumes = stacks(words.mib)
    volumes |= {path.name: read_volume(path).voxels[0] for path in words.stacks}
    print("| stack | step | MB/s | least to most | share of a copy's speed |")
    print("|---|---|---|---|---|")
    for name, voxels in volumes.items():
        with tempfile.TemporaryDirectory() as folder:
            seconds = measure(voxels, Path(folder), words.rounds)
        copies = seconds["copy in memory"]
        for step, times in seconds.items():
            speeds = [voxels.nbytes / 1e6 / t for t in times]
            share = statistics.median(c / t for c, t in zip(copies, times, strict=True))
            print(
                f"| {name} | {step} | {statistics.median(speeds):.0f} "
                f"| {min(speeds):.0f} to {max(speeds):.0f} | {share:.2f} |"
            )


if __name__ == "__main__":
    main()
