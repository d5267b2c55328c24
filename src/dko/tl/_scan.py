"""Knocking out every gene in every cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .. import _keys
from .._engine import open_task
from .._errors import require_genes
from .._log import say
from .._write import writable, write

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from mudata import MuData

    from .._engine import Task
    from .._fitted import Groups


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
    data = writable(adata, copy, mod)
    task = open_task(data, key, mod, groups)
    wanted = _wanted(genes, task)
    layer = task.layer(_impacts(task, wanted, device, batch_size))
    if not layer.nnz:
        where = "No cell" if groups is None else "No cell of the chosen groups"
        raise ValueError(f"{where} that has a model expresses any of the genes, so there is nothing to knock out.")
    n_vars = layer.shape[1]
    n_cells = np.bincount(layer.indices, minlength=n_vars)
    totals = np.bincount(layer.indices, weights=layer.data, minlength=n_vars)
    with np.errstate(invalid="ignore"):
        mean = (totals / n_cells).astype(np.float32)
    write(
        task.adata,
        layers={_keys.impact(key): layer},
        var={_keys.impact_mean(key): mean, _keys.n_cells(key): n_cells},
    )
    n_scanned = int((np.diff(layer.indptr) > 0).sum())
    say(f"Scanned {layer.nnz:,} knockouts of {int((n_cells > 0).sum()):,} genes in {n_scanned:,} cells.")
    return data if copy else None


def _wanted(genes: str | Sequence[str] | None, task: Task) -> np.ndarray:
    """Return which genes of the model to knock out, as a mask."""
    if genes is None:
        return np.ones(len(task.fitted.genes), dtype=bool)
    names = [genes] if isinstance(genes, str) else [str(gene) for gene in genes]
    require_genes(names, task.fitted.genes, task.adata.var_names)
    return np.isin(task.fitted.genes, names)


def _impacts(task: Task, wanted: np.ndarray, device: str, batch_size: int | None) -> np.ndarray:
    """Return the impact at every entry of presence, NaN where none was asked for."""
    impact = np.full(task.presence.nnz, np.nan, dtype=np.float32)
    for row, result in task.knockouts(
        lambda _, present: np.flatnonzero(wanted[present])[:, None],
        description="scan",
        device=device,
        batch_size=batch_size,
    ):
        entries = task.presence.indptr[row] + np.flatnonzero(wanted[result.genes])
        impact[entries[result.part]] = result.impact
    return impact
