"""What pairs of genes do together, and whether unrelated genes would do the same: steps of ``tl.interactions``."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
import pandas as pd
from scipy import stats

from .._core.fitted import read_profiles
from .._core.messages import progress_of
from .._settings import settings

if TYPE_CHECKING:
    from scipy import sparse

    from .._typing import Predictor, Sequence
    from ..models.dko.model import DkoModel

# Classes of pairs.
ADDITIVE, SYNERGY, BUFFERING, EPISTASIS = CLASSES = ("additive", "synergy", "buffering", "epistasis")
_COLUMNS = [
    *("group", "gene_a", "gene_b", "n_cells", "downstream", "downstream_a", "downstream_b", "additive"),
    *("interaction", "interaction_low", "interaction_high", "expected", "excess", "z", "pval", "pval_adj", "class"),
    *("profile_interaction", "coefficient_a", "coefficient_b"),
]
# The smaller coefficient relative to the larger, below which a pair looks like one of its genes: half way from effects
# that add up (1) to the effect of one gene alone (0).
_DOMINANT = 0.5
# Pairs at a time at most, so that the progress bar advances; bytes of a pair in a cell while it is knocked out.
_PIECE, _BYTES = 256, 96
# Cells in which a pair is compared with chance. Chance lies in which genes the two act on, and these are the same in
# all cells: more cells hardly change the result.
_NULL_CELLS = 64
# Genes of similar expression among which effects are permuted: enough for chance to be wide, few enough for a gene to
# keep its impact.
_STRATUM = 10


class Plan(NamedTuple):
    """What the user asked for."""

    n_permutations: int
    min_cells: int
    alpha: float


class _Cells(NamedTuple):
    """Cells of one model: what it reads of them, their group, and their rank in a random order."""

    model: DkoModel
    values: sparse.csr_matrix
    group: np.ndarray
    rank: np.ndarray


def interaction_table(
    predictor: Predictor,
    pairs: np.ndarray,
    groups: tuple[list[str], np.ndarray],
    plan: Plan,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Return a row per group and pair (columns of the model, pairs x 2) that enough cells express."""
    names, group_of = groups
    shares = np.asarray(read_profiles(predictor.adata, predictor.fitted)[group_of >= 0].mean(axis=0)).ravel()
    moves, rank = permutations_of(shares, plan.n_permutations, rng), rng.permutation(len(group_of))
    grouped = predictor.among(group_of >= 0)
    cells = [
        _Cells(cast("DkoModel", model), values, group_of[grouped.rows[there]], rank[grouped.rows[there]])
        for model, there, values in grouped.parts(grouped.whole)
    ]
    step = settings.memory_budget // max(24 * len(names) * len(shares), _BYTES * len(group_of))
    step = int(np.clip(step, 1, _PIECE))
    found = []
    with progress_of(len(pairs), description="interactions", unit="pair") as advance:
        for first in range(0, len(pairs), step):
            piece = pairs[first : first + step]
            found.append(_knocked_out(cells, len(names), piece, moves))
            advance(len(piece))
    table, relative = pd.concat([one for one, _ in found], ignore_index=True), np.concatenate([one for _, one in found])
    genes = np.asarray(predictor.fitted.genes, dtype=object)[table[["gene_a", "gene_b"]]]
    table["gene_a"], table["gene_b"] = genes.T
    table["group"] = np.asarray(names, dtype=object)[table["group"]]
    kept = (table["n_cells"] >= plan.min_cells).to_numpy()
    return _judged(table[kept], relative[kept], plan.alpha) if kept.any() else table[kept]


