"""What workers do: one function a stage, for one block or some trees.

A task reads files and writes one of its own, whole or not at all; it returns figures, no arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dineuro.brain.results import save_trees
from dineuro.brain.store.folder import RunFolder
from dineuro.brain.store.grid import Grid, Size, Window
from dineuro.brain.store.input import Input
from dineuro.brain.store.volumes import LazyVolume, ZarrWriter, zarr_reader
from dineuro_bridge.files import atomic_output
from dineuro_bridge.options import TraceOptions
from dineuro_bridge.scale import Spacing, VoxelScale
from dineuro_model.enhancers.blocks import Frame
from dineuro_model.enhancers.classical import reach
from dineuro_model.enhancers.figures import Figures, Tally
from dineuro_model.enhancers.parts import (
    MEASURE_MARGIN,
    BlockMap,
    Part,
    enhance_part,
    map_blocks,
    measure_ground,
    measure_ridges,
)
from dineuro_model.intensity import sample_of_part
from dineuro_tracing.large.assembly import assemble
from dineuro_tracing.large.blocks import BlockLines, trace_block
from dineuro_tracing.large.faces import Links, PieceTable
from dineuro_tracing.large.joins import Candidates, Neighbourhood, find_candidates
from dineuro_tracing.large.trees import Images, OpenEnds, finish_trees
from dineuro_tracing.links import Surroundings
from dineuro_tracing.soma import Body

#: Voxels around a core in which its lines are traced.
HALO = 32
#: A tree of this length (finest voxels) is finished by itself.
ALONE = 2000.0


@dataclass(frozen=True, slots=True)
class Job:
    """What all tasks of a run know.

    Attributes:
        given: the volume.
        folder: of the run, for all workers.
        grid: the blocks.
        spacing: z, y, x in µm; None takes voxels as cubes.
        options: of the trace.
        name: of the volume, for the comments of the trees.
        most_bytes: that the folder may take; None is what the disk has.
    """

    given: Input
    folder: str
    grid: Grid
    spacing: Spacing | None
    options: TraceOptions
    name: str
    most_bytes: int | None = None

    @property
    def files(self) -> RunFolder:
        """The files of the run."""
        return RunFolder(Path(self.folder))

    @property
    def scale(self) -> VoxelScale:
        """The voxel's edges."""
        return VoxelScale(self.spacing)

    def check_room(self, n_blocks: int, *, network: bool) -> None:
        """See `RunFolder.check_room`."""
        self.files.check_room(self.grid, n_blocks, network=network, most=self.most_bytes)

    def part(self, window: Window, low: float, span: float) -> Part:
        """A window as the enhancer takes it."""
        frame = Frame(self.grid.size, window.start, window.shape)
        voxels = self.given.window(window, low)
        return Part(voxels, frame, window.core, low, span, self.scale.optical.edges)


def measure_range(job: Job, block: int) -> dict[str, Any]:
    """The first stage: the range of a block's intensities, its maxima along each axis, a sample."""
    window = job.grid.window(block)
    voxels = job.given.core(window)
    low, high = voxels.min().item(), voxels.max().item()
    sample = sample_of_part(voxels, window.start, job.grid.size)
    if low < high:
        rows = {name: voxels.max(axis=axis) for axis, name in enumerate("zyx")}
        save(job.files.stage("range", block), sample=sample, **rows)
    return {"low": low, "high": high, "sampled": len(sample)}


def measure_block_ground(job: Job, block: int, low: float, span: float) -> dict[str, Any]:
    """The second stage: the medians of the ground."""
    part = job.part(job.grid.window(block, (MEASURE_MARGIN,) * 3), low, span)
    found = measure_ground(part)
    save(job.files.stage("ground", block), medians=found.medians, values=found.middle.values,
          counts=found.middle.counts)  # fmt: skip
    return {"darkest": found.darkest, "brightest": found.brightest}


