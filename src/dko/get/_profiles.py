"""Observed and predicted profiles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from anndata import AnnData

from .._compat import stored
from .._core import keys
from .._core.cells import unwrap
from .._core.fitted import read_fitted, read_profiles, require_assemblages
from .._core.knockouts import open_task
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
    key, mod, device
        Where the fit is; where to compute.

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
    from ..models._device import resolve_device
    from ..models.knockout import engine

    target = unwrap(adata, mod)
    fitted = read_fitted(target, key)
    require_assemblages(fitted)
    cells = _cells_of(target, split, key)
    observed = read_profiles(target, fitted)
    predicted = observed.copy()
    predicted.data[:] = 0
    predict = engine(resolve_device(device)).predict
    task = open_task(adata, key, mod)
    models = np.where(cells, task.models, -1)
    for number in np.unique(models[models >= 0]):
        rows = np.flatnonzero(models == number)
        presence = observed[rows]
        presence.data[:] = 1
        entries = np.concatenate([np.arange(observed.indptr[row], observed.indptr[row + 1]) for row in rows])
        predicted.data[entries] = predict(fitted.affine(number), presence)
    before = observed.copy()
    before.data[:] = 0
    for part in task.parts(task.presence, cells=cells):
        before.data[part.entries] = predict(part.affine, part.presence)
    return AnnData(
        stored(observed[cells]),
        obs=target.obs[cells].copy(),
        var=target.var.loc[fitted.genes].copy(),
        layers={"predicted": stored(predicted[cells]), "before": stored(before[cells])},
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
