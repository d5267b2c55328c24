"""What can be said of knockouts without a model of them: from the log values of unperturbed cells alone.

Every function takes values (log1p(1e4 * profile), cells x genes) and the columns of the genes to knock out, and returns
effects, knocked-out genes x genes. Their scale is a convention: the loss of one standard deviation of the gene.
"""

from __future__ import annotations

from typing import Any

import numpy as np

N_COMPONENTS = 20
# The ridge solves a system as large as there are cells.
_MAX_RIDGE_CELLS = 2_000
# Penalty of the partial correlations, in units of the variance of a gene.
_HEAVY = 30.0
# Strengths of the ridge that its validation chooses from, in units of the mean square of the presence of a gene.
_STRENGTHS = (0.1, 1.0, 10.0, 100.0, 1000.0)


def gene_mean(values: np.ndarray, genes: np.ndarray) -> np.ndarray:
    """Let every gene fall in proportion to its mean, whatever was knocked out."""
    return np.tile(-values.mean(axis=0), (len(genes), 1))


def gene_spread(values: np.ndarray, genes: np.ndarray) -> np.ndarray:
    """Let every gene fall in proportion to its standard deviation, whatever was knocked out."""
    return np.tile(-values.std(axis=0), (len(genes), 1))


def co_expression(values: np.ndarray, genes: np.ndarray, size: np.ndarray | None = None) -> np.ndarray:
    """Let fall what correlates with the gene: -r times the `size` of each gene, by default its standard deviation."""
    return -_correlations(values, genes) * (values.std(axis=0) if size is None else size)


def ridge_partial(values: np.ndarray, genes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Take the partial correlation given all others, from the inverse of the correlations plus a heavy penalty.

    It needs a system only as large as there are cells; of more than 2,000, so many are drawn at random.
    """
    from scipy.linalg import solve

    values = _some(values, rng)
    z = _standardised(values)
    u = solve(z @ z.T + _HEAVY * len(z) * np.eye(len(z)), z, assume_a="pos")
    own = 1 - (z * u).sum(axis=0)
    return -(z[:, genes].T @ u) / np.sqrt(np.outer(own[genes], own)) * np.sqrt(values.mean(axis=0))


def depth_regressed(values: np.ndarray, genes: np.ndarray) -> np.ndarray:
    """Take the partial correlation, given the logarithm of the number of genes in a cell."""
    depth = np.log1p((values > 0).sum(axis=1, dtype=float))
    with_depth = _standardised(depth[:, None]).ravel() @ _standardised(values) / len(values)
    partial = _correlations(values, genes) - np.outer(with_depth[genes], with_depth)
    left = np.sqrt(np.maximum(1 - with_depth**2, 0))
    scale = np.outer(left[genes], left)
    return -_divide(partial, scale) * values.std(axis=0)


def low_rank(values: np.ndarray, genes: np.ndarray) -> np.ndarray:
    """Take the correlation in cells as their first 20 principal components describe them."""
    pca = components(values)
    loadings = pca.components_ * np.sqrt(pca.explained_variance_)[:, None]
    spread = np.sqrt((loadings**2).sum(axis=0))
    r = _divide(loadings[:, genes].T @ loadings, np.outer(spread[genes], spread))
    return -r * values.std(axis=0)


def ridge(values: np.ndarray, genes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Take from every gene what the presence of the lost one adds to it, in a ridge regression on that of all others.

    The strength is chosen by generalised cross-validation, one for all genes. Of more than 2,000 cells, so many are
    drawn at random.
    """
    values = _some(values, rng)
    presence = _centred((values > 0).astype(float))
    square = np.square(presence).sum() / presence.shape[1]
    if square == 0:
        return np.zeros((len(genes), values.shape[1]))
    fits = (_ridge(presence, _centred(values), strength * square, genes) for strength in _STRENGTHS)
    return -min(fits, key=lambda fit: fit[0])[1]


def _ridge(presence: np.ndarray, values: np.ndarray, penalty: float, genes: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the cross-validated error of all regressions, and the coefficients of `genes` in them.

    With P the inverse of Z'Z + penalty, the regression without its own gene j has the coefficients w - P_j w_j / P_jj,
    w being those with it. Everything is had from U = Z P, which needs a system only as large as there are cells.
    """
    from scipy.linalg import solve

    n_cells = len(presence)
    u = solve(presence @ presence.T + penalty * np.eye(n_cells), presence, assume_a="pos")
    hat = presence @ u.T
    own = (1 - (presence * u).sum(axis=0)) / penalty
    weight = (u * values).sum(axis=0) / own
    residual = values - hat @ values + u * weight
    used = np.trace(hat) - np.square(u).sum(axis=0) / own
    error = float((np.square(residual).mean(axis=0) / (1 - (1 + used) / n_cells) ** 2).sum())
    among = presence[:, genes].T @ u / -penalty
    among[np.arange(len(genes)), genes] += 1 / penalty
    return error, u[:, genes].T @ values - among * weight


def permuted(values: np.ndarray, genes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Take co-expression in cells between which every gene was shuffled on its own: what noise alone gives."""
    return co_expression(rng.permuted(values, axis=0), genes)


def _some(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return at most as many random cells as a system is solved for."""
    if len(values) <= _MAX_RIDGE_CELLS:
        return values
    return values[np.sort(rng.choice(len(values), _MAX_RIDGE_CELLS, replace=False))]


def components(values: np.ndarray) -> Any:
    """Return the principal components of cells, a fitted ``sklearn.decomposition.PCA``."""
    from sklearn.decomposition import PCA

    return PCA(min(N_COMPONENTS, *(size - 1 for size in values.shape)), random_state=0).fit(values)


def _correlations(values: np.ndarray, genes: np.ndarray) -> np.ndarray:
    """Return the Pearson correlations of `genes` with all, 0 for a gene that does not vary."""
    standard = _standardised(values)
    return standard[:, genes].T @ standard / len(values)


def _standardised(values: np.ndarray) -> np.ndarray:
    return _divide(_centred(values), np.broadcast_to(values.std(axis=0), values.shape))


def _centred(values: np.ndarray) -> np.ndarray:
    return values - values.mean(axis=0)


def _divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Divide, with 0 where there is next to nothing to divide by."""
    return np.divide(a, b, out=np.zeros_like(a), where=b > 1e-12)
