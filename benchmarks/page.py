"""All benchmarks of the project in one run, and one page with their results: `make benchmark`.

    python -m benchmarks.page --data ../shared/data --out build/benchmark
    python -m benchmarks.page --only service formats

The benchmarks run one after the other, each in a process of its own. Their outputs are stored
beside the page, so that an interrupted run of the same commit continues (`--again` repeats
everything). A benchmark that cannot run (no data, no plugin, no peer) is on the page with the
reason.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
_PACKAGES = ("dineuro", "numpy", "scipy", "numba", "torch", "timm", "pyzmq", "fastapi", "kimimaro")


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One command of `python -m benchmarks.NAME`.

    Attributes:
        name: the name of the module.
        title: the heading of its section.
        arguments: "DATA" stands for the folder of the development data, "PLOT" for a picture.
        bars: the headings of the columns to draw, if the module draws nothing itself.
    """

    name: str
    title: str
    arguments: tuple[str, ...] = ()
    bars: tuple[str, ...] = ()


BENCHMARKS = (
    Benchmark("accuracy", "Trees of held-out stacks", ("DATA",), ("F1@2", "F1@4")),
    Benchmark("rendered", "Trees of rendered neurons", (), ("F1@2", "F1@4")),
    Benchmark("tracing", "Beside other tracers", ("DATA", "--plot", "PLOT")),
    Benchmark("passes", "What a second pass brings", ("DATA",)),
    Benchmark("proofreading", "What answers to doubts bring", ("DATA",)),
    Benchmark(
        "corrections",
        "What corrected stacks teach",
        ("--steps", "100", "--batch", "1", "--keep-vit"),
        ("F1@2",),
    ),
    Benchmark("confidence", "How far a confidence can be believed", ("DATA",)),
    Benchmark("masks", "Masks", ("DATA",)),
    Benchmark("segmentation", "Speed of the network"),
    Benchmark("startup", "Starts"),
    Benchmark("service", "The service"),
    Benchmark("slices", "Slices for a page"),
    Benchmark("hostile", "Hostile clients"),
    Benchmark("hostile_names", "Files that name other files"),
    Benchmark("plugin", "The plugin's client"),
    Benchmark("browser", "The page in a browser"),
    Benchmark("formats", "Formats", ("--mib", "32")),
    Benchmark("kills", "Killed runs of blocks"),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The output of a benchmark, its time (s), and the reason of a failure."""

    text: str
    seconds: float
    problem: str


def run(benchmark: Benchmark, data: Path | None, out: Path) -> Outcome:
    """Run one benchmark, and print its output on the terminal too."""
    if "DATA" in benchmark.arguments and data is None:
        return Outcome("", 0, "needs the development data (--data)")
    names = {"DATA": str(data), "PLOT": str(out / f"{benchmark.name}.png")}
    arguments = [names.get(word, word) for word in benchmark.arguments]
    began = time.perf_counter()
    lines = []
    with subprocess.Popen(
        [sys.executable, "-m", f"benchmarks.{benchmark.name}", *arguments],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            for line in process.stdout or ():
                sys.stdout.write(line)
                sys.stdout.flush()
                lines.append(line)
            code = process.wait()
        except BaseException:
            process.kill()
            raise
    problem = f"ended with exit code {code}" if code else ""
    return Outcome("".join(lines), time.perf_counter() - began, problem)


def tables_of(text: str) -> list[list[list[str]]]:
    """Return the Markdown tables of a text as rows of cells, the heading first."""
    tables: list[list[list[str]]] = []
    inside = False
    for line in text.splitlines():
        if not line.startswith("|"):
            inside = False
            continue
        cells = [cell.strip(" *") for cell in line.strip("|").split("|")]
        if not inside:
            tables.append([])
        inside = True
        if not set("".join(cells)) <= set("-: "):
            tables[-1].append(cells)
    return tables


def draw(benchmark: Benchmark, text: str, path: Path) -> bool:
    """Draw bars for the table of groups. Return whether the text has such a table."""
    from matplotlib.figure import Figure

    for heading, *rows in tables_of(text):
        columns = [heading.index(name) for name in benchmark.bars if name in heading]
        if heading[0] != "group" or not columns:
            continue
        figure = Figure(figsize=(8, 0.5 + 0.6 * len(rows)), layout="constrained")
        axes = figure.subplots()
        height = 0.8 / len(columns)
        for number, column in enumerate(columns):
            values = [float(row[column].split()[0]) for row in rows]
            places = [row + number * height for row in range(len(rows))]
            axes.barh(places, values, height, label=heading[column])
        axes.set_yticks([row + 0.4 - height / 2 for row in range(len(rows))])
        axes.set_yticklabels([row[0] for row in rows])
        axes.set_xlim(0, 1)
        axes.invert_yaxis()
        figure.legend(loc="outside upper right", ncols=len(columns))
        figure.savefig(path, dpi=110)
        return True
    return False


def commit() -> str:
    """Return the commit, with the ending `-dirty` for a changed checkout."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True
    )
    return done.stdout.strip() or "unknown"


