"""Logistic models by feature name, their fit, and the two models of the tracer."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.fitting import area_under_curve, as_source, fit_logistic

from dineuro_bridge.scale import CUBES
from dineuro_bridge.trees.tree import Tree
from dineuro_tracing.confidence import CONFIDENCE_MODEL, assess
from dineuro_tracing.links import JOIN_MODEL, candidate_links
from dineuro_tracing.odds import LogisticModel
from dineuro_tracing.skeleton import Skeleton

MODEL = LogisticModel(constant=-1.0, weights={"width": 2.0, "height": -0.5})


def test_the_odds_are_the_constant_and_the_weighted_features() -> None:
    table = MODEL.table({"height": [0.0, 4.0], "width": [0.5, 2.0]})  # the order is the model's
    assert table.tolist() == [[0.5, 0.0], [2.0, 4.0]]
    assert MODEL.log_odds(table).tolist() == [0.0, 1.0]
    assert MODEL.probability(table) == pytest.approx([0.5, 1 / (1 + np.exp(-1))])


def test_a_single_value_holds_for_every_row() -> None:
    assert MODEL.table({"width": [1, 2, 3], "height": 4.0})[:, 1].tolist() == [4, 4, 4]
    assert MODEL.table({"width": np.zeros(0), "height": 4.0}).shape == (0, 2)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({"width": [1.0]}, r"missing: \['height'\]"),
        ({"width": [1.0], "height": [1.0], "depth": [1.0]}, r"not in the model: \['depth'\]"),
        ({"width": [1.0], "heigth": [1.0]}, r"missing: \['height'\].*: \['heigth'\]"),
    ],
)
def test_a_missing_or_misspelt_feature_is_an_error(
    features: dict[str, list[float]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        MODEL.table(features)


def test_features_of_different_lengths_are_an_error() -> None:
    with pytest.raises(ValueError, match="broadcast"):
        MODEL.table({"width": [1.0, 2.0], "height": [1.0, 2.0, 3.0]})


def test_the_weights_of_a_model_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        MODEL.weights["width"] = 3.0  # type: ignore[index]


@pytest.mark.parametrize("standardised", [False, True])
def test_a_fit_finds_the_model_that_made_the_answers(standardised: bool) -> None:
    rng = np.random.default_rng(5)
    table = MODEL.table({"width": rng.normal(3, 2, 4000), "height": rng.normal(0, 5, 4000)})
    fitted = fit_logistic(
        MODEL.names, table, MODEL.probability(table), np.ones(4000),
        penalty=1e-6, standardised=standardised,
    )  # fmt: skip
    assert fitted.constant == pytest.approx(-1, abs=0.01)
    assert dict(fitted.weights) == pytest.approx(dict(MODEL.weights), abs=0.01)
    assert '"width": 2.000,' in as_source(fitted)


def test_the_area_under_the_curve_counts_the_pairs_in_order() -> None:
    score, right = np.array([1.0, 2.0, 2.0, 3.0]), np.array([False, True, False, True])
    assert area_under_curve(score, right) == pytest.approx(3.5 / 4)
    assert np.isnan(area_under_curve(score, np.ones(4, dtype=np.bool_)))


def test_links_and_segments_have_the_features_of_their_models() -> None:
    """Two lines of four points, end to end, six voxels apart."""
    x = np.array([2, 4, 6, 8, 14, 16, 18, 20])
    points = np.column_stack([np.full(8, 2), np.full(8, 2), x]).astype(np.float64)
    parents, none = np.array([-1, 0, 1, 2, -1, 4, 5, 6]), np.zeros(8, dtype=np.bool_)
    stack = np.full((5, 5, 24), 51, dtype=np.uint8)
    links = candidate_links(Skeleton(points, parents, np.ones(8), none, none), stack, 10, CUBES)
    assert links.features.shape == (len(links.tip), len(JOIN_MODEL.names))
    link = dict(zip(JOIN_MODEL.names, links.features[links.tip == 3][0], strict=True))
    assert link["log_distance"] == pytest.approx(np.log(6))
    assert link["turn"] == link["ends_at_side"] == link["stands_out"] == 0
    assert link["stack_probability"] == pytest.approx(0.2)
    assert link["log_shorter_piece"] == pytest.approx(np.log(6))

    tree = Tree(points[:, ::-1], np.ones(8), parents, np.full(8, 3))
    segments = assess(tree, none, stack, stack)
    table = segments.features()
    assert table.shape == (2, len(CONFIDENCE_MODEL.names))
    segment = dict(zip(CONFIDENCE_MODEL.names, table[0], strict=True))
    assert segment["probability"] == segment["tree_probability"] == pytest.approx(0.2)
    assert (segment["contrast"], segment["contrast_squared"]) == (0.5, 0.25)
    assert (segment["twig"], segment["beyond_gap"], segment["winding"]) == (1, 0, 0)
    assert segment["contrast_length"] == pytest.approx(0.5 * segment["length"])
