from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from scipy.stats import false_discovery_control, spearmanr

import dko
from dko.models.dko.null import _tail, impacts_of_all, permuted
from dko.models.dko.regression import regression
from dko.models.dko.total import fit
from dko.models.knockout import FactorMap, scan


@pytest.fixture
def p_values(relative):
    def of(counts, rng=0):
        profiles, totals = relative(counts)
        return fit(profiles, totals, np.random.default_rng(rng), counts=True).p_values

    return of


def lacking(n_cells, n_genes, rng):
    """Cells that lack some of their genes altogether and have many counts of the others."""
    counts = rng.poisson(20 * rng.lognormal(0, 0.5, (n_cells, n_genes)))
    return counts * (rng.random(counts.shape) < 0.6)


@pytest.fixture
def counts(independent_counts):
    """A function: cells in which no gene is associated with another."""
    kinds = {
        "seldom sampled": lambda rng: independent_counts(300, 200, rng),
        "lacking": lambda rng: lacking(300, 200, rng),
        "few cells": lambda rng: independent_counts(60, 200, rng),
        "few genes": lambda rng: independent_counts(300, 10, rng),
    }
    return lambda kind, seed: kinds[kind](np.random.default_rng(seed))


@pytest.mark.parametrize(
    ("kind", "n_sets"), [("seldom sampled", 5), ("lacking", 5), ("few cells", 5), ("few genes", 24)]
)
def test_of_independent_genes_as_many_are_small_as_should_be(counts, p_values, kind, n_sets):
    found = np.concatenate([p_values(counts(kind, seed)) for seed in range(n_sets)])
    assert found.dtype == np.float64
    # Rather fewer: permuted genes have as much noise, and shares of few counts a little more.
    for rate, lowest, highest in [(0.01, 0, 0.025), (0.05, 0.01, 0.09), (0.5, 0.25, 0.6)]:
        assert lowest <= np.mean(found < rate) < highest, rate


def test_two_co_expressed_genes_are_found(independent_counts, p_values):
    rng = np.random.default_rng(0)
    counts = independent_counts(300, 200, rng)
    counts[:, 7] = rng.poisson(1 + counts[:, 3])
    found = p_values(counts)
    assert found[[3, 7]].max() < 1e-3
    assert np.median(np.delete(found, [3, 7])) > 0.3


def test_pairs_are_found_where_depth_varies(independent_counts, p_values):
    rng = np.random.default_rng(2)
    counts = independent_counts(600, 400, rng, depth_spread=0.6)
    for gene in range(0, 20, 2):
        counts[:, gene + 1] = rng.poisson(0.5 + counts[:, gene])
    found = p_values(counts)
    assert np.median(found[:20]) < 0.01
    # Amounts permuted among cells of different depth vary more than those of a gene: of the others none has evidence.
    assert (found[20:] < 0.05).mean() < 0.05


def test_the_same_with_the_same_generator(independent_counts, p_values):
    counts = independent_counts(50, 20, np.random.default_rng(0))
    first, again, other = (p_values(counts, rng) for rng in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_genes_that_no_cell_has_have_no_evidence(independent_counts, p_values):
    counts = independent_counts(300, 100, np.random.default_rng(0))
    found = p_values(np.column_stack([counts, np.zeros((300, 50))]))
    assert (found[100:] == 1).all()
    assert spearmanr(found[:100], p_values(counts)).statistic > 0.95


def test_depth_is_no_evidence_in_normalised_values(independent_counts):
    rng = np.random.default_rng(3)
    counts = independent_counts(500, 300, rng, depth_spread=0.6)
    shares = sparse.csr_matrix((counts / counts.sum(1, keepdims=True)).astype(np.float32))
    found = fit(shares, np.full(500, 1e4), rng, counts=False).p_values
    assert (false_discovery_control(found) < 0.05).sum() == 0


def test_impacts_are_the_downstream_impacts_of_small_knockouts(independent_counts):
    rng = np.random.default_rng(0)
    influence = rng.normal(size=(300, 300)).astype(np.float32)
    profile = rng.dirichlet(np.ones(300)).astype(np.float32)
    found = impacts_of_all(influence, profile)
    dose = 1e-3
    _, downstream = scan(FactorMap(influence), sparse.csr_matrix(profile), dose=dose, downstream=True)
    np.testing.assert_allclose(found, downstream / dose, rtol=1e-2)
    others = np.arange(300) != 7
    weights = profile[others] / profile[others].sum()
    change = influence[others, 7]
    assert found[7] == pytest.approx(0.5 * weights @ np.abs(change - weights @ change), rel=1e-5)


def test_permuted_genes_are_no_longer_associated_and_have_the_same_moments(relative, independent_counts):
    rng = np.random.default_rng(0)
    counts = independent_counts(300, 30, rng)
    counts[:, 1] = rng.poisson(1 + counts[:, 0])
    cells = regression(*relative(counts), counts=True)
    genes, products, together = permuted(cells, np.random.default_rng(0))
    with dko.settings.override(memory_budget=1_000_000):
        again = permuted(cells, np.random.default_rng(0))
    for found, expected in zip(again, (genes, products, together), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
    # Every gene as often as any other.
    times = np.bincount(genes, minlength=30)
    assert times.min() >= times.max() - 1
    noise = np.sqrt(np.square(cells.residuals(slice(0, 300), cells.shares(slice(0, 300)))[0]).sum(0))
    z = (products / noise)[genes == 0][:, 1]
    assert np.abs(z).max() < 5 and 0.5 < z.std() < 2
    assert np.abs(together[genes == 0][:, 1]).mean() < 0.1


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
