"""Keystone genes: those whose knockout has the largest impact on other genes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from .._compat import layer_names
from .._core import keys
from .._core.cells import unwrap
from .._core.fitted import gene_columns, read_fitted, read_profiles
from .._core.genes import gene_means, in_order
from .._core.groups import grouping
from .._core.results import is_ranking, ranking_at, read_params, read_table
from .._core.verb import verb

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

_MIN_CELLS = 10


@verb
def ranking(
    adata: AnnData | MuData,
    *,
    groupby: str | None = None,
    min_cells: int | None = None,
    key: str = keys.DEFAULT,
    mod: str = "rna",
    key_added: str | None = None,
) -> pd.DataFrame:
    """Rank genes by their mean downstream impact over the cells that express them, overall or per group.

    After :func:`dko.tl.rank_genes` for the same groups this is its table, with intervals and p-values.

    Parameters
    ----------
    adata
        After :func:`dko.tl.scan`, or :func:`dko.tl.rank_genes`.
    groupby
        ``obs`` column; by default that of :func:`dko.tl.rank_genes` or, without it, of the fit, if any.
    min_cells
        Leave out genes that fewer scanned cells (of the group) express: a mean of a few cells is noise. By default as
        ranked, 10 without :func:`dko.tl.rank_genes`.
    %(results)s
    %(ranking)s

    Returns
    -------
    After :func:`dko.tl.rank_genes`, its table. Otherwise a row per gene (and ``group``), best first: ``gene``,
    ``downstream_mean``, ``impact_mean``, ``n_cells`` (scanned cells that express it), ``fraction`` (of all cells, or of
    the group, that express it), ``expression_mean`` (mean share of the observed profile, over the genes of the model,
    in the scanned cells that express it), ``mark`` as in :func:`dko.tl.rank_genes`; where the fit has total effects
    also ``signal``, the false discovery rate of the downstream impact in the cells of the fit: genes with at most 0.05
    come first. A scan without downstream impacts, as of version 0.1.0, is ranked by ``impact_mean``, which grows with
    expression.

    Raises
    ------
    KeyError
        Nothing was scanned; no such column; no ranking, or none in these groups, at `key_added`.
    """
    target = unwrap(adata, mod)
    if keys.impact(key) not in layer_names(target):
        raise KeyError(f"No scan in adata.layers[{keys.impact(key)!r}]; run dko.tl.scan(adata, key={key!r}) first.")
    ranked = _ranked(target, key, key_added, groupby)
    if ranked is not None:
        return ranked if min_cells is None else ranked[ranked["n_cells"] >= min_cells].reset_index(drop=True)
    fitted = read_fitted(target, key)
    columns = gene_columns(target, fitted)
    places = {"downstream_mean": keys.downstream(key), "impact_mean": keys.impact(key)}
    impacts = {
        name: sparse.csr_array(target.layers[place])[:, columns]
        for name, place in places.items()
        if place in layer_names(target)
    }
    share, var = sparse.csr_array(read_profiles(target, fitted)), target.var.iloc[columns]
    least = max(_MIN_CELLS if min_cells is None else min_cells, 1)

    def rank(rows: np.ndarray) -> pd.DataFrame:
        table = gene_means({name: values[rows] for name, values in impacts.items()}, share[rows], var)
        if fitted.signal is not None:
            table["signal"] = fitted.signal
        return in_order(table[table["n_cells"] >= least], next(iter(impacts)), "signal")

    groupby = groupby or fitted.params.get("groupby")
    groups, group_of = grouping(target, groupby)
    if groupby is None:
        return rank(np.arange(target.n_obs))
    if not groups:
        raise ValueError(f"No cell has a value in obs[{groupby!r}], so there are no groups to rank in.")
    tables = {group: rank(np.flatnonzero(group_of == number)) for number, group in enumerate(groups)}
    table = pd.concat(tables, names=["group"]).reset_index(level="group").reset_index(drop=True)
    return table.astype({"group": "category"})


def _ranked(adata: AnnData, key: str, key_added: str | None, groupby: str | None) -> pd.DataFrame | None:
    """Return a copy of the table of ``tl.rank_genes``, if there is one of these groups."""
    place = keys.ranking(key) if key_added is None else key_added
    if not is_ranking(adata.uns.get(place)):
        if key_added is None:
            return None
        raise KeyError(f"No ranking in adata.uns[{place!r}]; run dko.tl.rank_genes(adata, key_added={place!r}) first.")
    table = read_table(adata, ranking_at(place), key)
    column = read_params(adata, ranking_at(place), key)["groupby"] if "group" in table else None
    if groupby is None or groupby == column:
        return table
    if key_added is None:
        return None
    cells = "all cells" if column is None else f"groups of obs[{column!r}]"
    raise KeyError(f"The ranking in adata.uns[{place!r}] is of {cells}, not of groups of obs[{groupby!r}].")
