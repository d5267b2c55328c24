"""Baselines that a prediction of effects has to beat: from unperturbed cells, or from other perturbations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from .._compat import Matrix, dense
from .._core.verb import verb
from .._rng import RNG, generator

_N_COMPONENTS = 20
# The partial correlations solve a system as large as there are cells.
_MAX_CELLS = 2_000
# Their penalty, in units of the variance of a gene.
_HEAVY = 30.0
# Penalties of the ridge that it chooses from, for features of standard deviation 1.
_PENALTIES = np.logspace(-2, 6, 25)
# With fewer perturbations nothing can be left out.
_FEWEST = 3


@verb
def baseline_effects(values: Matrix, genes: Sequence[int] | np.ndarray, *, rng: RNG = 0) -> dict[str, np.ndarray]:
    """Predict what knockouts do from unperturbed cells alone, without a model of knockouts.

    Parameters
    ----------
    values
        log1p(1e4 * profile) of unperturbed cells, cells x genes; see :func:`dko.metrics.log_profiles`.
    genes
        Columns of the genes to knock out, each alone.
    %(rng)s

    Returns
    -------
    Effects, knocked-out genes x genes, by name, on the scale of losing one standard deviation of the gene; the value at
    the gene itself means nothing.

    ``gene mean``, ``gene spread``
        Minus the mean, or the standard deviation, of each gene: the same whatever was knocked out.
    ``co-expression``, ``co-expression sqrt(mean)``, ``co-expression mean``
        -r(g, j) times the standard deviation of j, or the root of its mean, or its mean.
    ``depth-regressed co-expression``, ``low-rank co-expression``, ``ridge partial correlation``
        The correlation given the log number of genes in a cell, in the first 20 principal components, or given all
        other genes (penalty 30 in units of the variance of a gene, in at most 2,000 random cells).
    ``permuted cells``
        ``co-expression`` after shuffling each gene independently between cells: the floor.

    Examples
    --------
    >>> adata = dko.datasets.pbmc68k()
    >>> values = dko.metrics.log_profiles(adata.X.expm1())
    >>> effects = dko.metrics.baseline_effects(values, [adata.var_names.get_loc("CD74")])
    >>> falls = effects["co-expression"][0].argsort()[:4]
    >>> sorted(adata.var_names[falls])
    ['HLA-DPA1', 'HLA-DPB1', 'HLA-DRA', 'HLA-DRB1']
    """
    values, columns, stream = dense(values), np.asarray(genes, dtype=int), generator(rng)
    mean, spread = values.mean(axis=0), values.std(axis=0)
    r = _correlations(values, columns)
    return {
        "gene mean": np.tile(-mean, (len(columns), 1)),
        "gene spread": np.tile(-spread, (len(columns), 1)),
        "co-expression": -r * spread,
        "co-expression sqrt(mean)": -r * np.sqrt(mean),
        "co-expression mean": -r * mean,
        "depth-regressed co-expression": -_given_depth(values, columns, r) * spread,
        "low-rank co-expression": -_low_rank(values, columns) * spread,
        "ridge partial correlation": _ridge_partial(values, columns, stream),
        "permuted cells": permuted(values, columns, stream),
    }


@verb
def supervised_effects(effects: np.ndarray, features: np.ndarray, *, wanted: np.ndarray) -> dict[str, np.ndarray]:
    """Predict perturbations from the measured effects of others.

    Parameters
    ----------
    effects, features
        Measured effects, perturbations x genes, NaN at the perturbed genes, where the mean of the others stands in; and
        features of these perturbations, perturbations x features, summed where there are several genes.
    wanted
        Features of the perturbations to predict, n x features.

    Returns
    -------
    Effects, n x genes, by the name of the baseline; NaN at genes that are known of no training perturbation.

    ``mean effect``, ``ridge``, ``nearest``
        The mean of the training effects; with a ridge regression on the features, its penalty by leaving one of at
        least 3 perturbations out; the effect of the training perturbation with the most similar features, by their
        cosine.

    Examples
    --------
    >>> effects = np.array([[1.0, -1.0, 0.5], [0.9, -1.1, 0.4], [-1.0, 1.0, 0.0]])
    >>> features = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])  # of the perturbed genes
    >>> found = dko.metrics.supervised_effects(effects, features, wanted=np.array([[0.1, 0.9]]))
    >>> list(found)
    ['mean effect', 'ridge', 'nearest']
    >>> found["nearest"]
    array([[-1.,  1.,  0.]])
    """
    from sklearn.metrics.pairwise import cosine_similarity

    if not len(effects) or len(effects) != len(features) or features.shape[1] != wanted.shape[1]:
        raise ValueError(
            "There have to be training perturbations, each with as many features as those to predict; got effects of "
            f"shape {effects.shape}, features of {features.shape} and wanted ones of {wanted.shape}."
        )
    mean = mean_effect(effects)
    filled = np.where(np.isfinite(effects), effects, mean)
    return {
        "mean effect": np.tile(mean, (len(wanted), 1)),
        "ridge": _ridge(filled, mean, features, wanted),
        "nearest": filled[cosine_similarity(wanted, features).argmax(axis=1)],
    }


def co_expression(values: np.ndarray, genes: np.ndarray) -> np.ndarray:
    """Let fall what correlates with the gene: -r times the standard deviation of each gene."""
    return -_correlations(values, genes) * values.std(axis=0)


def permuted(values: np.ndarray, genes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Take co-expression in cells between which every gene was shuffled independently: what noise alone gives."""
    return co_expression(rng.permuted(values, axis=0), genes)


