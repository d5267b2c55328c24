"""Whether other genes depend on a gene, in the cells of a group."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from ._scanned import read_counts

if TYPE_CHECKING:
    from collections.abc import Callable

    from scipy import sparse

    from ..._core.knockouts import Predictor
    from ...models.dko_model import DkoModel
    from ...models.knockout import FactorMap
    from ...models.total import Null

    Test = Callable[[np.ndarray, np.random.Generator], np.ndarray]
    """From a mask of cells to a p-value of each gene of the model."""


def test_of(task: Predictor, observed: sparse.csr_matrix, min_cells: int, n_permutations: int | None) -> Test:
    """Return the test of a fit: of downstream impacts where effects are total, otherwise of co-expression.

    Parameters
    ----------
    observed
        Relative profiles of all cells.
    min_cells, n_permutations
        For co-expression: cells that express a gene to be compared with, and permutations.
    """
    if getattr(task.model, "null", None) is not None:
        return lambda cells, _: downstream_p_values(task, observed, cells)
    counts = read_counts(task)
    return lambda cells, rng: _co_expression(counts[cells], min_cells, n_permutations, rng)


def downstream_p_values(task: Predictor, observed: sparse.csr_matrix, cells: np.ndarray) -> np.ndarray:
    """Compare the downstream impacts on the mean profile of some cells with those of permuted genes.

    Where these cells have several models, the smallest p-value times the number of models.
    """
    from ...models.total import impacts_of_all, p_values

    found = [np.ones(observed.shape[1])]
    for number in np.unique(task.models[cells & task.cells]):
        model, of_model = cast("DkoModel", task.model.part(int(number))), task.models == number
        effects, null = cast("FactorMap", model.map), cast("Null", model.null)
        profile = np.asarray(observed[cells & of_model].mean(axis=0), dtype=np.float64).ravel()
        # How noisy its effects are depends on all cells of the model, not on those that are looked at.
        seen = np.bincount(observed[of_model].indices, minlength=len(profile))
        found.append(p_values(impacts_of_all(effects.influence, profile) / effects.step, null, seen, profile))
    return np.minimum(1, max(1, len(found) - 1) * np.min(found, axis=0))


def _co_expression(
    counts: sparse.csr_matrix, min_cells: int, n_permutations: int | None, rng: np.random.Generator
) -> np.ndarray:
    """Return p-values of genes; those that were not knocked out are what others are compared with."""
    from ...models.significance import gene_p_values, levels

    compared = np.bincount(counts.indices, minlength=counts.shape[1]) >= min_cells
    p_values = np.ones(len(compared))
    if compared.sum() > 1:
        p_values[compared] = gene_p_values(levels(counts, compared), rng, n_permutations)
    return p_values
