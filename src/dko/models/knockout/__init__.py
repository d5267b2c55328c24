"""Exact knockouts without running a model once per knockout: docs/design.md, The exact fast knockout."""

from .kernels import scan
from .maps import AffineMap, AnyMap, FactorMap, all_cells, find, map_of, predict
from .sets import effect_sums, knock_out, pair_effects

__all__ = [
    "AffineMap",
    "AnyMap",
    "FactorMap",
    "all_cells",
    "effect_sums",
    "find",
    "knock_out",
    "map_of",
    "pair_effects",
    "predict",
    "scan",
]
