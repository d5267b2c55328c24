from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

import dko

RNG = np.random.default_rng(0)
CONTROL, PERTURBED = RNG.poisson(2.0, (30, 8)).astype(float), RNG.poisson(1.5, (20, 8)).astype(float)


def values(counts, without):
    left = np.delete(counts, without, axis=1)
    return np.log1p(1e4 * left / left.sum(axis=1, keepdims=True))


@pytest.mark.parametrize("without", [[], [3], [0, 3]])
def test_change_of_the_mean_without_the_gene(without):
    found = dko.metrics.effect(sparse.csr_matrix(PERTURBED), CONTROL, without=without)
    assert found.dtype == np.float64 and np.isnan(found[without]).all()
    expected = values(PERTURBED, without).mean(axis=0) - values(CONTROL, without).mean(axis=0)
    np.testing.assert_allclose(np.delete(found, without), expected)


def test_a_gene_that_only_leaves_room_has_no_effect():
    counts = np.full((10, 4), 5.0)
    gone = counts.copy()
    gone[:, 2] = 0
    assert np.abs(dko.metrics.effect(gone, counts)).min() > 0.2
    np.testing.assert_allclose(dko.metrics.effect(gone, counts, without=[2]), [0, 0, np.nan, 0], atol=1e-12)


@pytest.mark.parametrize("control", [CONTROL[:0], CONTROL[:, :5]])
def test_needs_cells_of_the_same_genes(control):
    with pytest.raises(ValueError, match=r"Both sides need cells, of the same genes; got \(20, 8\)"):
        dko.metrics.effect(PERTURBED, control)
