"""Read back from an AnnData what :func:`dko.datasets.grn` left there, and solve for its cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from . import _keys
from ._dynamics import compact, steady_state

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

    from ._dynamics import Network


@dataclass(frozen=True)
class Simulation:
    """The truth behind simulated cells."""

    truth: sparse.csr_array
    """Noise-free steady state, cells x genes; its pattern says which genes are present."""
    production: sparse.csr_array | None
    """Production factors on the same pattern, None where all are 1."""
    network: Network
    """Signed weights, genes x genes, rows regulate columns."""
    decay: float

    def without(self, cells: NDArray[np.intp], removed: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Solve for cells after genes are removed.

        `cells` are row numbers, shape ``(n,)``; `removed` says which genes each of them loses, shape ``(n, n_genes)``
        or one that broadcasts to it. Returns the steady state, float64, shape ``(n, n_genes)``.
        """
        before = self.truth[cells].toarray()
        production = None if self.production is None else self.production[cells].toarray()
        presence = (before > 0) & ~removed
        return steady_state(presence, self.network, production=production, decay=self.decay, start=before)


def read_simulation(adata: AnnData) -> Simulation:
    """Read the truth of a simulated AnnData; a ValueError says what is missing."""
    if _keys.GRN not in adata.uns or _keys.TRUTH not in adata.layers or _keys.NETWORK not in adata.varp:
        raise ValueError(
            f"This AnnData carries no simulation (uns['{_keys.GRN}'], layers['{_keys.TRUTH}'] and "
            f"varp['{_keys.NETWORK}']): make one with dko.datasets.grn()."
        )
    params = adata.uns[_keys.GRN]
    if adata.n_vars != params["n_genes"]:
        raise ValueError(
            f"This AnnData has {adata.n_vars} of the {params['n_genes']} simulated genes, and those left out still "
            "regulate: use the AnnData with all genes."
        )
    has_factors = _keys.PRODUCTION in adata.layers
    if params["heterogeneity"] > 0 and not has_factors:
        raise ValueError(f"layers['{_keys.PRODUCTION}'] is missing: use the AnnData as dko.datasets.grn() returned it.")
    return Simulation(
        truth=sparse.csr_array(adata.layers[_keys.TRUTH]),
        production=sparse.csr_array(adata.layers[_keys.PRODUCTION]) if has_factors else None,
        network=compact(sparse.csr_array(adata.varp[_keys.NETWORK])),
        decay=float(params["decay"]),
    )
