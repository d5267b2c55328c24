"""Exact knockouts, without running a model once per knockout.

A map of factors changes cells as they were observed: without gene g, the share of every gene j is multiplied by
exp(-A_jg), and the shares are made to sum to 1 again.

Other maps predict profiles with and without a gene, affine before an absolute value. With s = A z and n = sum(z), the
raw output at gene j is s_j / n + b_j, and without gene g (s_j - A_jg) / (n - 1) + b_j for every other present j: one
subtraction. A dose d subtracts d A_jg, divides by n - d and scales the output of g by 1 - d; a set of genes subtracts
its columns together. Genes that are absent never enter.
"""

from __future__ import annotations

from ._effects import effect_sums
from ._engine import Engine, engine, knock_out, scan
from ._factors import FactorMap
from ._find import find
from ._map import AffineMap, AnyMap, LowRankMap, Map, map_of
from ._pair_effects import pair_effects
from ._pair_null import pair_null
from ._predict import predict
from ._presence import presence_of

__all__ = [
    "AffineMap",
    "AnyMap",
    "Engine",
    "FactorMap",
    "LowRankMap",
    "Map",
    "effect_sums",
    "engine",
    "find",
    "knock_out",
    "map_of",
    "pair_effects",
    "pair_null",
    "predict",
    "presence_of",
    "scan",
]
