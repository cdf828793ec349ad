"""The speed and the memory of the plugin's client when it sends a volume.

    make throughput && python -m benchmarks.plugin

The C++ client sends 512 MiB, beside the same bytes through a plain socket. A server that discards
the bytes shows the speed of the client itself. The real server hashes them and writes them to disk.
The memory is the rise of the sender's peak above the image.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.service import server
from dineuro.evaluation import as_table

ROOT = Path(__file__).resolve().parents[1]
MIB, ROUNDS = 512, 7


@contextmanager
def sink(tool: Path) -> Iterator[str]:
    """Run a server that discards all bytes; yield its address."""
    with subprocess.Popen([tool, "sink"], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            yield child.stdout.readline().strip()
        finally:
            child.kill()


def numbers(*command: object) -> list[float]:
    """Return the output of the tool."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return [float(word) for word in done.stdout.split()]


def measure(tool: Path, mib: int, rounds: int) -> tuple[dict[str, list[float]], float]:
    """Return the seconds of each way by rounds, and the largest rise of the peak (MiB)."""
    ways = dict[str, list[float]]()
    for way in ("plain socket", "client, to nowhere", "client, real server"):
        ways[way] = []
    grown = 0.0
    with sink(tool) as nowhere, server() as real:
        for _ in range(rounds):
            ways["plain socket"] += numbers(tool, "socket", mib)
            for way, address in zip(list(ways)[1:], (nowhere, real.doors["ZeroMQ"]), strict=True):
                seconds, more = numbers(tool, "send", address, mib)
                ways[way].append(seconds)
                grown = max(grown, more)
    return ways, grown


def table(ways: dict[str, list[float]], mib: int) -> str:
    """Return the table in Markdown."""
    plain = statistics.median(ways["plain socket"])
    rows = []
    for way, times in ways.items():
        rates = [mib * 2**20 / 1e6 / seconds for seconds in times]
        rows.append(
            {
                f"{mib} MiB": way,
                "MB/s": f"{statistics.median(rates):.0f}",
                "least to most": f"{min(rates):.0f} to {max(rates):.0f}",
                "of a plain socket": f"{plain / statistics.median(times):.2f}",
            }
        )
    return as_table(rows)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tool", type=Path, default=ROOT / "build/throughput/tests/throughput")
    parser.add_argument("--mib", type=int, default=MIB)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    words = parser.parse_args()
    if not words.tool.exists():
        sys.exit(f"{words.tool}: is not there: make throughput")
    ways, grown = measure(words.tool, words.mib, words.rounds)
    print(table(ways, words.mib))
    print(f"\nThe sender's peak rose by at most {grown:.1f} MiB above the image.")


if __name__ == "__main__":
    main()
