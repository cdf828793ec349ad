"""How long a start takes: `import dineuro` and `dineuro --help`, each in a fresh interpreter.

    python -m benchmarks.startup
    python -m benchmarks.startup --rounds 30

The rounds alternate between the programs, one of which is empty, so that a busy minute affects all.
The table has the median, the least and the greatest wall time, Python's own start included, and the
limit. The exit code is 1 where a median is above its limit; the limits hold on an idle machine.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

#: The program and its limit in seconds.
PROGRAMS = {
    "an empty program": ("pass", None),
    "import dineuro": ("import dineuro", 0.15),
    "dineuro --help": (
        "import sys; sys.argv = ['dineuro', '--help']; from dineuro_cli import main; main()",
        0.4,
    ),
}


def seconds_of(program: str) -> float:
    """The wall time of a Python program in a fresh interpreter."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    return time.perf_counter() - start


def measure(rounds: int) -> dict[str, list[float]]:
    """The times of every program; a first round, which fills the disk cache, does not count."""
    times: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    for number in range(rounds + 1):
        for name, (program, _) in PROGRAMS.items():
            seconds = seconds_of(program)
            if number:
                times[name].append(seconds)
    return times


def main() -> None:
    """Measure, print the table, and fail where a median is above its limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    times = measure(parser.parse_args().rounds)
    print("| program | median, s | least to greatest | limit |")
    print("|---|---|---|---|")
    is_slow = False
    for name, (_, limit) in PROGRAMS.items():
        median = statistics.median(times[name])
        is_slow |= limit is not None and median > limit
        print(
            f"| {name} | {median:.2f} | {min(times[name]):.2f} to {max(times[name]):.2f} "
            f"| {'' if limit is None else limit} |"
        )
    if is_slow:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
