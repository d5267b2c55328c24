"""Observed and predicted profiles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from anndata import AnnData
from scipy import sparse

from .._compat import stored
from .._core import keys
from .._core.fitted import read_profiles
from .._core.knockouts import open_model
from .._core.messages import listed
from .._core.verb import verb

if TYPE_CHECKING:
    from mudata import MuData


@verb
def profiles(
    adata: AnnData | MuData,
    *,
    split: str | None = None,
    key: str = keys.DEFAULT,
    mod: str = "rna",
    device: str = "auto",
) -> AnnData:
    """Return observed profiles beside those that the model predicts from the genes that are present.

    Parameters
    ----------
    adata
        After :func:`dko.tl.fit`.
    split
        Cells to return: ``"train"``, ``"validation"``, ``"test"``, ``"unused"``; all by default.
    %(fit)s
    device
        Where to compute.

    Returns
    -------
    AnnData, cells x genes of the model, CSR float32: X the observed profile (relative, each row sums to 1),
    ``layers["predicted"]`` the one that its assemblage predicts, ``layers["before"]`` the one that knockouts start
    from: the same with direct effects, the observed one with total effects. No entries in cells without a model.

    Raises
    ------
    KeyError
        No fit, or no such split.
    """
    cells = open_model(adata, key, mod, device=device, needs="reconstruct")
    chosen = _cells_of(cells.adata, split, key)
    observed = read_profiles(cells.adata, cells.fitted)
    cells = cells.among(chosen)
    # Cells that have no model have no entries, as the last row.
    place = np.full(cells.adata.n_obs, len(cells.rows))
    place[cells.rows] = np.arange(len(cells.rows))
    none = sparse.csr_matrix((1, observed.shape[1]), dtype=np.float32)
    layers = {
        name: stored(sparse.vstack([cells.before(function), none], format="csr")[place[chosen]])
        for name, function in (("predicted", "reconstruct"), ("before", "before"))
    }
    return AnnData(
        stored(observed[chosen]),
        obs=cells.adata.obs[chosen].copy(),
        var=cells.adata.var.loc[cells.model.genes].copy(),
        layers=layers,
    )


def _cells_of(adata: AnnData, split: str | None, key: str) -> np.ndarray:
    if split is None:
        return np.ones(adata.n_obs, dtype=bool)
    if split not in keys.SPLITS:
        raise KeyError(f"No split {split!r}; there are {listed(keys.SPLITS)}.")
    if keys.split(key) not in adata.obs:
        raise KeyError(f"adata.obs[{keys.split(key)!r}] is gone; run dko.tl.fit(adata, key_added={key!r}) again.")
    cells = (adata.obs[keys.split(key)] == split).to_numpy()
    if not cells.any():
        raise KeyError(
            f"No {split} cells in adata.obs[{keys.split(key)!r}]; for test cells, fit with test_fraction=0.2."
        )
    return cells
