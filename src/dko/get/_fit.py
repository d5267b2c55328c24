"""What a fit leaves: its losses, observed and predicted profiles and how close they are, double knockouts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scipy import sparse

from .._compat import stored
from .._core import keys
from .._core.cells import some_cells, unwrap
from .._core.fitted import read_fitted
from .._core.groups import group_of_cells
from .._core.knockouts import open_model
from .._core.messages import listed
from .._core.reading import read_profiles
from .._core.verb import verb
from .._rng import generator

if TYPE_CHECKING:
    from .._typing import Predictor


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
    %(compute)s

    Returns
    -------
    AnnData, cells x genes of the model, CSR float32: X the observed profile (rows sum to 1), ``layers["predicted"]``
    the one that its assemblage predicts, ``layers["before"]`` the one that knockouts start from: the predicted one with
    direct effects, the observed one with total effects. No entries in cells without a model.

    %(absent)s

    Examples
    --------
    >>> adata = dko.datasets.pbmc68k()
    >>> dko.tl.fit(adata)
    >>> profiles = dko.get.profiles(adata, split="validation")
    >>> profiles.shape
    (140, 765)
    >>> dko.metrics.bray_curtis(profiles.X, profiles.layers["predicted"]).shape
    (140,)
    """
    cells = open_model(adata, key, mod, device=device, needs="reconstruct")
    return profiles_of(cells, _cells_of(cells.adata, split, key))


def profiles_of(cells: Predictor, chosen: np.ndarray) -> AnnData:
    """Return observed and predicted profiles of some cells, a mask."""
    observed = read_profiles(cells.adata, cells.fitted, chosen)
    cells = cells.among(chosen)
    # Cells that have no model have no entries.
    place = sparse.eye(cells.adata.n_obs, format="csr", dtype=np.float32)[chosen][:, cells.rows]
    functions = {"predicted": "reconstruct", "before": "before"}
    layers = {name: stored(place @ cells.before(function)) for name, function in functions.items()}
    obs, var = cells.adata.obs[chosen].copy(), cells.adata.var.loc[cells.model.genes].copy()
    return AnnData(stored(observed), obs=obs, var=var, layers=layers)


def held_out_cells(cells: Predictor, split: str | None) -> tuple[np.ndarray, str, int]:
    """Return a mask of held-out cells, at most 20,000 at random, of which part of the fit, and how many that has."""
    if split is None:
        splits = cells.adata.obs.get(keys.split(cells.fitted.key), pd.Series())
        split = keys.TEST if (splits == keys.TEST).any() else keys.VALIDATION
    there = _cells_of(cells.adata, split, cells.fitted.key)
    return some_cells(there, generator(0)), split, int(there.sum())


def _cells_of(adata: AnnData, split: str | None, key: str) -> np.ndarray:
    if split is None:
        return np.ones(adata.n_obs, dtype=bool)
    if split not in keys.SPLITS:
        raise KeyError(f"No split {split!r}; there are {listed(keys.SPLITS)}.")
    if keys.split(key) not in adata.obs:
        raise KeyError(f"adata.obs[{keys.split(key)!r}] is gone; run dko.tl.fit(adata, key_added={key!r}) again.")
    cells = (adata.obs[keys.split(key)] == split).to_numpy()
    if not cells.any():
        remedy = "use the AnnData of the fit; for test cells, fit with test_fraction=0.2."
        raise KeyError(f"No {split} cells in adata.obs[{keys.split(key)!r}]; {remedy}")
    return cells