def _knocked_out(
    cells: Sequence[_Cells], n_groups: int, pairs: np.ndarray, moves: np.ndarray
) -> tuple[pd.DataFrame, np.ndarray]:
    """Knock out pairs, a row per group and pair; and relative interactions of 64 cells, rows x (1 + permutations)."""
    from ..metrics import pair_interaction
    from ..models.knockout import find

    n, n_genes = n_groups * len(pairs), moves.shape[1]
    of_all = np.tile(pairs, (n_groups, 1))
    places = []
    for some in cells:
        row, number, position = find(some.values, pairs, whole=True)
        places.append((row, some.group[row] * len(pairs) + number, position))
    n_cells, squares = np.zeros(n, dtype=int), np.zeros(n)
    impacts, effects, null = np.zeros((n, 3)), np.zeros((n, 3, n_genes)), np.zeros((n, 1 + len(moves), 3))
    for some, (row, number, position), few in zip(cells, places, _some_of_each(cells, places), strict=True):
        model, values = some.model, some.values
        if not len(row):
            continue
        three = model.pair_impacts(values, row, position)[:, 1].astype(float)
        n_cells += np.bincount(number, minlength=n)
        impacts += np.column_stack([np.bincount(number, column, n) for column in three.T])
        squares += np.bincount(number, (three[:, 0] - three[:, 1] - three[:, 2]) ** 2, n)
        of_pairs = of_all, _rows_of(row, number, n), _rows_of(row[few], number[few], n), moves
        changes, chance = model.pair_effects(values, *of_pairs)
        effects, null = effects + changes, null + chance
    size, coefficients = pair_interaction(effects[:, 0], first=effects[:, 1], second=effects[:, 2])
    n_of = np.maximum(n_cells, 1)
    table = pd.DataFrame({"group": np.repeat(np.arange(n_groups), len(pairs)), "n_cells": n_cells})
    table[["gene_a", "gene_b"]], table[["downstream", "downstream_a", "downstream_b"]] = of_all, impacts / n_of[:, None]
    table["profile_interaction"], table[["coefficient_a", "coefficient_b"]] = size, coefficients
    table["additive"] = table["downstream_a"] + table["downstream_b"]
    table["interaction"] = table["downstream"] - table["additive"]
    variance = np.maximum(squares / n_of - table["interaction"] ** 2, 0) / np.maximum(n_cells - 1, 1)
    margin = stats.norm.ppf(0.975) * np.sqrt(variance)
    table["interaction_low"], table["interaction_high"] = table["interaction"] - margin, table["interaction"] + margin
    alone = null[..., 1] + null[..., 2]
    return table, np.divide(null[..., 0] - alone, alone, out=np.zeros_like(alone), where=alone > 0)


def _some_of_each(cells: Sequence[_Cells], places: Sequence[tuple[np.ndarray, ...]]) -> list[np.ndarray]:
    """Mark the cells of each group and pair, 64 at most, that come first in the random order."""
    number = np.concatenate([number for _, number, _ in places])
    rank = np.concatenate([some.rank[row] for some, (row, _, _) in zip(cells, places, strict=True)])
    few = pd.Series(rank).groupby(number).rank().to_numpy() <= _NULL_CELLS
    return np.split(few, np.cumsum([len(row) for row, _, _ in places])[:-1])


def _rows_of(row: np.ndarray, number: np.ndarray, n: int) -> list[np.ndarray]:
    """Return the rows of each number below `n`."""
    order = np.argsort(number, kind="stable")
    return np.split(row[order], np.cumsum(np.bincount(number, minlength=n))[:-1])


def _judged(table: pd.DataFrame, relative: np.ndarray, alpha: float) -> pd.DataFrame:
    """Compare with chance, and give each pair its class."""
    expected, z, pval = compared_with_null(relative)
    table = table.assign(expected=expected * table["additive"], z=z, pval=pval)
    table["excess"] = table["interaction"] - table["expected"]
    table["pval_adj"] = table.groupby("group")["pval"].transform(stats.false_discovery_control)
    smaller, larger = np.sort(np.abs(table[["coefficient_a", "coefficient_b"]].to_numpy()), axis=1).T
    conditions = [table["pval_adj"] > alpha, smaller < _DOMINANT * larger, table["z"] > 0]
    kind = np.select(conditions, [ADDITIVE, EPISTASIS, SYNERGY], BUFFERING)
    table["class"] = pd.Categorical(kind, categories=CLASSES)
    return table.sort_values(["group", "gene_a", "gene_b"], ignore_index=True)[_COLUMNS]


def permutations_of(shares: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw permutations of genes, n x genes, within strata of similar mean share."""
    moves = np.empty((n, len(shares)), dtype=np.int64)
    for stratum in np.array_split(np.argsort(-shares, kind="stable"), max(1, len(shares) // _STRATUM)):
        moves[:, stratum] = rng.permuted(np.tile(stratum, (n, 1)), axis=1)
    return moves


def compared_with_null(relative: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compare relative interactions, pairs x (1 + permutations), the first as it is, with the others: mean, z, p-value.

    The p-value is the share of the z of all permutations of all pairs that are as far: chance need not be normal. z 0
    and p 1 for a pair that no permutation changes.
    """
    observed, null = relative[:, 0], relative[:, 1:]
    n, expected, variance = null.shape[1], null.mean(axis=1), null.var(axis=1, ddof=1)
    # Of numbers that are all the same, rounding leaves a little.
    usable = variance > 1e-18
    z = np.zeros(len(observed))
    z[usable] = (observed - expected)[usable] / np.sqrt(variance[usable] * (1 + 1 / n))
    apart = (null - expected[:, None])[usable]
    of_others = ((n - 1) * variance[usable][:, None] - apart**2 * n / (n - 1)) / (n - 2)
    chance = np.sort(np.abs(apart).ravel() * np.sqrt(n / (n - 1) / np.maximum(of_others.ravel(), 1e-30)))
    further = len(chance) - np.searchsorted(chance, np.abs(z))
    return expected, z, np.where(usable, (1 + further) / (1 + len(chance)), 1.0)
