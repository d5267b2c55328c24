"""True impact of every single knockout in simulated cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from .._core.messages import progress_of
from .._core.verb import verb
from ._dynamics import to_profile
from ._simulation import read_simulation

if TYPE_CHECKING:
    from anndata import AnnData


@verb
def grn_impact(adata: AnnData, *, progress: bool = True) -> sparse.csr_array:
    """Give the true impact of removing every gene from every simulated cell that has it.

    The impact is the Bray-Curtis dissimilarity of the profiles before and after, both without noise and both with the
    gene itself: half their L1 distance. It is 1 where no gene is left after the knockout.

    Parameters
    ----------
    adata
        Simulated cells from :func:`dko.datasets.grn` or :func:`dko.datasets.grn_types`, all genes and any subset of the
        cells.
    %(progress)s

    Returns
    -------
    Impacts, shape ``(n_cells, n_genes)``, float64, on the sparsity pattern of ``adata.layers["truth"]``: store it in
    ``adata.layers``, or compare its ``data`` with those of another matrix on that pattern.

    Raises
    ------
    ValueError
        If `adata` does not carry a simulation, or only some of its genes.
    """
    simulation = read_simulation(adata)
    truth = simulation.truth
    impact = np.empty(truth.nnz)
    with progress_of(adata.n_obs, description="True impacts", unit="cell") as advance:
        for cell in range(adata.n_obs):
            entries = slice(truth.indptr[cell], truth.indptr[cell + 1])
            genes = truth.indices[entries]
            # The first row is the cell as it is, each further row lacks one gene.
            removed = np.zeros((len(genes) + 1, adata.n_vars), dtype=bool)
            removed[np.arange(1, len(removed)), genes] = True
            profiles = to_profile(simulation.without(np.full(len(removed), cell), removed))
            before, after = profiles[:1], profiles[1:]
            impact[entries] = np.abs(after - before).sum(axis=1) / (after + before).sum(axis=1)
            advance(1)
    return sparse.csr_array((impact, truth.indices.copy(), truth.indptr.copy()), shape=truth.shape)
