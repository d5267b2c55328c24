from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import nbinom

import dko
from dko.models.total._regression import regression


@pytest.fixture
def counts(independent_counts):
    rng = np.random.default_rng(0)
    return independent_counts(60, 15, rng, depth=40, depth_spread=0.4) + (np.arange(15) == 3)


def test_the_level_is_the_mean_where_present(relative, counts):
    profiles, totals = relative(counts)
    dense = profiles.toarray()
    expected = [np.log1p(1e4 * column[column > 0]).mean() for column in dense.T]
    np.testing.assert_allclose(regression(profiles, totals, counts=True).level, expected, rtol=1e-6)


@pytest.mark.parametrize("are_counts", [True, False])
def test_zeros_weigh_as_much_as_a_negative_binomial_explains(relative, counts, are_counts):
    profiles, totals = relative(counts)
    found = regression(profiles, totals, counts=are_counts)
    sampled = profiles.toarray().astype(float) * (np.median(totals) if are_counts else 1e4)
    for gene, values in enumerate(sampled.T):
        zeros, weight = (values == 0).sum(), 1.0
        for _ in range(10):
            among = np.where(values > 0, 1, weight)
            mean = np.average(values, weights=among)
            beyond = max(np.average(values**2, weights=among) - mean**2 - mean, 1e-3 * mean)
            by_chance = nbinom.pmf(0, mean**2 / beyond, mean / (mean + beyond)) * among.sum()
            weight = min(1, (by_chance + 1) / (zeros + 1))
        assert found.sampled[gene] == pytest.approx(weight, rel=1e-5)
        cells = np.where(values > 0, 1, weight) * totals / totals.mean()
        assert found.weight[gene] == pytest.approx(cells.sum(), rel=1e-5)


def test_a_gene_that_cells_lack_altogether_has_zeros_that_hardly_weigh(relative):
    rng = np.random.default_rng(0)
    counts = rng.poisson(50, (200, 4))
    counts[::2, 1] = 0
    profiles, totals = relative(counts)
    # Present in half of the cells, and there in dozens of counts: no zero comes from sampling alone.
    found = regression(profiles, totals, counts=True)
    assert found.weight[0] == pytest.approx(200, rel=1e-6)
    assert 100 < found.weight[1] < 120 and found.sampled[1] < 0.02
    # Its levels are compared as logarithms, with those of the cells that have it.
    (_, residuals), *_ = found.blocks()
    log = np.log(profiles.toarray()[1::2, 1])
    assert np.corrcoef(residuals[1::2, 1] / totals[1::2], log)[0, 1] > 0.999
    assert np.abs(residuals[::2, 1]).max() < 0.05


def test_zeros_of_genes_that_some_cells_lack_are_not_taken_for_spread_out_counts(relative):
    rng = np.random.default_rng(0)
    # Half of the genes of each cell are missing, and those there vary as in cells that lack nothing.
    levels = 40 * rng.lognormal(0, 0.5, (500, 10))
    whole = rng.poisson(levels)
    lacking = whole * (rng.random(whole.shape) < 0.5) + (np.arange(10) == 9)
    assert regression(*relative(lacking), counts=True).sampled[:9].max() < 0.05
    # The same, where they are seldom sampled.
    few = rng.poisson(levels / 40) + (np.arange(10) == 9)
    assert regression(*relative(few), counts=True).sampled.mean() > 0.8


def test_few_zeros_say_little_of_whether_cells_lack_a_gene(relative):
    counts = np.random.default_rng(0).poisson(50, (200, 4))
    counts[:1, 1], counts[:19, 2] = 0, 0
    # By chance none of these zeros would be there; one more is taken for granted.
    np.testing.assert_allclose(regression(*relative(counts), counts=True).sampled, [1, 1 / 2, 1 / 20, 1], rtol=1e-6)


def test_of_genes_without_zeros_the_response_is_linear_and_presence_no_predictor(relative, independent_counts):
    counts = independent_counts(200, 10, np.random.default_rng(0), depth=2_000)
    profiles, totals = relative(counts)
    ((predictors, residuals),) = regression(profiles, totals, counts=True).blocks()
    shares, weight = profiles.toarray().astype(float), totals / totals.sum()
    assert (counts > 0).all()
    np.testing.assert_allclose(residuals / totals[:, None] * totals.mean(), shares / (weight @ shares) - 1, atol=1e-5)
    levels = np.log1p(1e4 * shares)
    np.testing.assert_allclose(predictors, levels / levels.mean(0), rtol=1e-5)


def test_predictors_are_without_what_depth_explains(relative, counts):
    profiles, totals = relative(counts)
    found = regression(profiles, totals, counts=True)
    weight, depth = totals / totals.sum(), np.log((counts > 0).sum(1))
    design = np.sqrt(weight)[:, None] * np.column_stack([np.ones(60), depth])
    levels = np.log1p(1e4 * profiles.toarray().astype(float)) / found.level
    share = (1 - found.sampled) / 2
    predictors = (1 - share) * levels + share * (counts > 0)
    for gene, predictor in enumerate(predictors.T):
        target = np.sqrt(weight) * predictor
        left = target - design @ np.linalg.lstsq(design, target)[0]
        assert found.spread[gene] == pytest.approx(left @ left, rel=1e-4)


def test_responses_are_without_what_depth_explains(relative, counts):
    found = regression(*relative(counts), counts=True)
    residuals = np.concatenate([residuals for _, residuals in found.blocks()]).astype(float)
    depth = np.log((counts > 0).sum(1))
    # The normal equations of each gene's weighted regression on depth.
    size = np.abs(residuals).sum(0)
    assert np.abs(residuals.sum(0) / size).max() < 1e-6
    assert np.abs((depth - depth.mean()) @ residuals / size).max() < 1e-6


@pytest.mark.parametrize(("variation", "varies"), [(0.9e-4, False), (1.1e-4, True)])
def test_a_predictor_that_hardly_varies_has_no_slopes(relative, variation, varies):
    # Levels of the first gene, which all cells have, with this squared coefficient of variation.
    levels = 5 * (1 + np.sqrt(variation) * np.where(np.arange(40) % 2, 1, -1))
    share, other = np.expm1(levels) / 1e4, np.linspace(0.3, 0.6, 40)
    profiles, totals = relative(np.column_stack([share, other, 1 - share - other]))
    assert np.isfinite(regression(profiles, totals, counts=False).spread[0]) == varies


@pytest.mark.parametrize("budget", [1, 10_000])
def test_blocks_are_all_cells_whatever_the_memory_budget(relative, counts, budget):
    found = regression(*relative(counts), counts=True)
    order = np.random.default_rng(0).permutation(60)
    for given in (None, order):
        whole = [np.concatenate(side) for side in zip(*found.blocks(given), strict=True)]
        with dko.settings.override(memory_budget=budget):
            pieces = list(found.blocks(given))
        assert len(pieces) > 1
        for side, expected in zip(zip(*pieces, strict=True), whole, strict=True):
            np.testing.assert_array_equal(np.concatenate(side), expected)
    moved = np.concatenate([predictors for predictors, _ in found.blocks(order)])
    ours = np.concatenate([predictors for predictors, _ in found.blocks()])
    np.testing.assert_array_equal(moved, ours[order])
