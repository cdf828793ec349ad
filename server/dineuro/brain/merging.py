"""From the lines of blocks to trees: faces, joins over gaps, somata; one task for some trees."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dineuro.brain import tasks
from dineuro.brain.stages import Run
from dineuro.brain.tasks import Group, Job, Whole
from dineuro_bridge.progress import Progress
from dineuro_tracing.gaps import Forest
from dineuro_tracing.large.blocks import BlockLines
from dineuro_tracing.large.faces import link_faces
from dineuro_tracing.large.joins import Candidates, choose_joins, likely_somata
from dineuro_tracing.links import counts_as_piece
from dineuro_tracing.soma import Body

#: Pieces without a soma that are finished together, at most.
_PIECES_A_GROUP = 200


def find_trees(run: Run, blocks: list[int], stated: dict[str, Any]) -> tuple[int, ...]:
    """The stages from lines to trees; the numbers of the groups of finished trees."""
    job, files = run.job, run.job.files
    found = run.stage(
        "lines",
        tasks.trace_lines,
        ((b, (job, b)) for b in blocks),
        stated,
        [e.number for e in run.holes],
    )
    blocks = [block for block, each in found.items() if each["points"]]
    if not blocks:
        run.warnings.append("no neurite was found: there are no trees")
        return ()
    number = {block: at for at, block in enumerate(blocks)}

    def load(at: int) -> BlockLines:
        return BlockLines.load(files.stage("lines", blocks[at]))

    run.progress(Progress("faces", 0, 1))
    faces = link_faces(len(blocks), load, lambda v: number.get(job.grid.block_of(v)), job.scale)
    order = np.array(blocks)
    links = faces.links.renumbered(order)
    tasks.save_links(files.shared("links.npz"), links)
    tasks.save_pieces(files, blocks, faces.pieces, faces.forest.lengths())
    whole = _whole(job, [found[b] for b in blocks], faces.forest)
    inputs = (stated, blocks, asdict(whole))
    items = ((b, (job, b, whole)) for b in blocks)
    joined = run.stage("joins", tasks.find_joins, items, *inputs)
    made, still_open = choose_joins(
        Candidates.concatenate([Candidates.load(files.stage("joins", b)) for b in joined]),
        faces.forest,
    )
    made.save(files.shared("joins.npz"))
    still_open.save(files.shared("open.npz"))
    somata = [
        (piece, Body((z, y, x), *_size(whole, (z, y, x))))
        for each in joined.values()
        for _, _, piece, z, y, x in each["somata"]
    ]
    groups = _groups(job, blocks, faces.forest, faces.pieces.first, somata)
    shown = [_stated_group(group) for group in groups]
    named = ((n, (job, n, group)) for n, group in enumerate(groups))
    done = run.stage("trees", tasks.finish_group, named, *inputs, shown, len(made))
    return tuple(done)


def _whole(job: Job, found: list[dict[str, Any]], forest: Forest) -> Whole:
    """The figures of all lines."""
    chances = np.sum([each["chances"] for each in found], axis=0)
    half = int(np.searchsorted(np.cumsum(chances), chances.sum() / 2))
    length = forest.lengths()[np.unique(forest.trees())]
    somata = [
        Body((float(z), float(y), float(x)), float(radius), float(lateral), int(axis))
        for each in found
        for z, y, x, radius, lateral, axis in each["somata"]
    ]
    return Whole(
        half / 255, int(counts_as_piece(length).sum()), float(length.sum()),
        tuple(likely_somata(somata, job.scale)),
    )  # fmt: skip


def _size(whole: Whole, centre: tuple[float, float, float]) -> tuple[float, float, int]:
    """Radius, lateral radius and flat axis of the soma with this centre."""
    body = next(each for each in whole.somata if each.centre == centre)
    return body.radius, body.lateral, body.axis


def _groups(
    job: Job, blocks: list[int], forest: Forest, first: NDArray[np.int64],
    somata: list[tuple[int, Body]],
) -> list[Group]:  # fmt: skip
    """The trees that are finished together: each with a soma or of some length is alone."""
    tree, lengths = forest.trees(), forest.lengths()
    of_soma: dict[int, list[Body]] = {}
    for piece, body in somata:
        of_soma.setdefault(int(tree[piece]), []).append(body)
    block_of = np.repeat(np.array(blocks), np.diff(first))
    order = np.argsort(tree, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(tree[order]) != 0])
    groups, small = [], list[NDArray[np.int64]]()
    for pieces in np.split(order, starts[1:]):
        root = int(tree[pieces[0]])
        if root in of_soma or lengths[root] >= tasks.ALONE:
            groups.append(_group(pieces, block_of, tuple(of_soma.get(root, ()))))
        elif lengths[root] >= job.options.min_length:
            small.append(pieces)
    small.sort(key=lambda pieces: int(pieces[0]))
    return groups + [
        _group(np.concatenate(small[at : at + _PIECES_A_GROUP]), block_of, ())
        for at in range(0, len(small), _PIECES_A_GROUP)
    ]


def _group(
    pieces: NDArray[np.int64], block_of: NDArray[np.int64], somata: tuple[Body, ...]
) -> Group:
    by_block: dict[int, list[int]] = {}
    for piece in pieces.tolist():
        by_block.setdefault(int(block_of[piece]), []).append(piece)
    return Group({block: tuple(of) for block, of in sorted(by_block.items())}, somata)


def _stated_group(group: Group) -> list[Any]:
    return [sorted(group.pieces.items()), [asdict(body) for body in group.somata]]
