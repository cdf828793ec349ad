"""`LogisticModel`: the probability of a yes-or-no question from named features.

Two questions of the tracer are answered this way: whether two pieces belong to one neuron
(`links.JOIN_MODEL`) and whether a segment is right (`confidence.CONFIDENCE_MODEL`).
The log-odds are a constant plus the weighted sum of the features.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True, eq=False)
class LogisticModel:
    """A logistic regression whose features have names.

    Attributes:
        constant: the log-odds where every feature is 0.
        weights: by feature name, what one unit of the feature adds to the log-odds. The order of
            the names is the order of the columns of a feature table.
    """

    constant: float
    weights: Mapping[str, float]

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", MappingProxyType(dict(self.weights)))

    @property
    def names(self) -> tuple[str, ...]:
        """The features, in the order of the columns of a table."""
        return tuple(self.weights)

    def table(self, features: Mapping[str, ArrayLike]) -> NDArray[np.float64]:
        """The features as the columns of a table, (N, F) float64.

        Args:
            features: by name, (N,) values each; a single value holds for every row.

        Raises:
            ValueError: a feature is missing, is not one of the model's, or has another length.
        """
        if features.keys() != self.weights.keys():
            missing = sorted(self.weights.keys() - features.keys())
            unknown = sorted(features.keys() - self.weights.keys())
            raise ValueError(f"features missing: {missing}; features not in the model: {unknown}")
        columns = [np.asarray(features[name], dtype=np.float64) for name in self.names]
        return np.stack(np.broadcast_arrays(*columns), axis=-1)

    def log_odds(self, table: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N,) the logarithm of probability / (1 - probability), for a table (N, F)."""
        return np.asarray(self.constant + table @ np.array(list(self.weights.values())))

    def probability(self, table: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N,) probabilities 0..1, for a table (N, F)."""
        return np.asarray(1 / (1 + np.exp(-self.log_odds(table))))
