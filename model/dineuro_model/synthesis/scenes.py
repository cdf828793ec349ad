"""Random neurons under a random microscope: what rendered training volumes show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import ndimage

from dineuro_bridge.trees.tree import Tree
from dineuro_model.synthesis.growth import GrowthSettings, grow_tree
from dineuro_model.synthesis.rendering import Masked, Rendering, RenderSettings, render
from dineuro_model.windows import Shape


def random_scene(
    morphologies: Sequence[Tree], shape: Shape, rng: np.random.Generator, hardest: float
) -> Rendering:
    """One rendered volume; the generator decides all.

    Args:
        morphologies: half the neurons are one of these, turned and scaled; the others are grown.
        shape: (Z, Y, X), at least 32 voxels each.
        rng: of the scene.
        hardest: 0 for clean stacks only, 1 for all up to signals as weak as the noise.
    """
    tree = Tree.empty()
    if morphologies and rng.random() < 0.5:
        tree = placed(morphologies[int(rng.integers(len(morphologies)))], shape, rng)
    if len(tree) < 20:
        tree = grow_tree(shape, rng, random_growth(shape, rng))
    if rng.random() < 0.4:
        tree = beaded(tree, rng)
    others = [
        fragment(grow_tree(shape, rng, random_growth(shape, rng)), rng)
        for _ in range(int(rng.integers(0, 3)))
    ]
    return render(tree, shape, rng, random_look(rng, hardest), distractors=others)


def random_growth(shape: Shape, rng: np.random.Generator) -> GrowthSettings:
    """From sparse and straight to dense and winding; the soma fits the volume."""
    tip = rng.uniform(0.6, 1.2)
    return GrowthSettings(
        stems=int(rng.integers(1, 9)),
        stem_length=float(rng.uniform(1.0, 3.0) * max(shape)),
        fork_every=float(rng.uniform(15, 70)),
        wander=float(rng.uniform(0.03, 0.25)),
        soma_radius=float(rng.uniform(2, min(9, min(shape) / 2 - 5))),
        stem_radius=float(rng.uniform(tip, 3.0)),
        tip_radius=float(tip),
    )


def random_look(rng: np.random.Generator, hardest: float) -> RenderSettings:
    """From `RenderSettings.clean` to `RenderSettings.hard` and all between, on a log scale."""
    difficulty = hardest * rng.random()
    contrast = float(np.exp(np.log(20) * (1 - difficulty) + np.log(1.3) * difficulty))
    across = rng.uniform(0.5, 1.2)
    return RenderSettings(
        contrast=contrast * float(np.exp(rng.normal(0, 0.2))),
        photons=float(np.exp(rng.uniform(np.log(5), np.log(200)))),
        read_noise=float(rng.uniform(0, 3)),
        point_spread=(float(across * rng.uniform(1, 2.5)), float(across), float(across)),
        unevenness=float(rng.uniform(0, 0.6)),
        haze=float(rng.uniform(0, 0.2)),
        beading=float(rng.uniform(0, 0.9)),
        gaps=float(rng.uniform(0, 1.0)),
        puncta=float(rng.uniform(0, 60)),
        masked=_masked(rng),
        dtype="uint16" if rng.random() < 0.3 else "uint8",
    )


def _masked(rng: np.random.Generator) -> Masked:
    chance = rng.random()
    return "tight" if chance < 0.12 else "wide" if chance < 0.3 else "no"


def beaded(tree: Tree, rng: np.random.Generator) -> Tree:
    """The same tree with boutons: radii that swell and shrink along the branches."""
    wave = ndimage.gaussian_filter1d(rng.normal(size=len(tree)), 1.5) * 2.3
    swell = np.where(tree.types == 1, 1.0, np.exp(rng.uniform(0, 0.45) * wave))
    return replace(tree, radii=np.clip(tree.radii * swell, 0.5, None))


def placed(tree: Tree, shape: Shape, rng: np.random.Generator) -> Tree:
    """A morphology turned at random, scaled to about the volume, with radii of its own.

    The radii of public morphologies mean little, and their units differ: the tree is scaled so that
    it spans 0.8 to 2 times the volume's plane, and what reaches beyond the volume is cut off.
    """
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    points = (tree.xyz - tree.xyz.mean(0)) @ turn
    # Flat volumes get flat neurons: the shortest extent lies along z.
    points = points[:, np.argsort(-np.ptp(points, axis=0))]
    size = np.array(shape[::-1], dtype=np.float64)
    scale = rng.uniform(0.8, 2.0) * size[:2].mean() / max(float(np.ptp(points, axis=0).max()), 1e-6)
    anchor = points[int(rng.integers(len(points)))]
    points = (points - anchor) * scale + size * rng.uniform(0.3, 0.7, 3)
    thick = rng.uniform(0.7, 2.2)
    radii = thick * np.exp(rng.normal(0, 0.15, len(points)))
    moved = replace(tree, xyz=points, radii=radii, types=np.where(tree.types == 1, 3, tree.types))
    return _inside(moved, size)


def fragment(tree: Tree, rng: np.random.Generator) -> Tree:
    """A part of another neuron: one tenth to a half of its nodes, no soma."""
    n = len(tree)
    length = int(n * rng.uniform(0.1, 0.5)) + 1
    first = int(rng.integers(1, max(2, n - length)))
    keep = np.zeros(n, dtype=bool)
    keep[first : first + length] = True
    return kept_nodes(tree, keep)


def _inside(tree: Tree, size: np.ndarray) -> Tree:
    return kept_nodes(tree, np.asarray(((tree.xyz >= 0) & (tree.xyz <= size - 1)).all(1)))


def kept_nodes(tree: Tree, keep: np.ndarray) -> Tree:
    """Those nodes only; a child of one that is not kept becomes a root."""
    new = np.where(keep, np.cumsum(keep) - 1, -1)
    parents = np.where(tree.parents >= 0, new[tree.parents], -1)
    return Tree(tree.xyz[keep], tree.radii[keep], parents[keep], tree.types[keep])
