from __future__ import annotations

import numpy as np
import pytest

import dko
from dko.models.total._regression import regression
from dko.models.total._slopes import slopes


@pytest.fixture
def counts(independent_counts):
    rng = np.random.default_rng(0)
    counts = independent_counts(80, 12, rng, depth=60, depth_spread=0.4)
    counts[:, 1] = rng.poisson(counts[:, 0])
    counts[rng.random(80) < 0.4, 5] = 0
    counts[:, 3] += 1
    return counts


@pytest.fixture
def naive(relative):
    """Slope, standard error and z of one gene on another by the normal equations, in double precision."""

    def of(counts, gene, response):
        profiles, totals = relative(counts)
        sampled = regression(profiles, totals, counts=True).sampled
        shares = profiles.toarray().astype(float)
        cell_weight, depth = totals / totals.mean(), np.log((counts > 0).sum(1))
        there = shares[:, response] > 0
        weight = cell_weight * np.where(there, 1, sampled[response])
        ratio = shares[:, response] / np.average(shares[:, response], weights=weight)
        log = np.log(ratio, where=there, out=np.full(len(ratio), -1.0))
        y = sampled[response] * (ratio - 1) + (1 - sampled[response]) * log
        level = np.log1p(1e4 * shares[:, gene])
        presence = (1 - sampled[gene]) / 2
        x = (1 - presence) * level / level[level > 0].mean() + presence * (level > 0)
        design = np.column_stack([np.ones(len(x)), depth])
        products = design.T @ (weight[:, None] * design)
        # What depth leaves of both sides (Frisch, Waugh and Lovell).
        r = y - design @ np.linalg.solve(products, design.T @ (weight * y))
        x_left = x - design @ np.linalg.solve(products, design.T @ (weight * x))
        by_cell = np.sqrt(cell_weight)[:, None] * design
        others = np.sqrt(cell_weight) * x
        spread = np.square(others - by_cell @ np.linalg.lstsq(by_cell, others)[0]).mean()
        full = np.linalg.lstsq(np.sqrt(weight)[:, None] * np.column_stack([design, x]), np.sqrt(weight) * y)[0][2]
        # The variance of the predictor is taken to be the same over the cells of every response.
        slope = full * (weight * x_left) @ x_left / (weight.sum() * spread)
        error = np.sqrt(np.square(weight * r).sum() / spread) / weight.sum()
        return slope, error, slope / error, full

    return of


def test_equal_the_normal_equations_pair_by_pair(relative, counts, naive):
    found = slopes(regression(*relative(counts), counts=True))
    by_gene, by_response = found.error
    assert found.z.dtype == np.float32 and not found.z.diagonal().any()
    for gene in range(12):
        for response in set(range(12)) - {gene}:
            slope, error, z, full = naive(counts, gene, response)
            assert by_gene[gene] * by_response[response] == pytest.approx(error, rel=1e-4)
            assert found.z[gene, response] == pytest.approx(z, rel=1e-3, abs=1e-4)
            if response == 3:
                # Always present: nothing is taken for granted, and this is the slope itself.
                assert slope == pytest.approx(full, rel=1e-6)
    assert found.z[0, 1] > 4


def test_other_cells_have_no_slopes(relative, counts):
    cells = regression(*relative(counts), counts=True)
    drawn = [slopes(cells, np.random.default_rng(seed).permutation(80)).z[0, 1] for seed in range(20)]
    assert np.abs(drawn).max() < slopes(cells).z[0, 1]


def test_order_and_memory_budget_change_nothing(relative, counts):
    rng = np.random.default_rng(0)
    cells, genes = rng.permutation(80), rng.permutation(12)
    expected = slopes(regression(*relative(counts), counts=True))
    with dko.settings.override(memory_budget=1):
        found = slopes(regression(*relative(counts[cells][:, genes]), counts=True))
    np.testing.assert_allclose(found.z, expected.z[np.ix_(genes, genes)], rtol=1e-3, atol=1e-4)
    for moved, error in zip(found.error, expected.error, strict=True):
        np.testing.assert_allclose(moved, error[genes], rtol=1e-5)
