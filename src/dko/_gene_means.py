"""Means over the cells that express a gene."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scipy import sparse


def gene_means(
    impact: sparse.csr_array | sparse.csr_matrix, share: sparse.csr_array | sparse.csr_matrix, genes: Sequence[str]
) -> pd.DataFrame:
    """Return what a scan and the observed profiles say of each gene: a row per gene, in their order.

    Parameters
    ----------
    impact
        Impacts of the scan, cells x genes.
    share
        Observed relative profiles of the same cells.

    Returns
    -------
    ``gene``, ``impact_mean``, ``n_cells`` (scanned cells that express it), ``fraction`` (of all these cells that
    express it), ``expression_mean`` (mean share in scanned cells that express it).
    """
    n_genes = len(genes)
    scanned = share[np.diff(impact.indptr) > 0]
    n_cells = np.bincount(impact.indices, minlength=n_genes)
    totals = np.bincount(impact.indices, weights=impact.data, minlength=n_genes)
    n_expressing = np.bincount(scanned.indices, minlength=n_genes)
    shares = np.bincount(scanned.indices, weights=scanned.data, minlength=n_genes)
    return pd.DataFrame(
        {
            "gene": list(genes),
            "impact_mean": totals / np.maximum(n_cells, 1),
            "n_cells": n_cells,
            "fraction": np.bincount(share.indices, minlength=n_genes) / max(share.shape[0], 1),
            "expression_mean": shares / np.maximum(n_expressing, 1),
        }
    )
