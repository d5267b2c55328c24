"""From sums over cells to a row per pair."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats

from ._null import against_null

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._measure import Sums

_COLUMNS = [
    *("group", "gene_a", "gene_b", "n_cells", "downstream", "downstream_a", "downstream_b", "additive"),
    *("interaction", "interaction_low", "interaction_high", "expected", "excess", "z", "pval", "pval_adj", "class"),
    *("profile_interaction", "coefficient_a", "coefficient_b"),
]

# Classes of pairs.
ADDITIVE, SYNERGY, BUFFERING, EPISTASIS = CLASSES = ("additive", "synergy", "buffering", "epistasis")

# The smaller coefficient relative to the larger, below which a pair looks like one of its genes: half way from effects
# that add up (1) to the effect of one gene alone (0).
_DOMINANT = 0.5


def table_of(
    sums: Sequence[Sums], names: Sequence[np.ndarray], groups: Sequence[str], min_cells: int, alpha: float
) -> pd.DataFrame:
    """Return a row per group and pair that enough cells have; `names` of the pairs of each of `sums`, n x 2."""
    table = pd.concat([_rows(some, pairs, groups) for some, pairs in zip(sums, names, strict=True)], ignore_index=True)
    table = table[table["n_cells"] >= min_cells]
    if table.empty:
        return table
    relative = np.concatenate([some.relative for some in sums])[table.index]
    expected, z, pval = against_null(relative)
    table = table.assign(expected=expected * table["additive"], z=z, pval=pval)
    table["excess"] = table["interaction"] - table["expected"]
    table["pval_adj"] = table.groupby("group")["pval"].transform(stats.false_discovery_control)
    smaller, larger = np.sort(np.abs(table[["coefficient_a", "coefficient_b"]].to_numpy()), axis=1).T
    conditions = [table["pval_adj"] > alpha, smaller < _DOMINANT * larger, table["z"] > 0]
    kind = np.select(conditions, [ADDITIVE, EPISTASIS, SYNERGY], BUFFERING)
    table["class"] = pd.Categorical(kind, categories=CLASSES)
    return table.sort_values(["group", "gene_a", "gene_b"], ignore_index=True)[_COLUMNS]


def _rows(sums: Sums, names: np.ndarray, groups: Sequence[str]) -> pd.DataFrame:
    n = np.maximum(sums.n_cells, 1)
    both, first, second = (sums.impacts / n[:, None]).T
    interaction = both - first - second
    variance = np.maximum(sums.squares / n - interaction**2, 0) / np.maximum(n - 1, 1)
    margin = stats.norm.ppf(0.975) * np.sqrt(variance)
    pairs = np.tile(names, (len(groups), 1))
    return pd.DataFrame(
        {
            "group": np.repeat(np.asarray(groups, dtype=object), len(names)),
            "gene_a": pairs[:, 0],
            "gene_b": pairs[:, 1],
            "n_cells": sums.n_cells,
            "downstream": both,
            "downstream_a": first,
            "downstream_b": second,
            "additive": first + second,
            "interaction": interaction,
            "interaction_low": interaction - margin,
            "interaction_high": interaction + margin,
            "profile_interaction": sums.size,
            "coefficient_a": sums.coefficients[:, 0],
            "coefficient_b": sums.coefficients[:, 1],
        }
    )
