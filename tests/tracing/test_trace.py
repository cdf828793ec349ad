"""The tracer on shapes with a fixed tree, and the properties of every trace."""

from __future__ import annotations

import morphio
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dineuro_bridge.errors import BadParameter, Cancelled
from dineuro_bridge.options import TraceOptions
from dineuro_bridge.progress import Progress
from dineuro_bridge.scale import CUBES, VoxelScale
from dineuro_bridge.trees.swc import swc_text
from dineuro_bridge.trees.tree import Tree
from dineuro_model.synthesis.growth import grow_tree
from dineuro_model.synthesis.rendering import neurite_mask
from dineuro_tracing.refine import resample
from dineuro_tracing.scores import score_trees
from dineuro_tracing.skeleton import Skeleton
from dineuro_tracing.trace import Trace, trace
from tests.support.shapes import chain, line, paint

SHAPE = (40, 60, 100)
Y_ARMS = [
    line((10, 30, 20), (50, 30, 20)),
    line((50, 30, 20), (88, 48, 30)),
    line((50, 30, 20), (88, 10, 10)),
]


def holds_always(result: Trace, shape: tuple[int, int, int]) -> None:
    """One root a tree, parents first (the Tree type checks that), all nodes inside, sane radii."""
    tree = result.tree
    assert len(result.joined) == len(tree)
    if len(tree):
        assert (tree.xyz >= 0).all()
        assert (tree.xyz <= np.array(shape[::-1]) - 1).all()
        assert (tree.radii > 0).all()
        assert tree.types[0] == 1
    if tree.n_trees == 1:
        reads_without_a_warning(tree)


def reads_without_a_warning(tree: Tree) -> None:
    """MorphIO is strict about what a neuron is."""
    morphio.set_raise_warnings(True)
    try:
        neuron = morphio.Morphology(swc_text(tree), "swc")
    finally:
        morphio.set_raise_warnings(False)
    assert len(neuron.soma.points) == 1


def test_a_straight_line_comes_back_centred_and_whole() -> None:
    path = line((8, 30, 20), (92, 30, 20))
    result = trace(paint([path], SHAPE))
    holds_always(result, SHAPE)
    scores = score_trees(chain(path), result.tree)
    assert result.tree.n_trees == 1
    assert len(result.tree.forks) == 0
    assert scores.esa is not None
    assert scores.esa < 0.5
    assert scores.at2.f1 > 0.97
    assert np.median(result.tree.radii) == pytest.approx(2.0, abs=0.6)
    assert not result.joined.any()


def test_a_y_has_one_fork_where_the_arms_meet() -> None:
    tree = trace(paint(Y_ARMS, SHAPE)).tree
    assert len(tree.forks) == 1
    assert tree.n_trees == 1
    # The root is an end, so of three ends two are tips.
    assert len(tree.tips) == 2
    assert np.linalg.norm(tree.xyz[tree.forks[0]] - (50, 30, 20)) < 4


def test_a_helix_is_followed_round_its_turns() -> None:
    t = np.linspace(0, 6 * np.pi, 1200)
    path = np.column_stack([50 + 18 * np.cos(t), 30 + 18 * np.sin(t), 5 + 30 * t / t[-1]])
    result = trace(paint([path], SHAPE, radius=1.5))
    scores = score_trees(chain(path), result.tree)
    assert scores.at2.f1 > 0.97
    assert len(result.tree.forks) == 0


def test_a_ring_is_opened_into_a_tree() -> None:
    t = np.linspace(0, 2 * np.pi, 600)
    path = np.column_stack([50 + 20 * np.cos(t), 30 + 20 * np.sin(t), np.full(600, 20.0)])
    result = trace(paint([path], SHAPE))
    holds_always(result, SHAPE)
    assert result.tree.n_trees == 1
    assert score_trees(chain(path), result.tree).at2.recall > 0.9


def test_a_grid_of_crossings_is_covered_without_cycles() -> None:
    rows = [line((10, y, 20), (90, y, 20)) for y in (10, 30, 50)]
    columns = [line((x, 8, 20), (x, 52, 20)) for x in (20, 50, 80)]
    result = trace(paint(rows + columns, SHAPE))
    assert result.tree.n_trees == 1
    covered = sum(
        score_trees(chain(path), result.tree).at2.recall * len(path) for path in rows + columns
    ) / sum(map(len, rows + columns))
    assert covered > 0.9


