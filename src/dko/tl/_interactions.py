"""Which pairs of genes do more, less or other things together than alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .._core import keys
from .._core.cells import unwrap
from .._core.fitted import read_profiles
from .._core.knockouts import engine_on, open_task
from .._core.messages import progress_of, say
from .._core.verb import verb
from .._core.write import writable, write
from .._rng import generator
from .interacting._asked import asked_groups, asked_pairs
from .interacting._null import draw_moves
from .interacting._table import ADDITIVE, table_of
from .knockouts._estimate import Estimate, time_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from mudata import MuData

    from .._core.groups import Groups
    from .._core.knockouts import Task
    from .._rng import RNG

# Fewest permutations from which a standard deviation can be told.
_FEWEST = 10

# Knockouts of pairs in cells, permutations counted in, above which it is told how long they take; from how many pairs
# that is measured; and bytes of a row of the table.
_LONG, _TIMED, _ROW = 4 * 10**6, 8, 160


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
    """Knock out pairs of genes in all cells that express both, and tell which of them interact.

    Two genes interact where their knockouts together do not do what the two single ones add up to. What is compared is
    downstream impacts, how far the other genes move; *additive* is the sum of those of the two single knockouts. They
    are distances: those of two knockouts add up only where both change the same genes in the same direction, and of two
    that act on unrelated genes the impact is less than the sum. So the interaction is not held against 0 but
    against that of unrelated genes with these impacts. For these, what one of the two acts on (its column of the map)
    is permuted over genes of similar expression, ten at a time, while the cells, the other gene and what each gene does
    to itself stay; the interaction relative to the sum of the singles is compared, so that a change of the singles
    themselves does not count.

    What it can mean depends on the model. *Total effects* (``uns[key]["params"]["effects"]``) multiply, those of a pair
    by a regression on both genes at once: on a log scale they add up but for the normalisation and for what the two
    genes, being co-expressed, have in common, which counts once. So an interaction only tells whether two genes act on
    the same genes, with the same sign (synergy) or opposite ones (buffering). *Direct effects* compare predictions that
    are divided by the number of present genes, so that profiles can interact too. Genes of one programme act
    alike, so that many pairs within and between programmes are related; `z` ranks them. Neither model has seen a double
    knockout: that two genes can replace each other, or work only together, is nothing that it could know.

    Parameters
    ----------
    adata
        The AnnData of :func:`dko.tl.fit`, or another with the same genes, in any order.
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
        Seed or generator of the permutations and of the at most 64 cells in which a pair is held against them.
    device
        Where to compute the impacts.
    key_added
        Name of the result, that of the fit by default.
    %(progress)s
    %(copy)s

    Returns
    -------
    None, or the changed copy. Sets ``uns[f"{key_added}_interactions"]`` with ``params`` and ``table``, a DataFrame with
    a row per pair (and ``group``):

    ``gene_a``, ``gene_b``, ``n_cells``
        The two genes, sorted by name, and how many cells express both. All means are over these.
    ``downstream``, ``downstream_a``, ``downstream_b``
        Mean downstream impact of both together and of each alone (Bray-Curtis dissimilarity of the profiles without the
        genes that are knocked out, as in :func:`dko.tl.double_ko`).
    ``additive``, ``interaction``, ``interaction_low``, ``interaction_high``
        ``downstream_a + downstream_b``; ``downstream - additive``, and its 95 % interval over cells (normal).
    ``expected``, ``excess``, ``z``, ``pval``, ``pval_adj``
        Mean interaction of unrelated genes; ``interaction - expected``; how many standard deviations of chance that is;
        the two-sided p-value, against the permutations of all pairs; and the false discovery rate (Benjamini-Hochberg,
        within the group).
    ``class``
        ``"additive"``: `pval_adj` above `alpha`. Otherwise ``"epistasis"``: one coefficient is less than half the
        other, the pair looks like one of its genes; ``"synergy"``: more than unrelated genes, `z` above 0;
        ``"buffering"``: less.
    ``profile_interaction``, ``coefficient_a``, ``coefficient_b``
        From the mean effects (change of log1p(1e4 * profile), both genes taken out of all profiles) of the pair and its
        genes, as in :func:`dko.metrics.pair_interaction`: the part that does not add up, and how much of the effect of
        each gene is in that of the pair (Norman et al. 2019, Science).

    Raises
    ------
    KeyError
        No fit; a gene, column or group that is not there.
    ValueError
        A pair of one gene; fewer than two genes; no pair that enough cells express; fewer than 10 permutations.
    """
    if n_permutations < _FEWEST:
        raise ValueError(f"n_permutations={n_permutations} must be at least {_FEWEST}, to tell chance from effect.")
    if min_cells < 1:
        raise ValueError(f"min_cells={min_cells} must be at least 1.")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha={alpha} must be a rate between 0 and 1.")
    data = writable(adata, copy, mod)
    target = unwrap(data, mod)
    task = open_task(data, key, mod, groups, groupby=groupby)
    pairs = asked_pairs(genes, task.fitted, target)
    names, group_of = asked_groups(target, groupby, task.cells)
    table = _measured(task, pairs, names, group_of, n_permutations, min_cells, alpha, generator(rng), device)
    if table.empty:
        raise ValueError(
            f"No pair of these genes is expressed by {min_cells} cells that have a model; lower min_cells."
        )
    for column in ("gene_a", "gene_b", "group"):
        table[column] = pd.Categorical(table[column])
    if groupby is None:
        table = table.drop(columns="group")
    params = {"key": key, "n_permutations": n_permutations, "min_cells": min_cells, "alpha": alpha}
    params |= {} if groupby is None else {"groupby": groupby}
    write(target, uns={keys.interactions(key_added or key): {keys.PARAMS: params, keys.TABLE: table}})
    n_found = int((table["class"] != ADDITIVE).sum())
    say(
        f"{n_found:,} of {len(table):,} pairs interact (FDR <= {100 * alpha:g} %): together they move other genes more "
        f"or less than unrelated genes would. The table is in uns[{keys.interactions(key_added or key)!r}]."
    )
    return data if copy else None


def _measured(
    task: Task,
    pairs: np.ndarray,
    groups: list[str],
    group_of: np.ndarray,
    n_permutations: int,
    min_cells: int,
    alpha: float,
    rng: np.random.Generator,
    device: str,
) -> pd.DataFrame:
    # Compiled code, which takes long to import.
    from .interacting._measure import NULL_CELLS, cells_of, measure, n_double_knockouts, pieces_of

    engine = engine_on(device)
    shares = np.asarray(read_profiles(task.adata, task.fitted)[group_of >= 0].mean(axis=0)).ravel()
    moves, rank = draw_moves(shares, n_permutations, rng), rng.permutation(len(group_of))
    parts = task.parts(task.presence, cells=group_of >= 0)
    cells = [cells_of(part, group_of, rank, pairs, engine) for part in parts]
    names = np.asarray(task.fitted.genes, dtype=object)[pairs]
    n_knockouts = sum(n_double_knockouts(some.part.presence, pairs) for some in cells)
    if n_knockouts + len(pairs) * len(groups) * n_permutations * NULL_CELLS > _LONG:
        timed = pairs[:_TIMED]
        seconds = time_of(lambda n: measure(cells, len(groups), timed[:n], moves, engine), len(timed), len(pairs))
        n_cells = sum(len(some.group) for some in cells)
        Estimate(n_knockouts, n_cells, seconds, _ROW * len(pairs) * len(groups)).tell("double knockouts")
    pieces, sums = pieces_of(len(pairs), len(groups), moves.shape[1], n_knockouts), []
    with progress_of(len(pairs), description="interactions", unit="pair") as advance:
        for piece in pieces:
            sums.append(measure(cells, len(groups), pairs[piece], moves, engine))
            advance(len(pairs[piece]))
    return table_of(sums, [names[piece] for piece in pieces], groups, min_cells, alpha)
