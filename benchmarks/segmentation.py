"""The speed and the memory of the network, and the ViT's share of the processor's peak.

    python -m benchmarks.segmentation                       # a dense and a sparse rendered stack
    python -m benchmarks.segmentation --stack a.tif --stack b.tif
    python -m benchmarks.segmentation --runtime torch       # and not the best one that is installed

Each round segments every stack once, with the network and with the classical enhancer. The table
has the medians of the rounds, least and most, and the ratio of the two. The peak memory is that of
a process with no other work. The share of the peak compares the matrix products of the ViT's
blocks with the best rate of a large bfloat16 matrix product, measured in the same minute.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dineuro_bridge.volumes.formats import read_volume
from dineuro_model.catalog import find_model
from dineuro_model.enhancers.classical import enhance
from dineuro_model.inference.registry import Model, load_model
from dineuro_model.inference.segment import segment
from dineuro_model.inference.torch_runtime import has_fast_bf16
from dineuro_model.network.weights import load_network
from dineuro_model.synthesis.growth import grow_tree
from dineuro_model.synthesis.rendering import RenderSettings, render

_DENSE, _SPARSE = (64, 448, 448), (160, 320, 320)
#: The options of `dineuro trace`.
_READY = """
import sys
import numpy
from dineuro_model.inference.registry import load_model
from dineuro_model.inference.segment import segment
model = load_model(runtime=sys.argv[1] or None)
segment(numpy.eye(56, dtype="u1")[None].repeat(16, 0), model.runtime)
print("answered", flush=True)
"""


def rendered(shape: tuple[int, int, int], look: RenderSettings) -> NDArray[Any]:
    """Return a grown neuron."""
    rng = np.random.default_rng(7)
    return render(grow_tree(shape, rng), shape, rng, look).voxels


def seconds_of(work: Callable[[], Any]) -> float:
    """Return the seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def speed(stacks: dict[str, NDArray[Any]], model: Model, rounds: int) -> None:
    """Print the voxels per second of every stack."""
    print(f"The network runs in {model.runtime.info}.\n")
    print("| stack | voxels | not 0 | network, Mvoxel/s | least to most | classical | ratio |")
    print("|---|---|---|---|---|---|---|")
    for name, voxels in stacks.items():
        segment(voxels[:16], model.runtime)
        times = [
            (
                seconds_of(partial(segment, voxels, model.runtime)),
                seconds_of(partial(enhance, voxels)),
            )
            for _ in range(rounds)
        ]
        million = voxels.size / 1e6
        network = [million / t for t, _ in times]
        classical = statistics.median(million / t for _, t in times)
        ratio = statistics.median(c / n for n, c in times)
        print(
            f"| {name} | {million:.1f} M | {np.count_nonzero(voxels) / voxels.size:.0%} "
            f"| {statistics.median(network):.2f} | {min(network):.2f} to {max(network):.2f} "
            f"| {classical:.2f} | {ratio:.2f} |"
        )


def ready(rounds: int, runtime: str | None) -> None:
    """Print the time of a new process until its first window is segmented."""
    times = [_first_answer(runtime) for _ in range(rounds)]
    print(
        f"\nA fresh process to the first answer: {statistics.median(times):.1f} s "
        f"({min(times):.1f} to {max(times):.1f}), all imports included."
    )


def _first_answer(runtime: str | None) -> float:
    """Return the seconds from the start of a process until its answer, and wait for its end."""
    start = time.perf_counter()
    command = [sys.executable, "-c", _READY, runtime or ""]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        answer, seconds = process.stdout.readline(), time.perf_counter() - start
    if answer != "answered\n":
        raise SystemExit("the network did not answer")
    return seconds


def memory(runtime: str | None) -> None:
    """Print the peak memory of segmenting one volume in a process of its own."""
    for shape in (_DENSE, (128, 640, 640)):
        command = [sys.executable, "-m", "benchmarks.segmentation", "--peak", *map(str, shape)]
        command += [] if runtime is None else ["--runtime", runtime]
        peak = int(subprocess.run(command, check=True, capture_output=True).stdout)
        voxels = int(np.prod(shape))
        print(f"Peak memory for {voxels / 1e6:.0f} M voxels of uint8: {peak / 1e9:.2f} GB.")


def peak_of(shape: tuple[int, ...], runtime: str | None) -> int:
    """Return the peak memory in bytes of a process that segments noise of this shape."""
    noise = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    segment(noise, load_model(runtime=runtime).runtime)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def vit_share() -> None:
    """Print the rate of the ViT's blocks as a share of the best matrix product."""
    dtype = torch.bfloat16 if has_fast_bf16(torch.device("cpu")) else torch.float32
    weights = find_model()
    network = load_network(weights.path, sha256=weights.sha256).to(dtype).reuse_memory()
    size, batch = 336, 2
    window = torch.rand(batch, network.config.depth, size, size, dtype=dtype)
    side = torch.rand(4096, 4096, dtype=dtype)
    with torch.inference_mode():
        for _ in range(2):
            whole = seconds_of(lambda: network(window))
            vit = seconds_of(lambda: network.tokens(window, (size // 8, size // 8)))
            embedding = seconds_of(lambda: network.vit.patch_embed(window))
            product = seconds_of(lambda: side @ side)
    peak = 2 * 4096**3 / product
    tokens, width = (size // network.patch) ** 2 + 1, network.vit.embed_dim
    a_block = 24 * tokens * width**2 + 4 * tokens**2 * width
    rate = batch * len(network.vit.blocks) * a_block / (vit - embedding)
    print(
        f"\n{dtype} matrix product: {peak / 1e9:.0f} Gflop/s; the ViT's blocks: "
        f"{rate / 1e9:.0f} Gflop/s, {rate / peak:.0%} of it. Of a window's time the embedding "
        f"with its tubes takes {embedding / whole:.0%}, the ViT's blocks "
        f"{(vit - embedding) / whole:.0%}, the U-Net {(whole - vit) / whole:.0%}."
    )


def main() -> None:
    """Run all measurements."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stack", type=Path, action="append", default=[])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runtime", help="a name of the registry; by default the best one")
    parser.add_argument("--peak", type=int, nargs=3, help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.peak:
        print(peak_of(tuple(words.peak), words.runtime))
        return
    stacks = {path.stem: read_volume(path).channel(1) for path in words.stack} or {
        "rendered, dense": rendered(_DENSE, RenderSettings.medium()),
        "rendered, masked": rendered(_SPARSE, RenderSettings(masked="tight")),
    }
    model = load_model(runtime=words.runtime)
    speed(stacks, model, words.rounds)
    ready(words.rounds, words.runtime)
    memory(words.runtime)
    vit_share()


if __name__ == "__main__":
    main()
