"""Which enhancer a run uses, and the stages of the network."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from dineuro.brain.network import work
from dineuro.brain.network.work import Net
from dineuro.brain.stages import Run
from dineuro.pipeline.agreement import Agreement
from dineuro.pipeline.enhancement import CLEAR, objection, slices_between
from dineuro_bridge.errors import BadParameter
from dineuro_model.catalog import find_model
from dineuro_model.enhancers.clearness import Variation
from dineuro_model.enhancers.figures import Figures
from dineuro_model.inference.blockwise import signal_map
from dineuro_model.inference.registry import cached_model
from dineuro_model.inference.tiles import CELL, layers
from dineuro_model.intensity import range_of_sample

#: Blocks in which "auto" measures the noise, and in which it tries the network, at most.
_NOISE_BLOCKS, _TRIAL_BLOCKS = 32, 4
#: Blocks that were left out as dark and are looked at nevertheless, at most.
_DARK_BLOCKS = 8


@dataclass(frozen=True, slots=True)
class Choice:
    """The enhancer of a run.

    Attributes:
        net: None for the classical enhancer.
        figures: of the classical enhancer; None where the network is alone.
        clearness: that "auto" measured, see `ClassicalEnhancement`.
    """

    net: Net | None
    figures: Figures | None
    clearness: float | None = None

    def stated(self) -> dict[str, Any]:
        """What the report tells, and what later work depends on."""
        return {
            "enhancer": "classical" if self.net is None else "dineuro",
            "clearness": self.clearness,
            "figures": None if self.figures is None else asdict(self.figures),
            "network": None if self.net is None else asdict(self.net),
        }


def the_network(run: Run, ranges: dict[int, dict[str, Any]]) -> Net:
    """The network of a run, and the scale of its volume.

    Args:
        run: the run.
        ranges: of all blocks with contrast.

    Raises:
        BadParameter: the network reads the ridges of the whole volume.
    """
    job = run.job
    model = find_model(job.options.model)
    name = None if job.options.model is None else str(job.options.model)
    geometry = cached_model(name).runtime.geometry
    if "ridge" in geometry.inputs:
        raise BadParameter(
            f"model {model.name}: reads the classical ridges of the whole volume, which no run of "
            "blocks has: --enhancer classical, or another --model"
        )
    samples = []
    for block in ranges:
        with np.load(job.files.stage("range", block)) as file:
            samples.append(file["sample"])
    scale = range_of_sample(np.concatenate(samples))
    return Net(name, model.sha256, geometry, scale, slices_between(job.scale))


def choose(run: Run, ranges: dict[int, dict[str, Any]], figures: Figures) -> Choice:
    """What "auto" takes, from samples of blocks: the choice of `pipeline.enhancement`."""
    job = run.job
    blocks = run.without_holes(ranges)
    items = ((b, (job, b, figures)) for b in _spread(blocks, _NOISE_BLOCKS))
    found = run.stage("noise", work.measure_noise, items, asdict(figures))
    if not figures.bright or not found:
        return Choice(None, figures, 0.0)
    variations = [_variation(each) for each in found.values()]
    total = variations[0]
    for each in variations[1:]:
        total = total + each
    clearness = total.clearness(figures.bright, job.scale.optical.edges)
    if clearness >= CLEAR:
        return Choice(None, figures, clearness)
    net = the_network(run, ranges)
    sample = _spread(run.without_holes(blocks), _TRIAL_BLOCKS)
    trials = ((b, (job, b, net, figures)) for b in sample)
    tried = run.stage("trial", work.try_network, trials, asdict(figures), asdict(net))
    count = sum(each["count"] for each in tried.values())
    sureness = sum(each["sure"] for each in tried.values()) / count / 255 if count else None
    results = list(tried.values())
    warning = objection(sureness, _agreement(results, "network"),
                        lambda: _agreement(results, "classical"))  # fmt: skip
    if warning:
        run.warnings.append(warning)
        return Choice(None, figures, clearness)
    return Choice(net, figures, clearness)


def enhance_all(
    run: Run, ranges: dict[int, dict[str, Any]], choice: Choice, net: Net
) -> dict[int, Any]:
    """The stages of the network, up to the probabilities of all blocks; their figures."""
    job, files = run.job, run.job.files
    stated = choice.stated()
    items = ((b, (job, b, net)) for b in run.without_holes(ranges))
    signal = run.stage("signal", work.mark_signal, items, asdict(net))
    blocks = [b for b, each in signal.items() if each["cells"]]
    grid, depth = net.grid(job.grid.size), job.grid.size[0]
    _, height, width = job.grid.size
    count = sum(1 for _ in layers(grid, depth))
    shape = (count, -(-height // CELL), -(-width // CELL))
    whole = np.zeros(shape, dtype=np.bool_)
    parts = ((job.grid.window(b).start, work.load_signal(job, b)) for b in blocks)
    signal_map(grid, depth, parts, whole)
    np.save(files.shared("signal.npy"), whole)
    np.save(files.shared("signal_blocks.npy"), np.array(blocks, dtype=np.int64))
    digest = hashlib.sha256(np.packbits(whole).tobytes()).hexdigest()
    items = ((b, (job, b, net)) for b in blocks)
    done = run.stage("network", work.predict_tiles, items, asdict(net), digest, blocks)
    named = ((b, (job, b, net, choice.figures)) for b in run.without_holes(blocks))
    return run.stage("enhance", work.enhance_by_network, named, stated, digest, list(done))


def check_dark(run: Run, dark: Sequence[int], choice: Choice) -> dict[str, Any]:
    """What a sample of the blocks that were left out holds: their number and their length."""
    job, net, figures = run.job, choice.net, choice.figures
    items = ((b, (job, b, net, figures)) for b in _spread(dark, _DARK_BLOCKS))
    found = run.stage("dark", work.look_at_dark, items, choice.stated())
    length = sum(each["length"] for each in found.values())
    return {"blocks": len(found), "length": round(length, 1)}


def _spread(blocks: Sequence[int], most: int) -> list[int]:
    """Some of the blocks, evenly spread; all of a few."""
    if len(blocks) <= most:
        return list(blocks)
    return [blocks[len(blocks) * (2 * at + 1) // (2 * most)] for at in range(most)]


def _variation(figures: dict[str, Any]) -> Variation:
    near, every = (tuple((a, b) for a, b in figures[name]) for name in ("near", "all"))
    return Variation(near, every, (figures["share"][0], figures["share"][1]))


def _agreement(tried: list[dict[str, Any]], name: str) -> Agreement:
    """The mean agreement of the blocks in which it is known."""
    means = []
    for at in range(2):
        known = [each[name][at] for each in tried if each[name][at] is not None]
        means.append(float(np.mean(known)) if known else None)
    return Agreement(means[0], means[1])
