"""Probability -> tree: the tracer's stages, and the scores that compare two trees."""

from dineuro_bridge.trees.swc import read_eswc, read_swc, write_swc
from dineuro_bridge.trees.tree import Tree
from dineuro_tracing.pruning import pruned
from dineuro_tracing.scores import Scores, score_trees
from dineuro_tracing.trace import Trace, trace

__all__ = [
    "Scores",
    "Trace",
    "Tree",
    "pruned",
    "read_eswc",
    "read_swc",
    "score_trees",
    "trace",
    "write_swc",
]
