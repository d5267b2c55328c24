"""The baselines that a prediction of effects has to beat."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._compat import Matrix, dense
from .._core.verb import verb
from .._rng import RNG, generator
from . import _baselines

if TYPE_CHECKING:
    from collections.abc import Sequence

# Baselines whose scale is no convention: they say how large a change is.
SIZED = ("ridge on assemblage",)


@verb
def baseline_effects(values: Matrix, genes: Sequence[int] | np.ndarray, *, rng: RNG = 0) -> dict[str, np.ndarray]:
    """Predict what knockouts do from unperturbed cells alone, without a model of knockouts.

    Parameters
    ----------
    values
        log1p(1e4 * profile) of unperturbed cells, cells x genes; see :func:`dko.metrics.log_profiles`.
    genes
        Columns of the genes to knock out, each alone.
    rng
        Seed or generator, for the cells of the ridge and those between which genes are shuffled.

    Returns
    -------
    Effects, knocked-out genes x genes, float64, by the name of the baseline. Their scale is a convention, the loss of
    one standard deviation of the gene, but for ``ridge on assemblage``; the value at the gene itself means nothing.

    ``gene mean``, ``gene spread``
        Minus the mean, or the standard deviation, of each gene: the same whatever was knocked out.
    ``co-expression``, ``co-expression sqrt(mean)``, ``co-expression mean``
        -r(g, j) times the standard deviation of j, or the root of its mean, or its mean.
    ``ridge partial correlation``
        The partial correlation given all other genes, with a heavy penalty (30 in units of the variance of a gene),
        times the root of the mean; in 2,000 random cells if there are more.
    ``depth-regressed co-expression``
        The partial correlation, given the logarithm of the number of genes in a cell, times the standard deviation.
    ``low-rank co-expression``
        The correlation as the first 20 principal components have it, times the standard deviation.
    ``ridge on assemblage``
        Minus the coefficient of the presence of g in a ridge regression of the values of j on the presence of all
        genes but j, in 2,000 random cells if there are more.
    ``permuted cells``
        ``co-expression`` after shuffling each gene on its own between cells: the floor.
    """
    values, columns, stream = dense(values), np.asarray(genes, dtype=int), generator(rng)
    return {
        "gene mean": _baselines.gene_mean(values, columns),
        "gene spread": _baselines.gene_spread(values, columns),
        "co-expression": _baselines.co_expression(values, columns),
        "co-expression sqrt(mean)": _baselines.co_expression(values, columns, np.sqrt(values.mean(axis=0))),
        "co-expression mean": _baselines.co_expression(values, columns, values.mean(axis=0)),
        "depth-regressed co-expression": _baselines.depth_regressed(values, columns),
        "low-rank co-expression": _baselines.low_rank(values, columns),
        "ridge partial correlation": _baselines.ridge_partial(values, columns, stream),
        "ridge on assemblage": _baselines.ridge(values, columns, stream),
        "permuted cells": _baselines.permuted(values, columns, stream),
    }