def test_a_soma_with_arms_is_found_and_drawn_together() -> None:
    center = np.array([50.0, 30.0, 20.0])
    volume = np.maximum(paint(Y_ARMS, SHAPE, 1.5), paint([center[None]], SHAPE, 8.0))
    result = trace(volume)
    assert result.root_kind == "soma"
    assert result.tree.types[0] == 1
    assert np.linalg.norm(result.tree.xyz[0] - center) <= 2
    assert result.soma_radius == pytest.approx(8, abs=1.5)
    # No node but the root lies in the soma; three branches leave it.
    assert (np.linalg.norm(result.tree.xyz[1:] - center, axis=1) > 6).all()
    assert result.tree.n_children[0] == 3


def test_a_soma_that_is_flat_is_found_where_nothing_else_is_as_thick() -> None:
    """A coarse z step makes a soma flat, and a flat soma fills more of a ball than a round one."""
    z, y, x = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    body = ((z - 20) / 7) ** 2 + ((y - 30) / 10.7) ** 2 + ((x - 40) / 10.7) ** 2 <= 1
    arms = [line((40, 30, 20), end) for end in ((95, 30, 20), (4, 5, 20))]
    volume = np.maximum(paint(arms, SHAPE, 1.5), np.where(body, np.uint8(255), np.uint8(0)))
    result = trace(volume)
    assert result.root_kind == "soma"
    assert np.linalg.norm(result.tree.xyz[0] - (40, 30, 20)) < 5


def test_a_hollow_soma_is_a_soma() -> None:
    center = np.array([50.0, 30.0, 20.0])
    volume = np.maximum(paint(Y_ARMS, SHAPE, 1.5), paint([center[None]], SHAPE, 8.0))
    volume[paint([center[None]], SHAPE, 3.0) > 0] = 0
    result = trace(volume)
    assert result.root_kind == "soma"
    assert result.soma_radius == pytest.approx(8, abs=1.5)
    assert np.linalg.norm(result.tree.xyz[0] - center) <= 2


def test_a_neurite_that_ends_beside_a_soma_in_a_hook_is_the_soma_s() -> None:
    center = np.array([30.0, 30.0, 20.0])
    hooked = [line((92, 30, 20), (42, 30, 20)), line((42, 30, 20), (42, 39, 20))]
    soma = paint([center[None]], SHAPE, 8.0)
    own = paint([line((30, 30, 20), (4, 30, 20))], SHAPE, 1.5)
    result = trace(np.maximum.reduce([soma, own, paint(hooked, SHAPE, 1.5)]))
    assert result.root_kind == "soma"
    assert result.tree.xyz[:, 0].max() > 88
    assert result.joined.any()


def test_a_ball_alone_is_a_soma_and_nothing_else() -> None:
    result = trace(paint([np.array([[50.0, 30.0, 20.0]])], SHAPE, 9.0))
    assert len(result.tree) == 1
    assert result.root_kind == "soma"


def test_a_marker_is_the_root() -> None:
    result = trace(paint(Y_ARMS, SHAPE), TraceOptions(root=(88, 48, 30)))
    assert result.root_kind == "marker"
    assert np.linalg.norm(result.tree.xyz[0] - (88, 48, 30)) < 3
    assert len(result.tree.tips) == 2


def test_a_marker_far_from_everything_is_refused_with_the_distance() -> None:
    with pytest.raises(BadParameter, match=r"the root lies 7\d voxels from the nearest"):
        trace(paint([line((60, 10, 20), (92, 10, 20))], SHAPE), TraceOptions(root=(5, 55, 0)))


def test_a_short_bump_is_no_branch_and_a_long_one_is() -> None:
    trunk = line((8, 30, 20), (92, 30, 20))
    bump, branch = line((50, 30, 20), (50, 33, 20)), line((50, 30, 20), (50, 52, 20))
    assert len(trace(paint([trunk, bump], SHAPE)).tree.forks) == 0
    assert len(trace(paint([trunk, branch], SHAPE)).tree.forks) == 1


