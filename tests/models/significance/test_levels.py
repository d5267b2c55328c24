from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

import dko
from dko.models.significance import comparable, levels


@pytest.fixture(scope="module")
def counts(permuted):
    return permuted(np.random.default_rng(0), n_genes=40)


def covariates(n_present, totals, of_all):
    genes, total = (
        np.log(some) - np.log(every).mean() for some, every in zip((n_present, totals), of_all, strict=True)
    )
    return np.column_stack([np.ones(len(genes)), genes, genes**2, total, total**2])


def naive(counts, gene):
    """Residuals of a gene on the depth that the others give, and on that of all."""
    dense = counts.toarray().astype(float)
    of_all = (dense > 0).sum(1), dense.sum(1)
    without = of_all[0] - (dense[:, gene] > 0), of_all[1] - dense[:, gene]
    level = np.log1p(dense[:, gene])
    designs = covariates(*without, of_all), covariates(*of_all, of_all)
    return [level - design @ np.linalg.lstsq(design, level, rcond=None)[0] for design in designs]


@pytest.mark.parametrize("budget", [2**28, 5_000])
def test_depth_is_taken_off_without_the_gene_itself(counts, all_of, budget):
    with dko.settings.override(memory_budget=budget):
        found = levels(counts, all_of(counts))
    every = slice(None)
    for gene in (0, 3, 17):
        predictor, response = naive(counts, gene)
        np.testing.assert_allclose(found.predictors(every)[:, gene], predictor, atol=2e-5)
        np.testing.assert_allclose(found.responses(every)[:, gene], response, atol=2e-5)
        assert found.moments["predictor3"][gene] == pytest.approx((predictor**3).sum(), rel=1e-3, abs=1e-3)
        assert found.moments["response2"][gene] == pytest.approx((response**2).sum(), rel=1e-4)
        assert found.kurtosis[gene] == pytest.approx((predictor**4).mean() / (predictor**2).mean() ** 2, rel=1e-3)


def test_other_genes_count_for_the_depth(counts, all_of):
    some = np.arange(counts.shape[1]) % 3 == 0
    part, whole = levels(counts, some), levels(counts, all_of(counts))
    np.testing.assert_allclose(part.predictors(slice(9)), whole.predictors(slice(9))[:, some], atol=1e-6)
    assert part.shape == (counts.shape[0], some.sum()) and part.n_free == counts.shape[0] - 5


def test_what_does_not_vary_is_known(counts, all_of):
    more = sparse.hstack([counts, np.ones((counts.shape[0], 1), dtype=np.float32), np.zeros((counts.shape[0], 1))])
    assert levels(more.tocsr(), all_of(more)).varies.tolist() == [True] * counts.shape[1] + [False] * 2


def test_cells_that_hold_little_more_than_one_gene_are_no_trouble(all_of):
    counts = sparse.csr_matrix(np.array([[5, 0, 1], [4, 0, 0], [0, 1, 0], [2, 2, 2], [7, 1, 0], [1, 1, 1], [3, 0, 2]]))
    found = levels(counts.astype(np.float32), all_of(counts))
    assert np.isfinite(found.predictors(slice(None))).all() and np.isfinite(found.unevenness).all()


def test_in_how_many_cells_genes_meet(counts, all_of):
    found, there = levels(counts, all_of(counts)), counts.toarray() > 0
    np.testing.assert_array_equal(found.seen, there.sum(0))
    np.testing.assert_array_equal(found.meetings(np.array([2, 5])), there[:, [2, 5]].T.astype(int) @ there)


def test_the_variance_of_a_level_changes_with_depth(all_of):
    rng = np.random.default_rng(0)
    depth = rng.lognormal(0, 0.5, (2_000, 1))
    counts = sparse.csr_matrix(rng.poisson(0.05 * depth * np.ones(800)).astype(np.float32))
    found = levels(counts[np.diff(counts.indptr) > 1], all_of(counts))
    # Counts that are 0 or 1 have a variance in proportion to depth, so that products have 1 + its squared relative sd.
    np.testing.assert_allclose(np.median(found.unevenness), np.exp(0.25), rtol=0.1)


def test_comparable_values_do_not_depend_on_what_they_were_divided_by():
    values = sparse.random(20, 30, density=0.5, format="csr", rng=np.random.default_rng(0), dtype=np.float64)
    scaled = sparse.diags(np.arange(1.0, 21)) @ values
    np.testing.assert_allclose(comparable(scaled.tocsr()).toarray(), comparable(values).toarray())
    logs = np.log(comparable(values)[3].data)
    assert logs.mean() == pytest.approx(0)
