"""Knocking out every gene in every cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .. import _keys
from .._data import unwrap
from .._engine import knockouts
from .._errors import require_genes
from .._fitted import aligned_layer, gene_columns, read_fitted, read_presence, select_cells
from .._log import say
from .._write import write

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from mudata import MuData
    from scipy import sparse

    from .._fitted import Fitted, Groups


def scan(
    adata: AnnData | MuData,
    *,
    genes: str | Sequence[str] | None = None,
    groups: Groups = None,
    key: str = _keys.DEFAULT,
    mod: str = "rna",
    device: str = "auto",
    batch_size: int | None = None,
    copy: bool = False,
) -> AnnData | MuData | None:
    """Knock out every gene in every cell that expresses it, one at a time, and keep the impacts.

    Parameters
    ----------
    adata
        The AnnData of :func:`dko.tl.fit`, or another with the same genes, in any order.
    genes
        Genes to knock out; all genes of the fit by default.
    groups, key, mod, device, batch_size, copy
        As in :func:`dko.tl.virtual_ko`.

    Returns
    -------
    None, or the changed copy. Sets

    ``layers[f"{key}_impact"]``
        CSR float32 with an entry wherever a cell expresses a gene of the model, as in X: Bray-Curtis dissimilarity of
        the predicted profile after and before that gene is knocked out. ``sc.pl.umap(adata, color=gene,
        layer="dko_impact")`` and ``sc.tl.rank_genes_groups(adata, groupby, layer="dko_impact")`` read it as it is.
    ``var[f"{key}_impact_mean"]``
        Mean impact over the scanned cells that express the gene, float32; NaN for a gene that was not knocked out.
    ``var[f"{key}_n_cells"]``
        Number of these cells.

    Raises
    ------
    KeyError
        No fit; a gene or group that is not there.
    ValueError
        No cell expresses any of the genes.
    """
    data = adata.copy() if copy else adata
    target = unwrap(data, mod)
    fitted = read_fitted(target, key)
    columns = gene_columns(target, fitted)
    wanted = _wanted(genes, fitted, target)
    cells = select_cells(target, fitted.params.get("groupby"), groups)
    presence = read_presence(target, fitted)
    impact = _impacts(target, fitted, presence, wanted, cells, device, batch_size)
    layer = aligned_layer(impact, presence, columns, target.n_vars)
    if not layer.nnz:
        where = "No cell" if groups is None else "No cell of the chosen groups"
        raise ValueError(f"{where} that has a model expresses any of the genes, so there is nothing to knock out.")
    n_cells = np.bincount(layer.indices, minlength=target.n_vars)
    totals = np.bincount(layer.indices, weights=layer.data, minlength=target.n_vars)
    with np.errstate(invalid="ignore"):
        mean = (totals / n_cells).astype(np.float32)
    write(
        target,
        layers={_keys.impact(key): layer},
        var={_keys.impact_mean(key): mean, _keys.n_cells(key): n_cells},
    )
    say(f"Scanned {layer.nnz:,} knockouts of {int(wanted.sum()):,} genes in {target.n_obs:,} cells.")
    return data if copy else None


def _wanted(genes: str | Sequence[str] | None, fitted: Fitted, adata: AnnData) -> np.ndarray:
    """Return which genes of the model to knock out, as a mask."""
    if genes is None:
        return np.ones(len(fitted.genes), dtype=bool)
    names = [genes] if isinstance(genes, str) else [str(gene) for gene in genes]
    require_genes(names, fitted.genes, adata.var_names)
    return np.isin(fitted.genes, names)


def _impacts(
    adata: AnnData,
    fitted: Fitted,
    presence: sparse.csr_matrix,
    wanted: np.ndarray,
    cells: np.ndarray,
    device: str,
    batch_size: int | None,
) -> np.ndarray:
    """Return the impact at every entry of `presence`, NaN where none was asked for."""
    impact = np.full(presence.nnz, np.nan, dtype=np.float32)
    results = knockouts(
        adata,
        fitted,
        presence,
        cells,
        lambda _, present: np.flatnonzero(wanted[present])[:, None],
        description="scan",
        device=device,
        batch_size=batch_size,
    )
    for row, result in results:
        entries = presence.indptr[row] + np.flatnonzero(wanted[result.genes])
        impact[entries[result.part]] = result.impact
    return impact