def measure_block_ridges(job: Job, block: int, low: float, span: float) -> dict[str, Any]:
    """The third stage: the ridges and the noise."""
    part = job.part(job.grid.window(block, (MEASURE_MARGIN,) * 3), low, span)
    found = measure_ridges(part, block_map(job, "medians.npy", part.frame))
    save(job.files.stage("ridges", block), noise=found.noise, values=found.ridges.values,
          counts=found.ridges.counts, ground_values=found.background.values,
          ground_counts=found.background.counts)  # fmt: skip
    return {"ridges": int(found.ridges.counts.sum())}


def enhance_block(job: Job, block: int, figures: Figures) -> dict[str, Any]:
    """The fourth stage: the probability and the mask of a block, as chunks of their volumes."""
    return store(job, block, classical_probability(job, block, figures))


def classical_probability(job: Job, block: int, figures: Figures) -> NDArray[np.uint8]:
    """The probability (Z, Y, X) of a block's core by the classical enhancer."""
    z, y, x = (-(-r // 4) * 4 for r in reach(job.scale.optical.edges))
    window = job.grid.window(block, (z, y, x))
    part = job.part(window, figures.low, figures.span)
    medians, noise = (block_map(job, name, part.frame) for name in ("medians.npy", "noise.npy"))
    return enhance_part(part, figures, medians, noise)


def store(job: Job, block: int, probability: NDArray[np.uint8]) -> dict[str, Any]:
    """Write the probability of a block's core, and its mask."""
    window = job.grid.window(block)
    mask = probability >= job.options.threshold
    ZarrWriter(job.files.probability).write(window.core_roi, probability)
    ZarrWriter(job.files.mask).write(window.core_roi, mask * np.uint8(255))
    return {"voxels": mask.size, "mask": int(np.count_nonzero(mask))}


def trace_lines(job: Job, block: int) -> dict[str, Any]:
    """The fifth stage: the lines of a block."""
    window = job.grid.window(block, (HALO,) * 3)
    probability = zarr_reader(job.files.probability)(window.roi)
    lines = trace_block(
        probability, window.start, window.core, job.grid.size, job.options, job.scale
    )
    lines.save(job.files.stage("lines", block))
    return {
        "points": len(lines),
        "chances": np.bincount(lines.probability, minlength=256).tolist() if len(lines) else [],
        "somata": [
            [*centre, *size]
            for centre, size in zip(
                lines.soma_centre.tolist(), lines.soma_size.tolist(), strict=True
            )
        ],
    }


@dataclass(frozen=True, slots=True)
class Whole:
    """The figures of all lines, see `links.Surroundings`, and the blocks in their order.

    Attributes:
        probability, n_pieces, total: of the lines.
        somata: all of them.
    """

    probability: float
    n_pieces: int
    total: float
    somata: tuple[Body, ...]


def find_joins(job: Job, block: int, whole: Whole) -> dict[str, Any]:
    """The sixth stage: the possible joins of a block's tips, and the pieces of its somata."""
    files, gap = job.files, job.options.gap
    blocks, pieces, length = _load_pieces(files)
    lines = {
        near: BlockLines.load(files.stage("lines", near))
        for near in job.grid.around(block)
        if near in blocks
    }
    margin = [int(gap / edge) + HALO for edge in job.scale.optical.edges]
    window = job.grid.window(block, (margin[0], margin[1], margin[2]))
    kept = {
        near: np.asarray(((of.voxels >= window.start) & (of.voxels < window.stop)).all(axis=1))
        for near, of in lines.items()
    }
    links = load_links(files.shared("links.npz")).touching(set(lines))
    near = assemble(lines, links, kept)
    piece = np.concatenate([pieces.number(blocks[b], lines[b])[kept[b]] for b in sorted(lines)])
    around = Surroundings(length, whole.probability, whole.n_pieces, whole.total)
    somata = [body for body in whole.somata if _inside(body.centre, window.start, window.stop)]
    probability = zarr_reader(files.probability)(window.roi)
    found, places = find_candidates(
        Neighbourhood(near, piece, block, probability, window.start, around), somata, gap,
        job.scale.optical,
    )  # fmt: skip
    found.save(files.stage("joins", block))
    own = [
        [*place, *body.centre]
        for body, place in zip(somata, places, strict=True)
        if job.grid.block_of(_voxel(body.centre)) == block and place[2] >= 0
    ]
    return {"candidates": len(found), "somata": own}


@dataclass(frozen=True, slots=True)
class Group:
    """Trees that are finished together.

    Attributes:
        pieces: by block, the numbers of their pieces among all.
        somata: of these trees.
    """

    pieces: dict[int, tuple[int, ...]]
    somata: tuple[Body, ...]


def finish_group(job: Job, number: int, group: Group) -> dict[str, Any]:
    """The seventh stage: the nodes of some trees, with confidences and doubts."""
    files = job.files
    blocks, pieces, length = _load_pieces(files)
    lines = {block: BlockLines.load(files.stage("lines", block)) for block in group.pieces}
    kept = {
        block: np.isin(pieces.number(blocks[block], lines[block]), of)
        for block, of in group.pieces.items()
    }
    joins = Candidates.load(files.shared("joins.npz"))
    known = np.array(sorted(piece for of in group.pieces.values() for piece in of))
    joins = joins.chosen(np.isin(joins.piece_a, known) & np.isin(joins.piece_b, known))
    ends = OpenEnds.of(Candidates.load(files.shared("open.npz")), known, length)
    links = load_links(files.shared("links.npz")).touching(set(lines))
    images = Images(
        LazyVolume(zarr_reader(files.probability), job.grid.size).as_array(),
        LazyVolume(job.given.reader(), job.grid.size).as_array(),
    )
    done = finish_trees(
        assemble(lines, Links.concatenate(links, joins.links()), kept), group.somata, joins,
        ends, images, job.options, job.scale,
    )  # fmt: skip
    save_trees(files.stage("trees", number), done)
    return {"trees": len(done), "length": sum(each.length for each in done)}


def save_links(path: Path, links: Links) -> None:
    """Write the links across faces."""
    save(path, **{name: getattr(links, name) for name in _LINKS})


def load_links(path: Path) -> Links:
    """The links across faces."""
    with np.load(path) as file:
        return Links(*(file[name] for name in _LINKS))


_LINKS = ("block_a", "point_a", "block_b", "point_b", "joined")


def save_pieces(files: RunFolder, blocks: list[int], pieces: PieceTable,
                length: NDArray[np.float64]) -> None:  # fmt: skip
    """Write the table of pieces: the blocks in their order, and the length of each piece's tree."""
    save(files.shared("pieces.npz"), blocks=np.array(blocks, dtype=np.int64), first=pieces.first,
          length=pieces.length, of_tree=length)  # fmt: skip


def _load_pieces(files: RunFolder) -> tuple[dict[int, int], PieceTable, NDArray[np.float64]]:
    with np.load(files.shared("pieces.npz")) as file:
        order = {block: at for at, block in enumerate(file["blocks"].tolist())}
        return order, PieceTable(file["first"], file["length"]), file["of_tree"]


def load_tally(path: Path, prefix: str = "") -> Tally:
    """A tally that a stage wrote."""
    with np.load(path) as file:
        return Tally(file[prefix + "values"], file[prefix + "counts"])


def block_map(job: Job, name: str, frame: Frame) -> BlockMap:
    """The values of the blocks around a part, from a file of the driver."""
    which = map_blocks(frame)
    values = np.load(job.files.shared(name), mmap_mode="r")
    z, y, x = (each.start for each in which)
    return BlockMap(np.array(values[which]), (z, y, x))


def save(path: Path, **arrays: NDArray[Any]) -> None:
    """Write arrays to a file, whole or not at all."""
    with atomic_output(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def _voxel(place: tuple[float, float, float]) -> Size:
    z, y, x = (int(a) for a in place)
    return z, y, x


def _inside(place: tuple[float, float, float], low: Size, high: Size) -> bool:
    return all(a <= p < b for p, a, b in zip(place, low, high, strict=True))
