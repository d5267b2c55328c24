from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from dko.models.knockout import AffineMap, predict
from dko.models.total._calibrate import _SCALES, balance, best_scale


@pytest.fixture
def simulate():
    """Profiles of cells that follow exp(scale A z + b), counted, as a function."""

    def cells(influence, scale, rng, n_cells=400, depth=2_000):
        n_genes = len(influence)
        presence = sparse.csr_matrix((rng.random((n_cells, n_genes)) < 0.7).astype(np.float32))
        intercept = rng.normal(scale=0.7, size=n_genes).astype(np.float32)
        truth = AffineMap(influence * np.float32(scale), intercept, "exp", divisor=1.0)
        presence.data = rng.poisson(depth * predict(truth, presence)).astype(np.float32)
        presence.eliminate_zeros()
        totals = np.asarray(presence.sum(axis=1)).ravel()
        presence.data /= np.repeat(totals, np.diff(presence.indptr))
        return presence

    return cells


@pytest.mark.parametrize("true", [0.05, 0.3, 1.0])
def test_the_scale_of_the_cells_is_found(simulate, true):
    rng = np.random.default_rng(0)
    influence = rng.normal(scale=0.5, size=(30, 30)).astype(np.float32)
    profiles = simulate(influence, true, rng)
    found = best_scale(influence, profiles[:320], profiles[320:])
    assert abs(_SCALES.index(found) - _SCALES.index(true)) <= 1


def test_an_influence_that_has_nothing_to_do_with_the_cells_gets_next_to_no_scale(simulate):
    rng = np.random.default_rng(0)
    influence, other = rng.normal(scale=0.5, size=(2, 30, 30)).astype(np.float32)
    profiles = simulate(influence, 0.5, rng)
    assert best_scale(other, profiles[:320], profiles[320:]) <= 0.02


def test_every_gene_keeps_its_mean_share(simulate):
    rng = np.random.default_rng(0)
    influence = rng.normal(scale=0.3, size=(30, 30)).astype(np.float32)
    profiles = simulate(influence, 1.0, rng)
    affine = balance(influence[::-1].copy(), profiles)
    assert affine.link == "exp" and affine.divisor == 1
    assert affine.intercept.dtype == np.float32
    presence = profiles.copy()
    presence.data = np.ones_like(presence.data)
    expected = np.bincount(profiles.indices, weights=profiles.data)
    found = np.bincount(profiles.indices, weights=predict(affine, presence))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_a_gene_that_no_cell_has_and_a_cell_without_genes():
    dense = np.random.default_rng(0).dirichlet(np.ones(5), 20).astype(np.float32)
    dense[:, 2] = dense[7] = 0
    affine = balance(np.zeros((5, 5), dtype=np.float32), sparse.csr_matrix(dense))
    assert np.isfinite(affine.intercept).all()
    assert affine.intercept[2] < affine.intercept.max() - 10
