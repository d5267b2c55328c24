"""True knockouts of simulated cells: profiles, and the impact of every gene."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from .._core.messages import progress_of, unknown
from .._core.verb import verb
from . import _common
from ._dynamics import hill_levels, steady_state

BLOCK_CELLS = 1_024  # Cells solved together before they are stored sparse: 16 MB per array of 2,000 genes.


@verb
def grn_knockout(
    adata: AnnData, genes: str | Sequence[str], *, cells: str | Sequence[str] | None = None
) -> sparse.csr_array:
    """Return the true relative profiles of simulated cells after genes are removed.

    The other genes settle anew, with the same network and production factors, without noise. A gene that loses all that
    produces it dies out.

    Parameters
    ----------
    %(simulated)s
    genes
        Name of a gene, or several names, removed together; ``[]`` gives the true profiles of the cells as they are.
    cells
        Name of a cell, or several names; the rows of the result follow them. All cells by default.

    Returns
    -------
    Profiles, shape ``(n_cells, n_genes)``, float64. Rows sum to 1, or are empty where no gene is left.

    Raises
    ------
    KeyError, ValueError
        A gene or a cell is not in `adata`; `adata` does not carry a simulation, or only some of its genes.

    Examples
    --------
    >>> adata = dko.datasets.grn(200, 30, rng=0)
    >>> before = dko.datasets.grn_knockout(adata, [])
    >>> after = dko.datasets.grn_knockout(adata, "gene_3")
    >>> impact = dko.metrics.bray_curtis(before, after)  # the truth, to hold predictions against
    >>> impact.shape
    (200,)
    """
    without = _read(adata)
    rows = np.arange(adata.n_obs) if cells is None else _positions(cells, adata.obs_names, "cell", "obs_names")
    removed = np.zeros(adata.n_vars, dtype=bool)
    removed[_positions(genes, adata.var_names, "gene", "var_names")] = True
    blocks = [rows[first : first + BLOCK_CELLS] for first in range(0, len(rows), BLOCK_CELLS)]
    profiles = [sparse.csr_array(_profiles(without(block, removed))) for block in blocks]
    return sparse.vstack(profiles, format="csr") if profiles else sparse.csr_array((0, adata.n_vars))


@verb
def grn_impact(adata: AnnData, *, progress: bool = True) -> sparse.csr_array:
    """Return the true impact of removing every gene from every simulated cell that has it.

    Bray-Curtis dissimilarity of the profiles before and after, without noise, own share included; 1 where no gene is
    left.

    Parameters
    ----------
    %(simulated)s
    %(progress)s

    Returns
    -------
    Impacts, shape ``(n_cells, n_genes)``, float64, on the sparsity pattern of ``adata.layers["truth"]``.

    Examples
    --------
    >>> adata = dko.datasets.grn(200, 30, rng=0)
    >>> truth = dko.datasets.grn_impact(adata)
    >>> dko.tl.fit(adata)
    >>> dko.tl.scan(adata)
    >>> predicted = adata.layers["dko_impact"]
    >>> bool(np.corrcoef(truth.data, predicted.data)[0, 1] > 0.9)
    True
    """
    without, truth = _read(adata), sparse.csr_array(adata.layers[_common.TRUTH])
    impact = np.empty(truth.nnz)
    with progress_of(adata.n_obs, description="True impacts", unit="cell") as advance:
        for cell in range(adata.n_obs):
            entries = slice(truth.indptr[cell], truth.indptr[cell + 1])
            genes = truth.indices[entries]
            # The first row is the cell as it is, each further row lacks one gene.
            removed = np.zeros((len(genes) + 1, adata.n_vars), dtype=bool)
            removed[np.arange(1, len(removed)), genes] = True
            profiles = _profiles(without(np.full(len(removed), cell), removed))
            before, after = profiles[:1], profiles[1:]
            impact[entries] = np.abs(after - before).sum(axis=1) / (after + before).sum(axis=1)
            advance(1)
    return sparse.csr_array((impact, truth.indices.copy(), truth.indptr.copy()), shape=truth.shape)


def _profiles(levels: np.ndarray) -> np.ndarray:
    total = levels.sum(axis=1, keepdims=True)
    return np.divide(levels, total, out=np.zeros_like(levels), where=total > 0)


def _positions(wanted: str | Sequence[str], names: pd.Index, what: str, where: str) -> np.ndarray:
    """Return where the wanted names stand; a KeyError says which do not."""
    wanted = [wanted] if isinstance(wanted, str) else list(wanted)
    positions = names.get_indexer(pd.Index(wanted, dtype=object))
    missing = [name for name, position in zip(wanted, positions, strict=True) if position < 0]
    if missing:
        raise KeyError(unknown(what, missing, names, where))
    return positions


def _read(adata: AnnData) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return what gives the levels in some cells without the genes that are removed from each."""
    if _common.GRN not in adata.uns or _common.TRUTH not in adata.layers or _common.NETWORK not in adata.varp:
        raise ValueError(
            f"This AnnData carries no simulation (uns['{_common.GRN}'], layers['{_common.TRUTH}'] and "
            f"varp['{_common.NETWORK}']): make one with dko.datasets.grn() or dko.datasets.grn_types()."
        )
    params = adata.uns[_common.GRN]
    if adata.n_vars != params["n_genes"]:
        raise ValueError(
            f"This AnnData has {adata.n_vars} of the {params['n_genes']} simulated genes, and those left out still "
            "regulate: use the AnnData with all genes."
        )
    truth, network = sparse.csr_array(adata.layers[_common.TRUTH]), sparse.csr_array(adata.varp[_common.NETWORK])
    if params["network"] == _common.ACYCLIC:
        factors = sparse.csr_array(_needed(adata, "layers", _common.PRODUCTION))
        weights, half_response = network.toarray(), _needed(adata, "var", _common.HALF_RESPONSE).to_numpy(dtype=float)

        def levels(rows: np.ndarray, removed: np.ndarray) -> np.ndarray:
            return hill_levels(factors[rows].toarray() * ~removed, weights, half_response)[0]

        return levels
    # Without heterogeneity, all factors are 1.
    differ = params["heterogeneity"] > 0
    production = sparse.csr_array(_needed(adata, "layers", _common.PRODUCTION) if differ else truth > 0, dtype=float)

    def settled(rows: np.ndarray, removed: np.ndarray) -> np.ndarray:
        before, factor = truth[rows].toarray(), production[rows].toarray()
        return steady_state((before > 0) & ~removed, network, factor, float(params["decay"]), start=before)

    return settled


def _needed(adata: AnnData, where: str, key: str) -> Any:
    try:
        return getattr(adata, where)[key]
    except KeyError:
        raise ValueError(f"{where}['{key}'] is missing: use the AnnData as dko.datasets returned it.") from None
