"""Fitting the tracer's logistic models, and how well a score tells right from wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import rankdata

from dineuro_tracing.odds import LogisticModel

Floats = NDArray[np.float64]


def fit_logistic(
    names: Sequence[str],
    table: Floats,
    target: Floats,
    weight: Floats,
    *,
    penalty: float,
    standardised: bool,
    highest: Mapping[str, float] | None = None,
) -> LogisticModel:
    """The logistic model with the highest likelihood less a penalty on its weights.

    Args:
        names: of the features, in the order of the columns.
        table: (N, F) the features.
        target: (N,) 0..1, the share of each row that is right.
        weight: (N,) of each row.
        penalty: times the sum of the squared weights; the constant has none.
        standardised: the penalty is on the weights of the features at unit spread.
        highest: the highest weights of some features.
    """
    middle = table.mean(axis=0) if standardised else np.zeros(table.shape[1])
    spread = table.std(axis=0) + 1e-9 if standardised else np.ones(table.shape[1])
    x = np.column_stack([np.ones(len(table)), (table - middle) / spread])

    def cost(c: Floats) -> tuple[float, Floats]:
        odds = x @ c
        entropy = weight @ (np.logaddexp(0, odds) - target * odds)
        slope = x.T @ (weight * (1 / (1 + np.exp(-odds)) - target))
        slope[1:] += 2 * penalty * c[1:]
        return float(entropy + penalty * (c[1:] ** 2).sum()), slope

    tight = {"ftol": 1e-14, "gtol": 1e-9, "maxiter": 10_000}
    limits = [(highest or {}).get(name, np.inf) for name in names]
    bounds = [(None, None), *((None, limit) for limit in limits * spread)]
    best = minimize(
        cost, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B", bounds=bounds, options=tight
    ).x
    weights = best[1:] / spread
    constant = float(best[0] - (weights * middle).sum())
    return LogisticModel(constant, dict(zip(names, weights.tolist(), strict=True)))


def as_source(model: LogisticModel) -> str:
    """The arguments of the model as Python source, rounded to three digits."""
    weights = "".join(f'        "{name}": {value:.3f},\n' for name, value in model.weights.items())
    return f"    constant={model.constant:.3f},\n    weights={{\n{weights}    }},"


def area_under_curve(score: Floats, right: NDArray[np.bool_]) -> float:
    """The probability that a right row has a higher score than a wrong one; NaN without both."""
    yes, no = int(right.sum()), int((~right).sum())
    if not (yes and no):
        return float("nan")
    return float((rankdata(score)[right].sum() - yes * (yes + 1) / 2) / (yes * no))