def machine() -> Iterable[str]:
    """Yield the lines that describe the machine and the versions."""
    processor = platform.processor() or platform.machine()
    try:
        told = Path("/proc/cpuinfo").read_text().split("model name")[1]
        processor = told.split(":", 1)[1].splitlines()[0].strip()
    except (OSError, IndexError):
        pass
    yield f"processor: {processor}, {os.cpu_count()} cores"
    yield f"memory: {psutil.virtual_memory().total / 2**30:.0f} GiB"
    yield f"system: {platform.system()} {platform.release()}, Python {platform.python_version()}"
    for name in _PACKAGES:
        try:
            yield f"{name} {version(name)}"
        except PackageNotFoundError:
            yield f"{name}: not installed"
    yield f"commit {commit()}"


def page(outcomes: Sequence[tuple[Benchmark, Outcome]], out: Path) -> str:
    """Return the page in Markdown."""
    parts = [f"# Benchmarks of {time.strftime('%Y-%m-%d')}\n"]
    parts += [f"- {line}" for line in machine()]
    for benchmark, outcome in outcomes:
        command = " ".join(["python -m", f"benchmarks.{benchmark.name}", *benchmark.arguments])
        parts += [f"\n## {benchmark.title}\n", f"`{command}`, {outcome.seconds:.0f} s\n"]
        if outcome.problem:
            parts.append(f"**Not measured: {outcome.problem}.**\n")
        picture = out / f"{benchmark.name}.png"
        if benchmark.bars and outcome.text:
            draw(benchmark, outcome.text, picture)
        if picture.exists():
            parts.append(f"![{benchmark.title}]({picture.name})\n")
        parts.append(outcome.text)
    return "\n".join(parts) + "\n"


def gather(
    wanted: Sequence[Benchmark], out: Path, measure: Callable[[Benchmark], Outcome]
) -> list[tuple[Benchmark, Outcome]]:
    """Return stored and new outcomes of this commit, and write the page after each of them."""
    now = commit()
    outcomes: list[tuple[Benchmark, Outcome]] = []
    for benchmark in wanted:
        kept = out / f"{benchmark.name}.txt"
        of, _, rest = kept.read_text().partition("\n") if kept.exists() else ("", "", "")
        if of == now and not now.endswith("-dirty"):
            seconds, _, text = rest.partition("\n")
            outcome = Outcome(text, float(seconds), "")
        else:
            print(f"\n== {benchmark.title}", flush=True)
            outcome = measure(benchmark)
            if not outcome.problem:
                kept.write_text(f"{now}\n{outcome.seconds}\n{outcome.text}")
        outcomes.append((benchmark, outcome))
        (out / "README.md").write_text(page(outcomes, out))
    return outcomes


def main() -> None:
    """Run the benchmarks. The exit code is 1 if one of them failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="the development data's folder")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "benchmark")
    parser.add_argument("--only", nargs="+", choices=[one.name for one in BENCHMARKS])
    parser.add_argument("--again", action="store_true", help="repeat stored measurements")
    options = parser.parse_args()
    out: Path = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    wanted = [one for one in BENCHMARKS if not options.only or one.name in options.only]
    if options.again:
        for one in wanted:
            (out / f"{one.name}.txt").unlink(missing_ok=True)
    data = options.data.resolve() if options.data else None
    outcomes = gather(wanted, out, lambda one: run(one, data, out))
    print(f"\n{out / 'README.md'}")
    sys.exit(any(outcome.problem for _, outcome in outcomes))


if __name__ == "__main__":
    main()
