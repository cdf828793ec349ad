"""Tracers for comparison. Each runs in a process of its own, to separate its time and memory.

    DINeuro    the project's tracer, on the probability: the tree of the root, and all pieces
    kimimaro   TEASAR (Sato et al. 2000) on the mask, if the package is installed; it is not a part
               of DINeuro, and only this module imports it
    others     any program, as a template of a command line

kimimaro's lengths are nanometres, and its example is electron microscopy with 16 nm per voxel.
Here its lengths are finest voxels, like DINeuro's. `scale` 1.5, `pdrf_scale`, `pdrf_exponent`, the
factor of the soma and its thresholds (750 and 3500 nm are 47 and 219 voxels) are the defaults of
its README. Two parameters were chosen in its favour, because its defaults give worse trees here.
They are the best of a `const` of 1.5 to 19 and a dust of 10 to 1000 voxels, on classical masks of
tuning stacks. kimimaro makes a skeleton of every piece and joins none. All its pieces are scored,
which improves its recall on broken neurons and reduces its precision in clutter.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, connected_components

from dineuro_bridge.errors import BadParameter, DineuroError
from dineuro_bridge.options import TraceOptions
from dineuro_bridge.scale import VoxelScale
from dineuro_bridge.trees.swc import read_swc, write_swc
from dineuro_bridge.trees.tree import Tree
from dineuro_tracing.trace import trace

Scale = tuple[float, float, float]
Tracer = Callable[[NDArray[np.uint8], Scale], Tree]

#: The least probability of a voxel in the peers' mask; it is also the default of DINeuro.
THRESHOLD = 128
_KIMIMARO: dict[str, Any] = {
    "scale": 1.5,
    "const": 3,
    "pdrf_scale": 100_000,
    "pdrf_exponent": 4,
    "soma_detection_threshold": 47,
    "soma_acceptance_threshold": 219,
    "soma_invalidation_const": 3,
    "soma_invalidation_scale": 2,
}
_DUST = 10
#: Starts another program from a small process. The peak memory of a program includes that of the
#: process which starts it.
_LAUNCH = """
import json, resource, subprocess, sys, time
start = time.perf_counter()
status = subprocess.call(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
seconds = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
print(json.dumps({"seconds": seconds, "peak": peak}))
sys.exit(status)
"""
_HOUSE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """The result of a tracer on a volume.

    Attributes:
        tree: empty if it failed.
        seconds: the time of the tracing alone, or of the whole other program.
        peak: the bytes of the tracing beside its input, or all bytes of the other program.
        error: the reason of a failure; empty after a success.
    """

    tree: Tree
    seconds: float
    peak: int
    error: str = ""


@dataclass(frozen=True, slots=True)
class Command:
    """Another program: a name, and its command line.

    Attributes:
        name: the name in the tables.
        line: the command line. {volume} stands for the stack, {mask} for an 8-bit TIFF of the mask
            (0 and 255), {swc} for the tree that the program writes.
    """

    name: str
    line: str

    @classmethod
    def parse(cls, text: str) -> Command:
        """Parse NAME=COMMAND.

        Raises:
            BadParameter: the text has no name, no {swc}, or neither {volume} nor {mask}.
        """
        name, _, line = text.partition("=")
        command = cls(name.strip(), line)
        if not command.name or "{swc}" not in line or not ("{volume}" in line or "{mask}" in line):
            raise BadParameter(
                f"peer {text!r}: must be NAME=COMMAND with {{swc}} and {{volume}} or {{mask}} in it"
            )
        return command

    @property
    def wants_mask(self) -> bool:
        """Whether the program runs once per enhancer."""
        return "{mask}" in self.line


def has_kimimaro() -> bool:
    """Whether kimimaro is installed."""
    return find_spec("kimimaro") is not None


def dineuro(probability: NDArray[np.uint8], scale: Scale) -> Tree:
    """Trace with DINeuro's defaults."""
    return trace(probability, TraceOptions(threshold=THRESHOLD), scale=VoxelScale(scale)).tree


def dineuro_all(probability: NDArray[np.uint8], scale: Scale) -> Tree:
    """Trace with DINeuro and keep every piece, as kimimaro does."""
    parameters = TraceOptions(threshold=THRESHOLD, trees="all")
    return trace(probability, parameters, scale=VoxelScale(scale)).tree


def kimimaro(probability: NDArray[np.uint8], scale: Scale) -> Tree:
    """Return all skeletons of the mask as a forest, in voxels; radii are in finest voxels."""
    import kimimaro as library

    # kimimaro uses Fortran's order, x first. The transposed view needs no copy.
    labels = (probability >= THRESHOLD).view(np.uint8).T
    skeletons = library.skeletonize(
        labels,
        teasar_params=_KIMIMARO,
        dust_threshold=_DUST,
        anisotropy=scale[::-1],
        progress=False,
        parallel=1,
    )
    if not skeletons:
        return Tree.empty()
    skeleton = skeletons[1]
    return as_tree(skeleton.vertices / np.array(scale[::-1]), skeleton.radius, skeleton.edges)


def as_tree(xyz: NDArray[Any], radii: NDArray[Any], edges: NDArray[Any]) -> Tree:
    """Return points and edges (E, 2) as a forest. Each piece starts at its first point."""
    n = len(xyz)
    pairs = edges.astype(np.int64)
    links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n + 1, n + 1))
    pieces = connected_components(links.tocsr(), directed=False)[1][:n]
    firsts = np.unique(pieces, return_index=True)[1]
    # The search starts from an extra point, which is linked to the first point of every piece.
    rows = np.concatenate([pairs[:, 0], np.full(len(firsts), n)])
    columns = np.concatenate([pairs[:, 1], firsts])
    graph = coo_array((np.ones(len(rows)), (rows, columns)), shape=(n + 1, n + 1)).tocsr()
    before = breadth_first_order(graph, n, directed=False)[1][:n].astype(np.int64)
    return Tree.from_links(xyz, radii, np.where(before == n, -1, before), np.full(n, 3))


