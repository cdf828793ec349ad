"""Random scenes for training: random neurons under a random microscope."""

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
    """Render one random volume.

    Args:
        morphologies: half of the neurons are one of these, rotated and scaled; the others are
            grown.
        shape: (Z, Y, X) of the volume, each at least 32 voxels.
        rng: the only source of randomness.
        hardest: the upper limit of the difficulty, from 0 (clean stacks) to 1 (signals as weak as
            the noise).
    """
    tree = random_tree(morphologies, shape, rng)
    # One scene in five is a field of axons.
    most = 16 if rng.random() < 0.2 else 3
    others = random_fragments(int(rng.integers(0, most)), shape, rng)
    return render(tree, shape, rng, random_settings(rng, hardest), distractors=others)


def random_tree(morphologies: Sequence[Tree], shape: Shape, rng: np.random.Generator) -> Tree:
    """A grown tree or a morphology, in a volume (Z, Y, X); see `random_scene`."""
    tree = Tree.empty()
    if morphologies and rng.random() < 0.5:
        tree = place_morphology(morphologies[int(rng.integers(len(morphologies)))], shape, rng)
    if len(tree) < 20:
        tree = grow_tree(shape, rng, random_growth(shape, rng))
    return add_boutons(tree, rng) if rng.random() < 0.4 else tree


def random_fragments(count: int, shape: Shape, rng: np.random.Generator) -> list[Tree]:
    """Parts of other neurons in a volume (Z, Y, X)."""
    return [
        cut_fragment(grow_tree(shape, rng, random_growth(shape, rng)), rng) for _ in range(count)
    ]


def random_growth(shape: Shape, rng: np.random.Generator) -> GrowthSettings:
    """Random parameters of growth, for a volume (Z, Y, X) that the soma fits."""
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


def random_settings(rng: np.random.Generator, hardest: float) -> RenderSettings:
    """Random settings between `RenderSettings.clean` and `RenderSettings.hard`.

    Args:
        rng: the source of randomness.
        hardest: the upper limit of the difficulty; the contrast falls with it on a log scale.
    """
    difficulty = hardest * rng.random()
    contrast = float(np.exp(np.log(20) * (1 - difficulty) + np.log(1.3) * difficulty))
    across = rng.uniform(0.5, 1.2)
    # Three somata in ten are up to fifty times as bright as the neurites; 8 bits cannot show that.
    soma = float(np.exp(rng.uniform(np.log(1.5), np.log(50)))) if rng.random() < 0.3 else 1.5
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
        soma=soma,
        fading=float(rng.uniform(-1.5, 1.5)) if rng.random() < 0.3 else 0.0,
        masked=_random_mask(rng),
        dtype="uint16" if rng.random() < 0.3 or soma > 5 else "uint8",
    )


def _random_mask(rng: np.random.Generator) -> Masked:
    """Which part of the stack is set to 0, if any."""
    chance = rng.random()
    return "tight" if chance < 0.12 else "wide" if chance < 0.3 else "no"


def add_boutons(tree: Tree, rng: np.random.Generator) -> Tree:
    """The tree with boutons: radii that vary along the branches."""
    wave = ndimage.gaussian_filter1d(rng.normal(size=len(tree)), 1.5) * 2.3
    swell = np.where(tree.types == 1, 1.0, np.exp(rng.uniform(0, 0.45) * wave))
    return replace(tree, radii=np.clip(tree.radii * swell, 0.5, None))


def place_morphology(tree: Tree, shape: Shape, rng: np.random.Generator) -> Tree:
    """Rotate a morphology at random, scale it to a volume (Z, Y, X), and give it random radii.

    The units of public morphologies differ, and their radii are unreliable. Therefore the tree is
    scaled to an extent of 0.8 to 2 times the volume's plane. Nodes outside the volume are cut off.
    """
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    points = (tree.xyz - tree.xyz.mean(0)) @ rotation
    # The shortest extent is turned to z, because volumes are flat.
    points = points[:, np.argsort(-np.ptp(points, axis=0))]
    size = np.array(shape[::-1], dtype=np.float64)
    scale = rng.uniform(0.8, 2.0) * size[:2].mean() / max(float(np.ptp(points, axis=0).max()), 1e-6)
    anchor = points[int(rng.integers(len(points)))]
    points = (points - anchor) * scale + size * rng.uniform(0.3, 0.7, 3)
    radius = rng.uniform(0.7, 2.2)
    radii = radius * np.exp(rng.normal(0, 0.15, len(points)))
    types = np.where(tree.types == 1, 3, tree.types)
    return _crop(replace(tree, xyz=points, radii=radii, types=types), size)


def cut_fragment(tree: Tree, rng: np.random.Generator) -> Tree:
    """A random part of a neuron: a tenth to a half of its nodes, without the soma."""
    n = len(tree)
    length = int(n * rng.uniform(0.1, 0.5)) + 1
    first = int(rng.integers(1, max(2, n - length)))
    keep = np.zeros(n, dtype=bool)
    keep[first : first + length] = True
    return tree.keep(keep)


def _crop(tree: Tree, size: np.ndarray) -> Tree:
    """The nodes that lie in a volume of the size (3,) x, y, z."""
    return tree.keep(np.asarray(((tree.xyz >= 0) & (tree.xyz <= size - 1)).all(1)))
