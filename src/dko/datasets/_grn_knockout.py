"""True profile of simulated cells after a knockout."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from .._core.messages import unknown
from .._core.verb import verb
from ._dynamics import to_profile
from ._simulation import read_simulation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

_BLOCK_CELLS = 1_024  # Cells solved together before they are stored sparse: 16 MB per array of 2,000 genes.


@verb
def grn_knockout(
    adata: AnnData, genes: str | Sequence[str], *, cells: str | Sequence[str] | None = None
) -> sparse.csr_array:
    """Give the true relative profile of simulated cells after genes are removed.

    The remaining genes of the cell settle anew, with the same network and production factors, and without noise. A gene
    that loses all that produces it dies out, and those that it represses are then free of it.

    Parameters
    ----------
    adata
        Simulated cells from :func:`dko.datasets.grn` or :func:`dko.datasets.grn_types`, all genes and any subset of the
        cells.
    genes
        Name of a gene, or several names, removed together. None (``[]``) gives the true profile of the cells as they
        are; so does a gene that is absent from a cell, for that cell.
    cells
        Name of a cell, or several names; the rows of the result follow them. All cells by default.

    Returns
    -------
    Profiles, shape ``(n_cells, n_genes)``, float64. Rows sum to 1, but for a cell in which no gene is left: its row is
    empty.

    Raises
    ------
    KeyError
        If a gene or a cell is not in `adata`.
    ValueError
        If `adata` does not carry a simulation, or only some of its genes.
    """
    simulation = read_simulation(adata)
    rows = np.arange(adata.n_obs) if cells is None else _positions(cells, adata.obs_names, "cell", "obs_names")
    removed = np.zeros(adata.n_vars, dtype=bool)
    removed[_positions(genes, adata.var_names, "gene", "var_names")] = True
    blocks = [rows[first : first + _BLOCK_CELLS] for first in range(0, len(rows), _BLOCK_CELLS)]
    profiles = [sparse.csr_array(to_profile(simulation.without(block, removed))) for block in blocks]
    return sparse.vstack(profiles, format="csr") if profiles else sparse.csr_array((0, adata.n_vars))


def _positions(wanted: str | Sequence[str], names: pd.Index, what: str, where: str) -> np.ndarray:
    """Return where the wanted names stand; a KeyError says which do not."""
    wanted = [wanted] if isinstance(wanted, str) else list(wanted)
    positions = names.get_indexer(pd.Index(wanted, dtype=object))
    missing = [name for name, position in zip(wanted, positions, strict=True) if position < 0]
    if missing:
        raise KeyError(unknown(what, missing, names, where))
    return positions
