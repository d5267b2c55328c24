"""Impacts as rows, the way the reference lists them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from .._compat import layer_names
from .._core import keys
from .._core.cells import require_unique, unwrap
from .._core.verb import verb

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData


@verb
def impact_table(adata: AnnData | MuData, *, key: str = keys.DEFAULT, mod: str = "rna") -> pd.DataFrame:
    """Return the impacts of a scan, a row per gene and cell, as the reference lists them: cell by cell.

    Parameters
    ----------
    adata
        After :func:`dko.tl.scan`.
    %(results)s

    Returns
    -------
    ``gene_id`` and ``cell_id`` (names, categories), ``impact`` (float32).

    Raises
    ------
    KeyError
        Nothing was scanned.
    """
    target = unwrap(adata, mod)
    if keys.impact(key) not in layer_names(target):
        raise KeyError(f"No scan in adata.layers[{keys.impact(key)!r}]; run dko.tl.scan(adata, key={key!r}) first.")
    require_unique(target.obs_names, "obs_names")
    layer = sparse.csr_array(target.layers[keys.impact(key)])
    cells = np.repeat(np.arange(layer.shape[0]), np.diff(layer.indptr))
    return pd.DataFrame(
        {
            "gene_id": pd.Categorical.from_codes(layer.indices, categories=target.var_names),
            "cell_id": pd.Categorical.from_codes(cells, categories=target.obs_names),
            "impact": layer.data,
        }
    )
