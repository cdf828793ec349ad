"""The search for near points of other pieces, against a plain search through all pairs."""

from __future__ import annotations

import numpy as np
import pytest

from dineuro_bridge.scale import CUBES
from dineuro_tracing.link_kernels import line_evidence
from dineuro_tracing.links import DIRECTIONS
from dineuro_tracing.pieces import Pieces
from dineuro_tracing.skeleton import Skeleton

SHAPE = (30, 60, 60)


def pieces_at_random(seed: int) -> tuple[Pieces, np.ndarray]:
    """Forty short pieces, one with a soma, in a volume of random voxels."""
    random = np.random.default_rng(seed)
    starts = random.uniform((3, 3, 3), np.array(SHAPE) - 4, (40, 3))
    steps = np.cumsum(random.normal(0, 1, (40, 8, 3)), axis=1)
    points = np.rint(np.clip(starts[:, None] + steps, 0, np.array(SHAPE) - 1)).reshape(-1, 3)
    parents = np.arange(len(points)) - 1
    parents[::8] = -1
    none = np.zeros(len(points), dtype=np.bool_)
    skeleton = Skeleton(points, parents, np.ones(len(points)), none, none).with_soma(0, 6.0)
    volume = random.integers(0, 256, SHAPE).astype(np.uint8)
    return Pieces.of(skeleton, CUBES), volume


def price(pieces: Pieces, volume: np.ndarray, tip: int, point: int) -> float:
    """The price of a link; infinite with a sharp turn."""
    start, end = pieces.skeleton.points[[tip, point]]
    distance, turn, facing = pieces.geometry(np.array([tip]), np.array([point]))
    cosine = min(turn[0], facing[0])
    way = start + np.rint(np.linspace(0, 1, 9)[1:-1, None] * (end - start))
    bright = np.sort(volume[tuple(way.astype(int).T)])[:4].mean() / 255
    return float(distance[0] * (3 - 2 * cosine) / (0.5 + bright)) if cosine >= 0.3 else np.inf


def lowest_prices(pieces: Pieces, volume: np.ndarray, tip: int, gap: float) -> dict[int, float]:
    """By each other piece within the gap of a tip, the lowest price of a link."""
    ends = pieces.ends
    away = np.linalg.norm(ends.places - ends.places[tip], axis=1) - ends.body
    lowest: dict[int, float] = {}
    for point in np.flatnonzero((away <= gap) & (ends.number != ends.number[tip])):
        piece = int(ends.number[point])
        lowest[piece] = min(price(pieces, volume, tip, int(point)), lowest.get(piece, np.inf))
    return {piece: value for piece, value in lowest.items() if np.isfinite(value)}


@pytest.mark.parametrize("gap", [5.0, 12.0, 25.0])
def test_each_tip_gets_the_cheapest_point_of_every_piece_within_the_gap(gap: float) -> None:
    pieces, volume = pieces_at_random(int(gap))
    tips, points = pieces.cheapest_links(volume, gap)
    assert len(tips) > 10
    found = {
        (int(tip), int(pieces.ends.number[point])): int(point)
        for tip, point in zip(tips, points, strict=True)
    }
    assert len(found) == len(tips)
    for tip in map(int, pieces.tips):
        expected = lowest_prices(pieces, volume, tip, gap)
        assert {piece for at, piece in found if at == tip} == set(expected)
        for piece, lowest in expected.items():
            chosen = price(pieces, volume, tip, found[tip, piece])
            assert chosen == pytest.approx(lowest, abs=2e-6)


@pytest.mark.parametrize(("shown", "least", "most"), [(0, 0.45, 0.55), (3, 0.9, 1.0)])
def test_a_faint_line_stands_out_of_the_dark_and_noise_does_not(
    shown: int, least: float, most: float
) -> None:
    """The line has a hundredth of the highest probability, in noise of as much or of none."""
    volume = np.zeros((24, 24, 60), dtype=np.uint8)
    volume[12, 12, 10:50] = shown
    if not shown:
        volume[...] = np.random.default_rng(1).integers(0, 4, volume.shape)
    start, end, radius = np.array([[12.0, 12, 10]]), np.array([[12.0, 12, 50]]), np.ones(1)
    bright, stands_out = line_evidence(volume, start, end, radius, np.ones(3), DIRECTIONS)
    assert bright[0] <= 3 / 255
    assert least < stands_out[0] <= most