@verb
def fit_quality(
    adata: AnnData | MuData,
    *,
    split: str | None = None,
    groupby: str | None = None,
    key: str = keys.DEFAULT,
    mod: str = "rna",
) -> pd.DataFrame:
    """Return how well a fit predicts profiles, beside a prediction from the mean of each gene in the training cells.

    Parameters
    ----------
    adata
        After :func:`dko.tl.fit`.
    %(split)s
    groupby
        ``obs`` column, by default that of the fit, if any: also the mean of each gene in the cell's own group.
    %(fit)s

    Returns
    -------
    A row per prediction, ``model``, ``gene mean`` and, with groups, ``gene mean per {groupby}``; columns as of
    :func:`dko.metrics.fit_quality`, float64. ``attrs["split"]`` says which cells were predicted, ``attrs["n_cells"]``
    how many (at most 20,000, chosen at random, also for the means), ``attrs["n_split"]`` how many there are.

    %(absent)s

    Examples
    --------
    >>> adata = dko.datasets.pbmc68k()
    >>> dko.tl.fit(adata)
    >>> quality = dko.get.fit_quality(adata, groupby="cell_type")
    >>> quality.index.tolist()
    ['model', 'gene mean', 'gene mean per cell_type']
    >>> bool(quality.loc["model", "bray_curtis"] < quality.loc["gene mean per cell_type", "bray_curtis"])
    True
    """
    from .. import metrics

    cells = open_model(adata, key, mod, needs="reconstruct")
    target, fitted = cells.adata, cells.fitted
    groupby = groupby or fitted.params.get("groupby")
    groups = None if groupby is None else group_of_cells(target, groupby)
    is_training = some_cells(_cells_of(target, keys.TRAIN, key), generator(0))
    is_held_out, split, n_split = held_out_cells(cells, split)
    held_out = profiles_of(cells, is_held_out)
    training = read_profiles(target, fitted, is_training)
    found = {"model": held_out.layers["predicted"], "gene mean": metrics.gene_mean(training, held_out.X)}
    if groups is not None:
        of_cells = {"training_groups": groups[is_training], "groups": groups[is_held_out]}
        found[f"gene mean per {groupby}"] = metrics.gene_mean(training, held_out.X, **of_cells)
    rows = {name: metrics.fit_quality(held_out.X, predicted) for name, predicted in found.items()}
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.attrs = {"split": split, "n_cells": held_out.n_obs, "n_split": n_split}
    return table


@verb
def history(adata: AnnData | MuData, *, key: str = keys.DEFAULT, mod: str = "rna") -> pd.DataFrame:
    """Return the losses of a fit.

    A row per validation: ``step``, ``epoch``, ``train_loss`` (mean over the steps since the last validation) and
    ``validation_loss``; with ``groupby`` also ``group``, and with several members ``member``.

    Parameters
    ----------
    adata
        After :func:`dko.tl.fit`.
    %(table)s

    Examples
    --------
    >>> adata = dko.datasets.pbmc68k()
    >>> dko.tl.fit(adata)
    >>> dko.get.history(adata).columns.tolist()
    ['step', 'epoch', 'train_loss', 'validation_loss']
    """
    return read_fitted(unwrap(adata, mod), key).table(keys.HISTORY)


@verb
def pairs(adata: AnnData | MuData, *, key: str = keys.DEFAULT, mod: str = "rna") -> pd.DataFrame:
    """Return ``gene_a``, ``gene_b``, ``cell``, ``impact``, ``additive``, ``interaction`` of each double knockout.

    Parameters
    ----------
    adata
        After :func:`dko.tl.double_ko`.
    %(table)s

    Examples
    --------
    >>> adata = dko.datasets.pbmc68k()
    >>> dko.tl.fit(adata)
    >>> dko.tl.double_ko(adata, [("CD79A", "CD79B")])
    >>> dko.get.pairs(adata).columns.tolist()[:6]
    ['gene_a', 'gene_b', 'cell', 'impact', 'additive', 'interaction']
    """
    fitted = read_fitted(unwrap(adata, mod), key)
    if keys.PAIRS not in fitted.tables:
        raise KeyError(f"No double knockouts in adata.uns[{key!r}]; run dko.tl.double_ko(adata, key={key!r}) first.")
    return fitted.table(keys.PAIRS)
