from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import dko
from dko.models.knockout import scan
from dko.models.total import fit
from dko.models.total._fit import _influence
from dko.models.total._regression import regression
from dko.models.total._shrink import shrink
from dko.models.total._slopes import slopes

RNG = np.random.default_rng(0)
SIZES = st.tuples(st.integers(2, 12), st.integers(2, 8))
COUNTS = st.sampled_from([0, 0, 0, 1, 1, 2, 5, 40, 10**6])


@pytest.fixture
def linked(independent_counts):
    """Cells in which gene 1 follows gene 0 and gene 3 gives way to gene 2."""
    rng = np.random.default_rng(0)
    counts = independent_counts(400, 20, rng)
    counts[:, 1] = rng.poisson(1 + counts[:, 0])
    counts[:, 3] = rng.poisson(8_000 / (40 + counts[:, 2]))
    return counts


def fitted(relative, counts, seed=0, *, are_counts=True):
    profiles, totals = relative(counts)
    return fit(profiles, totals, np.random.default_rng(seed), counts=are_counts)


def test_what_goes_together_and_what_does_not(relative, linked):
    found = fitted(relative, linked)
    influence, correlation = found.factors.influence, found.factors.correlation.astype(float)
    assert influence.dtype == np.float32 and influence.flags.c_contiguous
    assert np.abs(influence).max() <= 3 and not influence.diagonal().any()
    # Column g is what the loss of gene g takes off.
    assert influence[1, 0] > 0.1 > -0.1 > influence[3, 2]
    assert found.signal[:4].max() < 0.05
    assert np.median(np.abs(influence[5:, 5:])) < 0.1 * influence[1, 0]
    assert found.factors.correlation.dtype == np.float16 and (correlation.diagonal() == 1).all()
    assert correlation[1, 0] == correlation[0, 1] > 0.5 and np.abs(correlation[5:, 0]).max() < 0.3
    assert found.factors.step.dtype == np.float32 and (found.factors.step > 0).all()


def test_order_memory_and_seed_change_nothing(relative, linked):
    rng = np.random.default_rng(1)
    cells, genes = rng.permutation(len(linked)), rng.permutation(20)
    expected, other = fitted(relative, linked), fitted(relative, linked, seed=1)
    with dko.settings.override(memory_budget=1):
        moved = fitted(relative, linked[cells][:, genes])
    np.testing.assert_array_equal(other.factors.influence, expected.factors.influence)
    np.testing.assert_allclose(
        moved.factors.influence, expected.factors.influence[np.ix_(genes, genes)], rtol=1e-2, atol=1e-4
    )
    np.testing.assert_allclose(moved.factors.step, expected.factors.step[genes], rtol=1e-3)
    np.testing.assert_allclose(moved.factors.correlation, expected.factors.correlation[np.ix_(genes, genes)], atol=2e-3)


@given(SIZES.flatmap(lambda size: arrays(np.int64, size, elements=COUNTS)), st.booleans())
@example(np.tile([3, 4, 0, 9], (8, 1)), True)  # identical cells
@example(np.tile([3, 4, 9], (8, 1)) * np.arange(1, 9)[:, None], True)  # that differ in depth only
@example(np.eye(6, dtype=int)[np.arange(24) % 6], True)  # one gene each
@example(RNG.poisson(3, (20, 2)), True)  # two genes
@example(RNG.poisson(3, (20, 6)) * [1, 1, 1, 1, 1, 0] + (np.arange(120) == 5).reshape(20, 6), True)  # seen once
@example(RNG.poisson(1, (20, 6)) + [10**7, 0, 0, 0, 0, 0], True)  # next to nothing of the others
@example(RNG.poisson(3, (2, 30)), False)
def test_finite_whatever_the_counts(relative, counts, are_counts):
    counts = counts[counts.sum(1) > 0]
    if len(counts) < 2:
        counts = np.ones((2, 2), dtype=int)
    profiles, totals = relative(counts)
    found = fit(profiles, totals, np.random.default_rng(0), counts=are_counts)
    arrays = found.factors.arrays
    assert len(arrays) == 3 and all(np.isfinite(array).all() for array in arrays.values())
    assert np.abs(arrays["correlation"]).max() <= 1 and arrays["step"].min() > 0
    assert ((found.signal > 0) & (found.signal <= 1)).all()
    impacts = scan(found.factors, profiles, downstream=True)
    assert ((impacts >= 0) & (impacts <= 1)).all()


@pytest.mark.parametrize("depth", [1, np.arange(1, 21)[:, None]])
def test_cells_that_are_all_the_same_teach_nothing(relative, depth):
    counts = np.array([3, 4, 9, 1]) * np.ones((20, 1), dtype=int) * depth
    profiles, totals = relative(counts)
    found = fit(profiles, totals, np.random.default_rng(0), counts=True)
    np.testing.assert_allclose(found.factors.influence, 0, atol=1e-3)
    # What is left of a cell is renormalised.
    np.testing.assert_allclose(scan(found.factors, profiles), profiles.data, atol=1e-3)


def test_slopes_are_shrunken_and_those_on_seldom_sampled_genes_trusted_less(relative, linked):
    # Cells that lack one gene and have many counts of it otherwise: its level is no matter of sampling.
    linked[:, 9] = 40 * (np.arange(len(linked)) % 3 > 0)
    profiles, totals = relative(linked)
    cells = regression(profiles, totals, counts=True)
    assert cells.sampled[9] < 0.1 < 0.9 < cells.sampled[1]
    found = slopes(cells)
    influence, z = _influence(cells)
    np.testing.assert_array_equal(z, found.z)
    for gene, response in [(0, 1), (2, 3), (4, 9)]:
        slope = shrink(z)[gene, response] * found.error[0][gene] * found.error[1][response]
        typical = np.log1p(1e4 * profiles.data).mean()
        trust = (cells.level[response] / typical) ** cells.sampled[response]
        assert influence[response, gene] == pytest.approx(slope * trust, rel=1e-3)