def mean_effect(effects: np.ndarray) -> np.ndarray:
    """Return the mean over perturbations of what is known of each gene (genes,); NaN where nothing is."""
    return pd.DataFrame(effects).mean().to_numpy()


def components(values: np.ndarray) -> Any:
    """Return the principal components of cells, a fitted ``sklearn.decomposition.PCA``."""
    from sklearn.decomposition import PCA

    return PCA(min(_N_COMPONENTS, *(size - 1 for size in values.shape)), random_state=0).fit(values)


def _correlations(values: np.ndarray, genes: np.ndarray) -> np.ndarray:
    """Return the Pearson correlations of `genes` with all, 0 for a gene that does not vary."""
    standard = _standardised(values)
    return standard[:, genes].T @ standard / len(values)


def _given_depth(values: np.ndarray, genes: np.ndarray, r: np.ndarray) -> np.ndarray:
    """Return the partial correlation, given the logarithm of the number of genes in a cell."""
    depth = np.log1p((values > 0).sum(axis=1, dtype=float))
    with_depth = _standardised(depth[:, None]).ravel() @ _standardised(values) / len(values)
    left = np.sqrt(np.maximum(1 - with_depth**2, 0))
    return _divide(r - np.outer(with_depth[genes], with_depth), np.outer(left[genes], left))


def _low_rank(values: np.ndarray, genes: np.ndarray) -> np.ndarray:
    """Return the correlation in cells as their first principal components describe them."""
    pca = components(values)
    loadings = pca.components_ * np.sqrt(pca.explained_variance_)[:, None]
    spread = np.sqrt((loadings**2).sum(axis=0))
    return _divide(loadings[:, genes].T @ loadings, np.outer(spread[genes], spread))


def _ridge_partial(values: np.ndarray, genes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Take the partial correlation given all others, by a system only as large as there are cells."""
    from scipy.linalg import solve

    if len(values) > _MAX_CELLS:
        values = values[np.sort(rng.choice(len(values), _MAX_CELLS, replace=False))]
    z = _standardised(values)
    u = solve(z @ z.T + _HEAVY * len(z) * np.eye(len(z)), z, assume_a="pos")
    own = 1 - (z * u).sum(axis=0)
    return -(z[:, genes].T @ u) / np.sqrt(np.outer(own[genes], own)) * np.sqrt(values.mean(axis=0))


def _ridge(effects: np.ndarray, mean: np.ndarray, features: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    known = np.isfinite(mean)
    found = np.tile(mean, (len(wanted), 1))
    varies = features.std(axis=0) > 0
    if len(effects) < _FEWEST or not known.any() or not varies.any():
        return found
    # With an intercept, whoever is left out is left out of the mean too: it would give the left-out one away.
    ridge = make_pipeline(StandardScaler(), RidgeCV(alphas=_PENALTIES))
    ridge.fit(features[:, varies], effects[:, known] - mean[known])
    found[:, known] += ridge.predict(wanted[:, varies]).reshape(len(wanted), -1)
    return found


def _standardised(values: np.ndarray) -> np.ndarray:
    return _divide(values - values.mean(axis=0), np.broadcast_to(values.std(axis=0), values.shape))


def _divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Divide, with 0 where there is next to nothing to divide by."""
    return np.divide(a, b, out=np.zeros_like(a), where=b > 1e-12)
