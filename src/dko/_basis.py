"""Finding an embedding by the name that scanpy's users give it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._errors import listed

if TYPE_CHECKING:
    from anndata import AnnData


def read_basis(adata: AnnData, basis: str) -> tuple[str, np.ndarray]:
    """Return the name of an embedding without its ``X_``, and its first two dimensions (float64, cells x 2)."""
    short = basis.removeprefix("X_")
    known = [name for name in adata.obsm if isinstance(adata.obsm[name], np.ndarray) and adata.obsm[name].shape[1] > 1]
    for name in (basis, f"X_{basis}"):
        if name in known:
            return short, np.asarray(adata.obsm[name][:, :2], dtype=float)
    there = f"there are {listed(known)}" if known else "there is none; run sc.tl.umap(adata) first"
    raise KeyError(f"No embedding {basis!r} in adata.obsm; {there}.")
