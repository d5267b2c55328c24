"""Keystone genes: those whose knockout has a large impact."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from .. import _keys
from .._compat import layer_names
from .._data import unwrap
from .._fitted import gene_columns, read_fitted, read_profiles, require_assemblages
from .._gene_means import gene_means
from .._groups import grouping
from .._results import is_ranking, ranking_at, read_params, read_table
from .._verb import verb

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
    key: str = _keys.DEFAULT,
    mod: str = "rna",
    key_added: str | None = None,
) -> pd.DataFrame:
    """Rank genes by their mean impact over the cells that express them, overall or per group.

    After :func:`dko.tl.rank_genes` for the same groups this is its table, which says what is left of the impact beyond
    expression, with intervals and p-values. Without it, impact grows with expression, because the gene's own share of
    the profile is part of it: read ``impact_mean`` beside ``expression_mean``.

    Parameters
    ----------
    adata
        After :func:`dko.tl.scan`, or :func:`dko.tl.rank_genes`.
    groupby
        ``obs`` column; by default that of :func:`dko.tl.rank_genes` or, without it, of the fit, if any. A ranking per
        group.
    min_cells
        Leave out genes that fewer scanned cells (of the group) express: a mean of a few cells is noise. By default as
        ranked, 10 without :func:`dko.tl.rank_genes`.
    key, mod
        Where the results are.
    key_added
        Where :func:`dko.tl.rank_genes` has put its result, if not at ``f"{key}_ranking"``.

    Returns
    -------
    After :func:`dko.tl.rank_genes`, its table. Otherwise a row per gene (and ``group``), best first: ``gene``,
    ``impact_mean``, ``n_cells`` (scanned cells that express it), ``fraction`` (of all cells, or of the group, that
    express it), ``expression_mean`` (mean share of the observed profile, over the genes of the model, in the scanned
    cells that express it); where the fit has total effects also ``signal``, the false discovery rate at which any
    other gene goes with it: above 0.05 what its knockout does to other genes may be noise.

    Raises
    ------
    KeyError
        Nothing was scanned; no such column; no ranking, or none in these groups, at `key_added`.
    """
    target = unwrap(adata, mod)
    if _keys.impact(key) not in layer_names(target):
        raise KeyError(f"No scan in adata.layers[{_keys.impact(key)!r}]; run dko.tl.scan(adata, key={key!r}) first.")
    fitted = read_fitted(target, key)
    require_assemblages(fitted)
    ranked = _ranked(target, key, key_added, groupby)
    if ranked is not None:
        return ranked if min_cells is None else ranked[ranked["n_cells"] >= min_cells].reset_index(drop=True)
    groupby = groupby or fitted.params.get("groupby")
    min_cells = _MIN_CELLS if min_cells is None else min_cells
    columns = gene_columns(target, fitted)
    impact = sparse.csr_array(target.layers[_keys.impact(key)])[:, columns]
    share = sparse.csr_array(read_profiles(target, fitted))
    known = pd.DataFrame({"gene": fitted.genes})
    if fitted.signal is not None:
        known["signal"] = fitted.signal
    if groupby is None:
        return _rank(impact, share, known, min_cells)
    groups, group_of = grouping(target, groupby)
    if not groups:
        raise ValueError(f"No cell has a value in obs[{groupby!r}], so there are no groups to rank in.")
    tables = {}
    for number, group in enumerate(groups):
        rows = np.flatnonzero(group_of == number)
        tables[group] = _rank(impact[rows], share[rows], known, min_cells)
    table = pd.concat(tables, names=["group"]).reset_index(level="group").reset_index(drop=True)
    return table.astype({"group": "category"})


def _rank(impact: sparse.csr_array, share: sparse.csr_array, known: pd.DataFrame, min_cells: int) -> pd.DataFrame:
    table = gene_means(impact, share, known["gene"]).assign(**known.drop(columns="gene"))
    table = table[table["n_cells"] >= max(min_cells, 1)]
    return table.sort_values("impact_mean", ascending=False, kind="stable", ignore_index=True)


def _ranked(adata: AnnData, key: str, key_added: str | None, groupby: str | None) -> pd.DataFrame | None:
    """Return a copy of the table of ``tl.rank_genes``, if there is one of these groups."""
    place = _keys.ranking(key) if key_added is None else key_added
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
