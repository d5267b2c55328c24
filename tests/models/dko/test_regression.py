from __future__ import annotations

import numpy as np
import pytest

import dko
from dko.models.dko.regression import regression


@pytest.fixture
def counts(independent_counts):
    rng = np.random.default_rng(0)
    counts = independent_counts(60, 15, rng, depth=40, depth_spread=0.4) + (np.arange(15) == 3)
    return counts * (rng.random(60) < 0.6)[:, None] ** (np.arange(15) == 5)


def sides(cells):
    """Predictors, residuals and gains of all cells."""
    blocks = [(cells.shares(block), block) for block in cells.blocks()]
    every = [(cells.predictors(shares), *cells.residuals(block, shares)) for shares, block in blocks]
    return [np.concatenate(side) for side in zip(*every, strict=True)]


def test_equals_the_formulas_in_double_precision(relative, counts):
    profiles, totals = relative(counts)
    found = regression(profiles, totals, counts=True)
    predictors, residuals, gains = sides(found)
    shares, depth, there = profiles.toarray().astype(float), totals / totals.mean(), counts > 0
    for gene, w in enumerate(found.zeros):
        share, has = shares[:, gene], there[:, gene]
        logs = np.log1p(1e4 * share)
        assert found.level[gene] == pytest.approx(logs[has].mean(), rel=1e-6)
        x = np.where(has, (1 + w) / 2 * logs / found.level[gene] + (1 - w) / 2, 0)
        x -= np.average(x, weights=depth)
        assert found.spread[gene] == pytest.approx(np.sqrt(np.average(x**2, weights=depth)), rel=1e-5)
        np.testing.assert_allclose(predictors[:, gene], x / found.spread[gene], atol=1e-4)
        weight = depth * np.where(has, 1, w)
        assert found.weight[gene] == pytest.approx(weight.sum(), rel=1e-6)
        ratio = share / np.average(share, weights=weight)
        y = w * (ratio - 1) + (1 - w) * np.log(ratio, where=has, out=np.zeros(60))
        y[~has] = -1
        expected = weight * (y - np.average(y, weights=weight))
        np.testing.assert_allclose(residuals[:, gene], expected, atol=1e-4)
        np.testing.assert_allclose(gains[:, gene], depth * has * (w * ratio + 1 - w), rtol=1e-4)
    assert predictors.dtype == residuals.dtype == gains.dtype == np.float32


def test_some_genes_alone_are_as_among_all(relative, counts):
    found = regression(*relative(counts), counts=True)
    shares, some = found.shares(slice(0, 60)), np.array([7, 2])
    np.testing.assert_array_equal(found.predictors(shares[:, some], some), found.predictors(shares)[:, some])


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
    whole = sides(found)
    with dko.settings.override(memory_budget=budget):
        assert len(list(found.blocks())) > 1
        for side, expected in zip(sides(found), whole, strict=True):
            np.testing.assert_array_equal(side, expected)
