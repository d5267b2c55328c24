"""Whether genes are co-expressed beyond chance and the depth of cells: p-values from permutations of real cells.

Everything here is about counts, not about a model: what is tested is whether there is anything for a model to see.
"""

from __future__ import annotations

from ._associations import associations
from ._bootstrap import bootstrap_means
from ._gene_test import gene_p_values
from ._levels import Levels, comparable, levels
from ._pair_test import pair_p_values

__all__ = [
    "Levels",
    "associations",
    "bootstrap_means",
    "comparable",
    "gene_p_values",
    "levels",
    "pair_p_values",
]
