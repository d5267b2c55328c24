"""Read back from an AnnData what :func:`dko.datasets.grn` or ``grn_types`` left there, and solve for its cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from . import _keys
from ._dynamics import compact, steady_state
from ._hill import hill_levels

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


@dataclass(frozen=True)
class TypesSimulation:
    """The truth behind simulated cells of several types."""

    truth: sparse.csr_array
    """Levels, cells x genes."""
    production: sparse.csr_array
    """Production factors, on the same pattern."""
    network: NDArray[np.float64]
    """Signed weights without a cycle, genes x genes, rows regulate columns."""
    half_response: NDArray[np.float64]
    """Of every gene."""

    def without(self, cells: NDArray[np.intp], removed: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Solve for cells after genes are removed, as :meth:`Simulation.without` does."""
        factor = self.production[cells].toarray()
        return hill_levels(factor, self.network, half_response=self.half_response, removed=removed)[0]


def read_simulation(adata: AnnData) -> Simulation | TypesSimulation:
    """Read the truth of a simulated AnnData; a ValueError says what is missing."""
    if _keys.GRN not in adata.uns or _keys.TRUTH not in adata.layers or _keys.NETWORK not in adata.varp:
        raise ValueError(
            f"This AnnData carries no simulation (uns['{_keys.GRN}'], layers['{_keys.TRUTH}'] and "
            f"varp['{_keys.NETWORK}']): make one with dko.datasets.grn() or dko.datasets.grn_types()."
        )
    params = adata.uns[_keys.GRN]
    if adata.n_vars != params["n_genes"]:
        raise ValueError(
            f"This AnnData has {adata.n_vars} of the {params['n_genes']} simulated genes, and those left out still "
            "regulate: use the AnnData with all genes."
        )
    if params["network"] == _keys.ACYCLIC:
        return _read_types(adata)
    has_factors = _keys.PRODUCTION in adata.layers
    if params["heterogeneity"] > 0 and not has_factors:
        raise ValueError(f"layers['{_keys.PRODUCTION}'] is missing: use the AnnData as dko.datasets.grn() returned it.")
    return Simulation(
        truth=sparse.csr_array(adata.layers[_keys.TRUTH]),
        production=sparse.csr_array(adata.layers[_keys.PRODUCTION]) if has_factors else None,
        network=compact(sparse.csr_array(adata.varp[_keys.NETWORK])),
        decay=float(params["decay"]),
    )


def _read_types(adata: AnnData) -> TypesSimulation:
    for where, key in (("layers", _keys.PRODUCTION), ("var", _keys.HALF_RESPONSE)):
        if key not in getattr(adata, where):
            raise ValueError(f"{where}['{key}'] is missing: use the AnnData as dko.datasets.grn_types() returned it.")
    return TypesSimulation(
        truth=sparse.csr_array(adata.layers[_keys.TRUTH]),
        production=sparse.csr_array(adata.layers[_keys.PRODUCTION]),
        network=sparse.csr_array(adata.varp[_keys.NETWORK]).toarray(),
        half_response=adata.var[_keys.HALF_RESPONSE].to_numpy(dtype=np.float64),
    )