TRACERS: dict[str, Tracer] = {
    "DINeuro": dineuro,
    "DINeuro (all pieces)": dineuro_all,
    "kimimaro": kimimaro,
}


def run_tracer(
    name: str, probability: Path, scale: Scale, folder: Path, seconds: float = 600
) -> Run:
    """Run one of `TRACERS` on a saved probability (.npy) in a process of its own.

    Args:
        name: the name of the tracer.
        probability: (Z, Y, X) uint8 in numpy's format.
        scale: (z, y, x), the edges of a voxel in units of the shortest one.
        folder: the folder for the tree.
        seconds: the time limit.
    """
    out = folder / "tree.swc"
    words = [sys.executable, "-m", "benchmarks.peers", name, str(probability), str(out)]
    return _run([*words, *map(str, scale)], out, seconds, folder=_HOUSE)


def run_command(
    command: Command, volume: Path, mask: Path, folder: Path, seconds: float = 600
) -> Run:
    """Run another program on a stack or a mask, and measure its total time and memory."""
    out = folder / "tree.swc"
    places = {"volume": volume.resolve(), "mask": mask.resolve(), "swc": out.resolve()}
    words = [word.format(**places) for word in shlex.split(command.line)]
    return _run([sys.executable, "-I", "-S", "-c", _LAUNCH, *words], out, seconds)


def _run(words: list[str], out: Path, seconds: float, *, folder: Path | None = None) -> Run:
    """Run a process that prints {"seconds", "peak"} and writes a tree. No tree is a failure."""
    out.unlink(missing_ok=True)
    # The process has a session of its own, so that all its children can be ended with it.
    child = subprocess.Popen(
        words,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        said, errors = child.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
        return Run(Tree.empty(), seconds, 0, f"took more than {seconds:g} s")
    try:
        figures = json.loads(said)
    except json.JSONDecodeError:
        return Run(Tree.empty(), 0.0, 0, _last_line(errors))
    run = Run(Tree.empty(), figures["seconds"], figures["peak"])
    if child.returncode:
        return replace(run, error=f"exit {child.returncode}: {_last_line(errors)}")
    try:
        tree = read_swc(out)
    except DineuroError as error:
        return replace(run, error=str(error))
    return replace(run, tree=tree, error="" if len(tree) else "the tree is empty")


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no word of why"])[-1]


def _measure(name: str, probability: Path, out: Path, scale: Scale) -> dict[str, float]:
    """Return the seconds, and the growth of the peak resident memory."""
    tracer = TRACERS[name]
    # Loads or compiles the compiled loops before the measurement: a hollow body, forks and a gap.
    small = np.zeros((24, 48, 64), dtype=np.uint8)
    small[10:14, 10:14, 4:60] = small[10:14, 4:44, 30:33] = small[6:18, 18:30, 26:38] = 255
    small[11:13, 23:25, 31:33] = small[:, :, 46:50] = 0
    tracer(small, (1.0, 1.0, 1.0))
    volume = np.load(probability)
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = _resident("VmRSS")
    start = time.perf_counter()
    tree = tracer(volume, scale)
    seconds = time.perf_counter() - start
    peak = _resident("VmHWM") - before
    write_swc(out, tree)
    return {"seconds": seconds, "peak": peak}


def _resident(what: str) -> int:
    """Return the resident memory of this process in bytes (VmRSS), or its peak (VmHWM)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(what + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {what}: memory is measured on Linux alone")


if __name__ == "__main__":
    tracer_, probability_, out_, *scale_ = sys.argv[1:]
    z_, y_, x_ = map(float, scale_)
    print(json.dumps(_measure(tracer_, Path(probability_), Path(out_), (z_, y_, x_))))