def test_a_thick_neurite_needs_a_longer_bump_for_a_branch() -> None:
    """Six voxels stand out of either: of a thin neurite that is a branch, of a thick one not."""
    trunk = line((8, 30, 20), (92, 30, 20))
    for radius, forks in ((1.5, 1), (6.0, 0)):
        bump = paint([line((50, 30, 20), (50, 30 + radius + 6, 20))], SHAPE, 1.5)
        result = trace(np.maximum(paint([trunk], SHAPE, radius), bump))
        assert len(result.tree.forks) == forks


def test_weak_voxels_carry_a_path_but_start_none() -> None:
    volume = paint([line((8, 30, 20), (92, 30, 20))], SHAPE)
    volume[:, :, 44:56] = np.where(volume[:, :, 44:56] > 0, 60, 0)
    volume[volume == 0] = 0
    haze = paint([line((50, 45, 20), (50, 55, 20))], SHAPE)
    volume = np.where((haze > 0) & (volume == 0), 60, volume).astype(np.uint8)
    result = trace(volume)
    assert result.tree.length > 80
    assert result.joined.any()
    assert result.tree.xyz[:, 1].max() < 35


@pytest.mark.parametrize("value", [0, 255])
def test_an_empty_and_a_full_volume_do_no_harm(value: int) -> None:
    result = trace(np.full((20, 20, 20), value, dtype=np.uint8))
    holds_always(result, (20, 20, 20))
    if value == 0:
        assert len(result.tree) == 0
        assert result.root_kind == "none"


def test_one_voxel_is_noise() -> None:
    volume = np.zeros((9, 9, 9), dtype=np.uint8)
    volume[4, 4, 4] = 255
    assert len(trace(volume).tree) == 0


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_volume_one_voxel_thin(axis: int) -> None:
    plane = np.zeros((1, 40, 60), dtype=np.uint8)
    plane[0, 20, 3:57] = 255
    plane[0, 3:37, 30] = 255
    thin = np.ascontiguousarray(np.moveaxis(plane, 0, axis))
    result = trace(thin)
    holds_always(result, thin.shape)
    assert result.tree.length == pytest.approx(53 + 33, abs=4)


def test_thick_slices_make_radii_and_lengths_in_finest_voxels() -> None:
    """A line along z through 20 slices, each 3 finest voxels thick, is 57 finest voxels long."""
    volume = np.zeros((24, 30, 60), dtype=np.uint8)
    volume[2:22, 13:16, 13:16] = volume[2:22, 13:16, 43:46] = 255
    options = TraceOptions(gap=0, root=(14, 14, 2), trees="one")
    thick = trace(volume, options, scale=VoxelScale((3.0, 1.0, 1.0)))
    assert thick.tree.length == pytest.approx(19, abs=1.5)
    assert thick.left_out == pytest.approx(57, abs=4)
    assert trace(volume, options).left_out == pytest.approx(19, abs=1.5)


def test_the_same_volume_gives_the_same_bytes() -> None:
    rng = np.random.default_rng(3)
    volume = paint(Y_ARMS, SHAPE)
    volume[rng.random(SHAPE) < 0.01] = 255
    assert swc_text(trace(volume).tree) == swc_text(trace(volume.copy()).tree)


def test_cancel_comes_through() -> None:
    def stop(step: Progress) -> None:
        if step.done > 0:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        trace(paint(Y_ARMS, SHAPE), progress=stop)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 0}, "threshold 0"),
        ({"threshold": 256}, "threshold 256"),
        ({"gap": -1.0}, "gap -1.0"),
        ({"min_length": float("nan")}, "min_length nan"),
        ({"trees": "two"}, "trees 'two'"),
    ],
)
def test_parameters_out_of_range_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(BadParameter, match=message):
        TraceOptions(**options)  # type: ignore[arg-type]


@st.composite
def _walks(draw: st.DrawFn) -> list[NDArray[np.float64]]:
    """A few straight arms from one place to random ones in the box."""
    place = st.tuples(st.floats(6, 90), st.floats(6, 50), st.floats(6, 32))
    center = draw(place)
    return [line(center, draw(place)) for _ in range(draw(st.integers(1, 5)))]


