"""Which pairs of genes do more, less or other things together than alone."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .._core import keys
from .._core.groups import grouping
from .._core.knockouts import open_model
from .._core.messages import require_genes, say
from .._core.verb import verb
from .._core.write import writable, write
from .._rng import generator

if TYPE_CHECKING:
    from .._typing import RNG, AnnData, Groups, MuData, Predictor, Sequence

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
        Seed or generator of the permutations, and of the at most 64 cells in which a pair is compared with them.
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
    """
    if n_permutations < _FEWEST:
        raise ValueError(f"n_permutations={n_permutations} must be at least {_FEWEST}.")
    data = writable(adata, copy, mod)
    predictor = open_model(data, key, mod, groups, groupby=groupby, device=device, needs="pair_effects")
    pairs = _pairs_of(genes, predictor)
    if not predictor.cells.any():
        raise ValueError("None of the chosen cells has a model, so there is nothing to knock out.")
    names, group_of = grouping(predictor.adata, groupby, predictor.cells)

    # Compiled code, which takes long to import.
    from ._pair_tables import ADDITIVE, Plan, interaction_table

    plan = Plan(n_permutations, min_cells, alpha)
    table = interaction_table(predictor, pairs, (names, group_of), plan, generator(rng))
    if table.empty:
        raise ValueError(
            f"No pair of these genes is expressed by {min_cells} cells that have a model; lower min_cells."
        )
    for column in ("gene_a", "gene_b", "group"):
        table[column] = pd.Categorical(table[column])
    params = {"key": key, **plan._asdict()}
    if groupby is None:
        table = table.drop(columns="group")
    else:
        params["groupby"] = groupby
    place = keys.interactions(key_added or key)
    write(predictor.adata, uns={place: {keys.PARAMS: params, keys.TABLE: table}})
    n = int((table["class"] != ADDITIVE).sum())
    say(
        f"{n:,} of {len(table):,} pairs interact (FDR <= {100 * alpha:g} %): together they change other genes more or "
        f"less than unrelated genes would. The table is in uns[{place!r}]."
    )
    return data if copy else None


def _pairs_of(genes: Sequence[str] | Sequence[tuple[str, str]], predictor: Predictor) -> np.ndarray:
    """Return the distinct pairs as columns of the model, pairs x 2, the genes of each and the pairs sorted by name."""
    items = [] if isinstance(genes, str) else list(genes)
    if bad := [item for item in items if not isinstance(item, str | tuple | list)]:
        raise TypeError(f"genes holds {bad[0]!r}; give names of genes, or pairs of names.")
    names = sorted({item for item in items if isinstance(item, str)})
    if all(isinstance(item, str) for item in items):
        if len(names) < 2:
            raise ValueError(f"genes={genes!r} makes no pair; give a list of at least two genes, or of pairs of genes.")
        pairs = list(combinations(names, 2))
    else:
        if wrong := [item for item in items if isinstance(item, str) or len(item) != 2 or item[0] == item[1]]:
            raise ValueError(f"genes holds {wrong[0]!r}; give either genes alone, or pairs of two different genes.")
        pairs = sorted({(min(pair), max(pair)) for pair in items})
    require_genes(list(dict.fromkeys(gene for pair in pairs for gene in pair)), predictor.fitted.genes, predictor.adata)
    return pd.Index(predictor.fitted.genes).get_indexer([gene for pair in pairs for gene in pair]).reshape(-1, 2)
