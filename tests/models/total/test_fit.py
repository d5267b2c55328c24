from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import dko
from dko.models.knockout import predict, scan
from dko.models.total import fit
from dko.models.total._fit import _influence
from dko.models.total._regression import regression
from dko.models.total._shrink import shrink
from dko.models.total._slopes import slopes

RNG = np.random.default_rng(0)
SIZES = st.tuples(st.integers(2, 12), st.integers(2, 8))
COUNTS = st.sampled_from([0, 0, 0, 1, 1, 2, 5, 40, 10**6])


def presence_of(profiles):
    presence = profiles.copy()
    presence.data = np.ones_like(presence.data)
    return presence


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
    # A fifth, wherever the cells are.
    validation = np.sum(counts, axis=1) % 5 == 0
    return fit(profiles, totals, validation, np.random.default_rng(seed), counts=are_counts)


def test_what_goes_together_and_what_does_not(relative, linked):
    found = fitted(relative, linked)
    influence = found.affine.influence
    assert influence.dtype == np.float32 and influence.flags.c_contiguous
    assert found.affine.link == "exp" and found.affine.divisor == 1 and not influence.diagonal().any()
    # Column g is what gene g adds.
    assert influence[1, 0] > 0.02 > -0.02 > influence[3, 2]
    assert found.signal[:4].max() < 0.05
    assert np.median(np.abs(influence[5:, 5:])) < 0.1 * influence[1, 0]
    assert 0.05 < found.variation < 2


def test_mean_shares_are_kept(relative, linked):
    profiles, _ = relative(linked)
    predicted = predict(fitted(relative, linked).affine, presence_of(profiles))
    expected = np.bincount(profiles.indices, weights=profiles.data)
    np.testing.assert_allclose(np.bincount(profiles.indices, weights=predicted), expected, rtol=1e-3)


def test_values_that_are_no_counts_have_no_variation_that_could_be_told_from_noise(relative, linked):
    found = fitted(relative, linked, are_counts=False)
    assert np.isnan(found.variation)
    assert np.isfinite(found.affine.influence).all()


def test_order_memory_and_seed_change_nothing(relative, linked):
    rng = np.random.default_rng(1)
    cells, genes = rng.permutation(len(linked)), rng.permutation(20)
    expected, other = fitted(relative, linked), fitted(relative, linked, seed=1)
    with dko.settings.override(memory_budget=1):
        moved = fitted(relative, linked[cells][:, genes])
    np.testing.assert_array_equal(other.affine.influence, expected.affine.influence)
    np.testing.assert_allclose(
        moved.affine.influence, expected.affine.influence[np.ix_(genes, genes)], rtol=1e-2, atol=1e-4
    )
    np.testing.assert_allclose(moved.affine.intercept, expected.affine.intercept[genes], atol=1e-3)
    assert moved.variation == pytest.approx(expected.variation, rel=1e-3)


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
    found = fit(profiles, totals, np.arange(len(totals)) % 2 == 1, np.random.default_rng(0), counts=are_counts)
    assert np.isfinite(found.affine.influence).all() and np.isfinite(found.affine.intercept).all()
    assert ((found.signal > 0) & (found.signal <= 1)).all()
    assert np.isfinite(found.variation) == are_counts
    impacts = scan(found.affine, presence_of(profiles))
    assert ((impacts >= 0) & (impacts <= 1)).all()
    predicted = predict(found.affine, presence_of(profiles))
    np.testing.assert_allclose(np.add.reduceat(predicted, profiles.indptr[:-1]), 1, rtol=1e-5)


@pytest.mark.parametrize("depth", [1, np.arange(1, 21)[:, None]])
def test_cells_that_are_all_the_same_teach_nothing(relative, depth):
    counts = np.array([3, 4, 9, 1]) * np.ones((20, 1), dtype=int) * depth
    profiles, totals = relative(counts)
    found = fit(profiles, totals, np.arange(20) % 5 == 0, np.random.default_rng(0), counts=True)
    np.testing.assert_allclose(found.affine.influence, 0, atol=1e-3)
    # What is left of a cell is renormalised.
    np.testing.assert_allclose(scan(found.affine, presence_of(profiles)), profiles.data, atol=1e-3)


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