@settings(max_examples=25)
@given(_walks(), st.floats(1.0, 3.0))
def test_whatever_star_is_painted_its_tree_is_sound_and_stays_inside(
    arms: list[NDArray[np.float64]], radius: float
) -> None:
    volume = paint(arms, SHAPE, radius)
    result = trace(volume, TraceOptions(min_length=0, spines="keep"))
    holds_always(result, SHAPE)
    assert result.tree.n_trees == 1
    at = np.rint(result.tree.xyz[:, ::-1]).astype(int)
    assert (volume[tuple(at.T)] > 0).mean() > 0.95
    painted = sum(len(arm) for arm in arms)
    reached = sum(score_trees(chain(arm), result.tree).at4.recall * len(arm) for arm in arms)
    assert reached / painted > 0.85


@settings(max_examples=15)
@given(st.integers(0, 2**31))
def test_a_random_tree_painted_as_a_mask_is_traced_back(seed: int) -> None:
    shape = (64, 128, 128)
    grown = grow_tree(shape, np.random.default_rng(seed))
    result = trace(neurite_mask(grown, shape).astype(np.uint8) * 255)
    holds_always(result, shape)
    scores = score_trees(grown, result.tree)
    assert result.tree.n_trees == 1
    assert scores.at2.f1 > 0.95
    assert scores.at4.f1 > 0.98
    assert result.root_kind == "soma"
    assert np.linalg.norm(result.tree.xyz[0] - grown.xyz[0]) < 3


def test_a_loop_with_two_tails_is_opened_once_and_covered() -> None:
    t = np.linspace(0, 2 * np.pi, 500)
    loop = np.column_stack([50 + 15 * np.cos(t), 30 + 15 * np.sin(t), np.full(500, 20.0)])
    tails = [line((8, 30, 20), (35, 30, 20)), line((65, 30, 20), (92, 30, 20))]
    result = trace(paint([loop, *tails], SHAPE, 1.5))
    holds_always(result, SHAPE)
    assert result.tree.n_trees == 1
    for path in (loop, *tails):
        assert score_trees(chain(path), result.tree).at2.recall > 0.93


def test_an_empty_tree_is_a_tree() -> None:
    assert isinstance(trace(np.zeros((3, 3, 3), dtype=np.uint8)).tree, Tree)


def test_a_root_in_the_soma_is_the_soma() -> None:
    """A marker on the soma keeps the soma's centre, radius and type; one on a neurite does not."""
    stack = paint([line((10, 30, 30), (110, 30, 30))], (60, 60, 120))
    z, y, x = np.ogrid[:60, :60, :120]
    stack[(z - 30) ** 2 + (y - 30) ** 2 + (x - 60) ** 2 <= 9**2] = 255
    alone, marked = trace(stack), trace(stack, TraceOptions(root=(66, 33, 28)))
    assert (alone.root_kind, marked.root_kind) == ("soma", "marker")
    assert marked.soma_radius == alone.soma_radius is not None
    assert marked.root_moved == 0
    assert np.array_equal(marked.tree.xyz, alone.tree.xyz)
    assert marked.tree.types[0] == 1
    beside = trace(stack, TraceOptions(root=(20, 30, 33)))
    assert beside.soma_radius is None
    assert (beside.root_kind, beside.soma_radius) == ("marker", None)
    assert beside.root_moved == pytest.approx(1, abs=1.1)


def test_a_voxel_said_to_be_long_makes_no_fishbone() -> None:
    """A round neurite in a volume whose z step is given ten times too large stays one branch."""
    stack = paint([line((10, 30, 30), (110, 30, 30))], (60, 60, 120), radius=3)
    tree = trace(stack, scale=VoxelScale((10.0, 1.0, 1.0))).tree
    assert len(tree.forks) <= 1  # of the blunt end


def test_points_in_one_place_become_one() -> None:
    # A fork that lies where its parent does, and a tip where the fork does.
    points = np.array([[0, 0, 0], [0, 0, 4], [0, 0, 4], [0, 0, 9], [0, 5, 4], [0, 0, 4.001]])
    skeleton = Skeleton(
        points,
        parents=np.array([-1, 0, 1, 2, 2, 2]),
        radii=np.ones(6),
        joined=np.array([False, False, True, False, False, False]),
        soma=np.zeros(6, dtype=np.bool_),
    )
    sparse = resample(skeleton, 1.0, CUBES)
    assert sparse.points.tolist() == points[[0, 1, 3, 4]].tolist()
    assert sparse.parents.tolist() == [-1, 0, 1, 1]
