from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from scipy.stats import spearmanr

from dko.models.dko.evidence import _tail, impacts, permuted
from dko.models.dko.total import fit
from dko.models.knockout import FactorMap, scan

from .counts import independent_counts, prepared, relative


def p_values(counts, rng=0):
    profiles, totals = relative(counts)
    return fit(profiles, totals, np.random.default_rng(rng), counts=True).p_values


@pytest.mark.parametrize(("n_cells", "n_genes", "n_sets"), [(300, 150, 3), (60, 100, 4), (200, 10, 20)])
def test_of_independent_genes_as_many_are_small_as_should_be(n_cells, n_genes, n_sets):
    seeds = map(np.random.default_rng, range(n_sets))
    found = np.concatenate([p_values(independent_counts(n_cells, n_genes, rng)) for rng in seeds])
    assert found.dtype == np.float64
    # Rather fewer: permuted genes have as much noise, and shares of few counts a little more.
    for rate, lowest, highest in [(0.01, 0, 0.025), (0.05, 0.01, 0.09), (0.5, 0.25, 0.6)]:
        assert lowest <= np.mean(found < rate) < highest, rate


def test_genes_that_no_cell_has_have_no_evidence():
    counts = independent_counts(300, 100, np.random.default_rng(0))
    found = p_values(np.column_stack([counts, np.zeros((300, 50))]))
    assert (found[100:] == 1).all()
    assert spearmanr(found[:100], p_values(counts)).statistic > 0.95


def test_impacts_are_the_downstream_impacts_of_small_knockouts():
    rng = np.random.default_rng(0)
    influence = rng.normal(size=(40, 40)).astype(np.float32)
    profile = rng.dirichlet(np.ones(40)).astype(np.float32)
    found = impacts(influence.T, profile)
    dose = 1e-3
    _, downstream = scan(FactorMap(np.float32(dose) * influence), sparse.csr_matrix(profile), downstream=True)
    np.testing.assert_allclose(found, downstream / dose, rtol=1e-2)
    others = np.arange(40) != 7
    weights = profile[others] / profile[others].sum()
    change = influence[others, 7]
    assert found[7] == pytest.approx(0.5 * weights @ np.abs(change - weights @ change), rel=1e-5)


@pytest.mark.parametrize("n_draws", [100, 2_000])
def test_a_tail_is_counted_and_extrapolated(n_draws):
    rng = np.random.default_rng(0)
    null, observed = rng.normal(size=n_draws), rng.normal(size=20_000)
    found = _tail(null, observed)
    assert ((found > 0) & (found <= 1)).all()
    order = np.argsort(observed)
    assert (np.diff(found[order]) <= 1e-12).all()
    assert np.mean(found < 0.05) == pytest.approx(0.05, abs=0.04 if n_draws == 100 else 0.015)
    # No draw is as large: one over their number if they are counted, and less where there are enough for a fit.
    far = _tail(null, np.array([8.0]))[0]
    assert far == pytest.approx(1 / 101) if n_draws == 100 else far < 1e-3


@pytest.mark.parametrize(("n_genes", "n_draws"), [(10, 320), (100, 3_200), (4_200, 700)])
def test_as_many_genes_are_permuted_as_tell_the_tail(n_genes, n_draws):
    counts = independent_counts(30, n_genes, np.random.default_rng(0))
    profiles, totals = relative(counts)
    genes, products, together = permuted(prepared(counts), profiles, totals, np.random.default_rng(0))
    assert len(genes) == max(512, n_draws) and products.shape == together.shape == (len(genes), n_genes)
    assert np.bincount(genes).max() <= max(32, 512 // n_genes + 1)
