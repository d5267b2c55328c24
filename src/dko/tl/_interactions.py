"""Which pairs of genes do more, less or other things together than alone."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
import pandas as pd
from scipy import stats

from .._core import keys
from .._core.cells import some_cells
from .._core.groups import grouping
from .._core.knockouts import open_model
from .._core.messages import drawn_of, many, progress_of, say
from .._core.reading import read_profiles
from .._core.verb import verb
from .._core.write import writable, write
from .._rng import generator
from .._settings import settings
from ._double_ko import pair_columns

if TYPE_CHECKING:
    from scipy import sparse

    from .._typing import RNG, AnnData, Groups, MuData, Predictor, Sequence
    from ..models.dko.model import DkoModel

    # Of each model: what it reads of its cells, their group, and their rank in a random order.
    Cells: TypeAlias = Sequence[tuple[DkoModel, sparse.csr_matrix, np.ndarray, np.ndarray]]

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
# Fewest permutations from which a standard deviation can be estimated.
_FEWEST = 10


@verb
def interactions(
    adata: AnnData | MuData,
    genes: Sequence[str] | Sequence[tuple[str, str]],
    *,
    groupby: str | None = None,
    groups: Groups = None,
    n_permutations: int = 100,
    min_cells: int = 10,
    alpha: float = 0.05,
    key: str = keys.DEFAULT,
    mod: str = "rna",
    rng: RNG = 0,
    device: str = "auto",
    key_added: str | None = None,
    progress: bool = True,
    copy: bool = False,
) -> AnnData | MuData | None:
    """Knock out pairs of genes in all cells that express both, and test which of them interact.

    Two genes interact where the downstream impact of both is not the sum of those of the two single knockouts. Impacts
    are distances, and add up only where both genes change the same genes in the same direction. So the interaction,
    relative to the sum, is compared not with 0 but with that of unrelated genes: what one of the two acts on is
    permuted over genes of similar expression, ten at a time; all else stays.

    With total effects an interaction says whether two genes act on the same genes, with the same sign (synergy) or
    opposite ones (buffering). Genes of one programme act alike, so that many pairs are related; `z` ranks them. No
    model has seen a double knockout: it cannot know that two genes replace each other, or work only together.

    Parameters
    ----------
    %(adata)s
    genes
        Genes, all pairs of which are taken, or pairs of genes.
    groupby
        ``obs`` column: an interaction per pair and group. Default: one per pair, over all cells.
    groups
        Cells, as in :func:`dko.tl.virtual_ko`; names are groups of `groupby` where that is given.
    n_permutations
        Permutations, at least 10.
    min_cells
        Pairs that fewer cells (of a group) express are left out.
    alpha
        False discovery rate above which a pair is called additive.
    %(fit)s
    rng
        Seed or generator of the permutations, of the at most 64 cells in which a pair is compared with them and, with
        more than 20,000 cells, of as many that stand for all.
    %(compute)s
    key_added
        Name of the result, that of the fit by default.
    %(written)s

    ``uns[f"{key_added}_interactions"]``
        ``params`` and ``table``, a DataFrame with a row per pair (and ``group``), whose columns follow.
    ``gene_a``, ``gene_b``, ``n_cells``
        The two genes, sorted by name; the cells that express both, over which all means are.
    ``downstream``, ``downstream_a``, ``downstream_b``, ``additive``
        Mean downstream impact of both and of each, as in :func:`dko.tl.double_ko`; sum of the last two.
    ``interaction``, ``interaction_low``, ``interaction_high``
        ``downstream - additive``, with its 95 % interval over cells.
    ``expected``, ``excess``, ``z``, ``pval``, ``pval_adj``
        Interaction of unrelated genes, what is above it, also in standard deviations of chance; two-sided p-value
        against the permutations of all pairs, and Benjamini-Hochberg within the group.
    ``profile_interaction``, ``coefficient_a``, ``coefficient_b``
        Of the mean effects (log1p(1e4 * profile), both genes taken out), :func:`dko.metrics.pair_interaction`: the part
        that does not add up, and how much of each gene's effect is in that of the pair (Norman et al. 2019, Science).
    ``class``
        ``"additive"`` where `pval_adj` is above `alpha`; otherwise ``"epistasis"``, where one coefficient is less than
        half the other, so that the pair looks like one of its genes; ``"synergy"``, more than unrelated genes;
        ``"buffering"``, less.

    %(errors)s
        a pair of one gene; fewer than two genes; no pair that enough cells express.

    Examples
    --------
    >>> adata = dko.datasets.pbmc68k()
    >>> dko.tl.fit(adata)
    >>> dko.tl.interactions(adata, ["CD74", "HLA-DRA", "NKG7"])
    >>> dko.get.interactions(adata)[["gene_a", "gene_b", "n_cells", "class"]]
        gene_a   gene_b  n_cells      class
    0     CD74  HLA-DRA      525   additive
    1     CD74     NKG7      190  buffering
    2  HLA-DRA     NKG7      118  buffering
    """
    if n_permutations < _FEWEST:
        raise ValueError(f"n_permutations={n_permutations} must be at least {_FEWEST}.")
    data = writable(adata, copy, mod)
    predictor = open_model(data, key, mod, groups, groupby=groupby, device=device, needs="pair_effects")
    named: list[Any] = [genes] if isinstance(genes, str) else list(genes)
    if all(isinstance(item, str) for item in named):
        if len(set(named)) < 2:
            raise ValueError(f"genes={genes!r} makes no pair; give a list of at least two genes, or of pairs of genes.")
        named = list(combinations(dict.fromkeys(named), 2))
    pairs = pair_columns(named, predictor, "genes must hold either genes alone or pairs")
    if not predictor.cells.any():
        raise ValueError("None of the chosen cells has a model, so there is nothing to knock out.")
    names, group_of = grouping(predictor.adata, groupby, predictor.cells)
    table, relative = _measured(predictor, pairs, names, group_of, n_permutations, generator(rng))
    kept = (table["n_cells"] >= min_cells).to_numpy()
    if not kept.any():
        raise ValueError(
            f"No pair of these genes is expressed by {min_cells} cells that have a model; lower min_cells."
        )
    table = _judged(table[kept], relative[kept], alpha)
    params: dict[str, Any] = {"key": key, "n_permutations": n_permutations, "min_cells": min_cells, "alpha": alpha}
    params |= {} if groupby is None else {"groupby": groupby}
    table = table.drop(columns="group") if groupby is None else table
    place = keys.interactions(key_added or key)
    write(predictor.adata, uns={place: {keys.PARAMS: params, keys.TABLE: table}})
    n = int((table["class"] != ADDITIVE).sum())
    say(f"Interacting: {n:,} of {many(len(table), 'pair')} (FDR <= {100 * alpha:g} %); see uns[{place!r}].")
    return data if copy else None


def _measured(
    predictor: Predictor,
    pairs: np.ndarray,
    names: list[str],
    group_of: np.ndarray,
    n_permutations: int,
    rng: np.random.Generator,
) -> tuple[pd.DataFrame, np.ndarray]:
    """Return a row per group and pair (columns of the model, pairs x 2), and relative interactions as below."""
    chosen = some_cells(group_of >= 0, rng)
    if (n := int(chosen.sum())) < (n_all := int((group_of >= 0).sum())):
        say(f"Pairs are knocked out in {drawn_of(n, n_all, 'cell')}.")
    shares = np.asarray(read_profiles(predictor.adata, predictor.fitted, chosen).mean(axis=0)).ravel()
    moves, rank = permutations_of(shares, n_permutations, rng), rng.permutation(len(group_of))
    grouped = predictor.among(chosen)
    cells = [
        (cast("DkoModel", model), values, group_of[grouped.rows[there]], rank[grouped.rows[there]])
        for model, there, values in grouped.whole.parts(grouped.model)
    ]
    step = settings.memory_budget // max(24 * len(names) * len(shares), _BYTES * len(group_of))
    step = int(np.clip(step, 1, _PIECE))
    found = []
    with progress_of(len(pairs), description="interactions", unit="pair") as advance:
        for first in range(0, len(pairs), step):
            piece = pairs[first : first + step]
            found.append(_knocked_out(cells, names, piece, moves))
            advance(len(piece))
    return pd.concat([one for one, _ in found], ignore_index=True), np.concatenate([one for _, one in found])


def _knocked_out(
    cells: Cells, names: list[str], pairs: np.ndarray, moves: np.ndarray
) -> tuple[pd.DataFrame, np.ndarray]:
    """Knock out pairs, a row per group and pair; and relative interactions of 64 cells, rows x (1 + permutations)."""
    from ..metrics import pair_interaction
    from ..models.knockout import find

    genes, n = np.array(cells[0][0].genes, dtype=object), len(names) * len(pairs)
    of_all = np.tile(pairs, (len(names), 1))
    places = []
    for _, values, group, _ in cells:
        row, number, position = find(values, pairs, whole=True)
        places.append((row, group[row] * len(pairs) + number, position))
    # Of the cells of each group and pair those that come first in the random order.
    ranks = pd.concat([pd.Series(one[3][row], number) for one, (row, number, _) in zip(cells, places, strict=True)])
    first = ranks.groupby(level=0).rank().to_numpy() <= _NULL_CELLS
    of_each = np.split(first, np.cumsum([len(row) for row, _, _ in places])[:-1])
    n_cells, squares = np.zeros(n, dtype=int), np.zeros(n)
    impacts, effects, null = np.zeros((n, 3)), np.zeros((n, 3, len(genes))), np.zeros((n, 1 + len(moves), 3))
    for (model, values, _, _), (row, number, position), few in zip(cells, places, of_each, strict=True):
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
    table = pd.DataFrame({"group": np.repeat(np.array(names, dtype=object), len(pairs)), "n_cells": n_cells})
    table[["gene_a", "gene_b"]], table[["coefficient_a", "coefficient_b"]] = genes[of_all], coefficients
    table[["downstream", "downstream_a", "downstream_b"]] = impacts / n_of[:, None]
    table["profile_interaction"] = size
    table["additive"] = table["downstream_a"] + table["downstream_b"]
    table["interaction"] = table["downstream"] - table["additive"]
    variance = np.maximum(squares / n_of - table["interaction"] ** 2, 0) / np.maximum(n_cells - 1, 1)
    margin = stats.norm.ppf(0.975) * np.sqrt(variance)
    table["interaction_low"], table["interaction_high"] = table["interaction"] - margin, table["interaction"] + margin
    alone = null[..., 1] + null[..., 2]
    return table, np.divide(null[..., 0] - alone, alone, out=np.zeros_like(alone), where=alone > 0)


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
    table = table.sort_values(["group", "gene_a", "gene_b"], ignore_index=True)[_COLUMNS]
    return table.astype(dict.fromkeys(("group", "gene_a", "gene_b"), "category"))


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
