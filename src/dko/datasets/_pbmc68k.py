"""Real cells that come with an installed package."""

from __future__ import annotations

import numpy as np
import pandas as pd
from anndata import AnnData

from .._core.verb import verb


@verb
def pbmc68k() -> AnnData:
    """Load 700 human blood cells with 765 genes; nothing is downloaded.

    The unscaled part of :func:`scanpy.datasets.pbmc68k_reduced`, a sample of Zheng et al., Nat. Commun. 8, 14049
    (2017), that is part of every scanpy installation.

    Returns
    -------
    AnnData of cells x genes with

    ``X``
        Library-size normalised, log1p-transformed expression, CSR, float32; ``uns["log1p"]`` says so, as scanpy does.
    ``obs["cell_type"]``, ``obsm["X_umap"]``
        Cell type, ten categories, also as ``obs["bulk_labels"]``; embedding, float32, shape ``(700, 2)``.

    Examples
    --------
    >>> adata = dko.datasets.pbmc68k()
    >>> adata.shape
    (700, 765)
    >>> sc.pl.umap(adata, color="cell_type")
    """
    import scanpy as sc

    bundled = sc.datasets.pbmc68k_reduced().raw.to_adata()
    bundled.obs["cell_type"] = bundled.obs["bulk_labels"]
    return AnnData(
        bundled.X,
        obs=pd.DataFrame({name: bundled.obs[name] for name in ("bulk_labels", "cell_type")}),
        var=pd.DataFrame(index=bundled.var_names),
        obsm={"X_umap": np.asarray(bundled.obsm["X_umap"])},
        uns={"log1p": {"base": None}},
    )
