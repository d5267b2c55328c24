from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import sparse

import dko
from dko.models.dko.evidence import impacts
from dko.models.dko.quality import Explained
from dko.models.dko.regression import in_memory
from dko.models.dko.shrinkage import shrinkage
from dko.models.dko.total import _trust, fit, influence
from dko.models.knockout import scan

from .counts import fitted_slopes, independent_counts, prepared, relative

RNG = np.random.default_rng(0)
SIZES = st.tuples(st.integers(2, 12), st.integers(2, 8))
COUNTS = st.sampled_from([0, 0, 0, 1, 1, 2, 5, 40, 10**6])


@pytest.fixture
def linked():
    """Cells in which gene 1 rises with gene 0 and gene 3 falls with gene 2."""
    rng = np.random.default_rng(0)
    counts = independent_counts(400, 20, rng)
    counts[:, 1] = rng.poisson(1 + counts[:, 0])
    counts[:, 3] = rng.poisson(8_000 / (40 + counts[:, 2]))
    return counts


def fitted(counts, seed=0, *, are_counts=True):
    profiles, totals = relative(counts)
    return fit(profiles, totals, np.random.default_rng(seed), counts=are_counts)


def test_slopes_are_shrunken_penalised_and_at_full_size(linked):
    # Cells that lack one gene and have many counts of it otherwise: its level is no matter of sampling.
    linked[:, 9] = 40 * (np.arange(len(linked)) % 3 > 0)
    cells = prepared(linked)
    assert cells.zeros[9] < 0.1 < 0.9 < cells.zeros[1]
    slope, found = fitted_slopes(linked), fitted(linked)
    # An effect on presence moves a gene by its whole level, beside that of all entries.
    profiles = relative(linked)[0]
    typical = np.log1p(1e4 * profiles.data).mean()
    trust = (cells.level / typical) ** cells.zeros
    np.testing.assert_allclose(_trust(cells), trust, rtol=1e-5)
    alone = shrinkage(slope.z)(slope.z.copy(), (slope.error * trust).astype(np.float32))
    # The ridge is that of the regression on all genes.
    changes = 30 * np.linalg.inv(slope.correlation + 30 * np.eye(20)) @ alone
    np.fill_diagonal(changes, 0)
    # A knockout that would change a fifth of the mean profile is halved.
    whole = np.minimum(1 / cells.spread, 3)
    impact = impacts(changes, profiles.toarray().mean(0))
    step = whole / (1 + impact * whole / 0.2)
    np.testing.assert_allclose(found.factors.step, step, rtol=1e-5)
    np.testing.assert_allclose(found.factors.influence, (changes * step[:, None]).T, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(found.factors.correlation, slope.correlation, atol=1e-3)
    # What tells genes apart is neither penalised nor bounded.
    whole = (alone / cells.spread[:, None]).T
    np.testing.assert_allclose(influence(*relative(linked), counts=True), whole, rtol=1e-3, atol=1e-5)


def test_fewer_cells_than_genes_give_the_same_by_another_way(linked):
    few, many = linked[:15], np.tile(linked[:15], (2, 1))
    assert few.shape[0] < few.shape[1] < many.shape[0]
    profiles, totals = relative(few)
    found, rng = fit(profiles, totals, np.random.default_rng(0), counts=True), np.random.default_rng(0)
    read = fit(profiles, totals, rng, counts=True, cells=in_memory(profiles, totals))
    np.testing.assert_allclose(found.factors.influence, read.factors.influence, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.p_values, read.p_values, rtol=1e-3)


@pytest.mark.parametrize("parts", [[[0, 1, 2, 3]], [[0], [1, 2], [3]]])
def test_cells_may_be_read_in_blocks_of_any_size_and_worked_on_in_parts(linked, parts):
    profiles, totals = relative(linked)
    expected = fit(profiles, totals, np.random.default_rng(0), counts=True)
    rows = slice(0, 7), slice(7, 8), slice(8, 8), slice(8, 400)

    def in_parts(work):
        for numbers in parts:
            yield work((profiles[rows[number]], totals[rows[number]]) for number in numbers)

    found = fit(profiles, totals, np.random.default_rng(0), counts=True, cells=in_parts)
    np.testing.assert_allclose(found.factors.influence, expected.factors.influence, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.downstream, expected.downstream, rtol=1e-4)
    np.testing.assert_allclose(found.p_values, expected.p_values, rtol=1e-2)


def test_the_null_of_a_sample_has_the_noise_of_all_cells(linked):
    cells = independent_counts(3_000, 200, np.random.default_rng(0))
    profiles, totals = relative(cells)
    whole = fit(profiles, totals, np.random.default_rng(0), counts=True)
    some = slice(None, None, 8)
    read = in_memory(profiles, totals)
    sampled = fit(profiles[some], totals[some], np.random.default_rng(0), counts=True, cells=read)
    np.testing.assert_array_equal(sampled.factors.influence, whole.factors.influence)
    sizes = [np.abs(one.null.changes.astype(float)).mean() for one in (sampled, whole)]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.15)


def test_very_many_genes_have_effects_in_half_precision(linked, monkeypatch):
    expected = fitted(linked).factors.influence
    monkeypatch.setattr("dko.models.dko.total.MANY", 10)
    found = fitted(linked).factors
    assert found.influence.dtype == np.float16
    np.testing.assert_allclose(found.influence, expected, rtol=1e-3, atol=1e-6)
    assert found.columns(np.arange(3)).dtype == np.float32


def test_no_log_share_changes_by_more_than_five():
    counts = np.random.default_rng(0).poisson(2_000, (600, 6))
    counts[:, 1] = 1 + counts[:, 1] % 5
    # Where the first gene is absent, there is nothing but the second.
    counts[::200] = [0, 10_000, 1, 1, 1, 1]
    influence = fitted(counts).factors.influence
    assert influence[1, 0] == -5 and np.abs(influence).max() == 5


def test_order_memory_and_seed_change_nothing(linked):
    rng = np.random.default_rng(1)
    cells, genes = rng.permutation(len(linked)), rng.permutation(20)
    expected, other = fitted(linked), fitted(linked, seed=1)
    with dko.settings.override(memory_budget=100_000):
        moved, again = fitted(linked[cells][:, genes]), fitted(linked)
    np.testing.assert_array_equal(other.factors.influence, expected.factors.influence)
    np.testing.assert_allclose(
        moved.factors.influence, expected.factors.influence[np.ix_(genes, genes)], rtol=1e-2, atol=1e-4
    )
    np.testing.assert_allclose(moved.factors.step, expected.factors.step[genes], rtol=1e-3)
    np.testing.assert_allclose(moved.factors.correlation, expected.factors.correlation[np.ix_(genes, genes)], atol=2e-3)
    np.testing.assert_allclose(moved.downstream, expected.downstream[genes], rtol=1e-2)
    np.testing.assert_array_equal(again.null.genes, expected.null.genes)
    np.testing.assert_allclose(again.p_values, expected.p_values, rtol=0.05)


@settings(max_examples=15)
@given(SIZES.flatmap(lambda size: arrays(np.int64, size, elements=COUNTS)), st.booleans())
@example(np.tile([3, 4, 0, 9], (8, 1)), True)  # identical cells
@example(np.tile([3, 4, 9], (8, 1)) * np.arange(1, 9)[:, None], True)  # that differ in depth only
@example(np.eye(6, dtype=int)[np.arange(24) % 6], True)  # one gene each
@example(RNG.poisson(3, (20, 2)), True)  # two genes
@example(RNG.poisson(3, (20, 6)) * [1, 1, 1, 1, 1, 0] + (np.arange(120) == 5).reshape(20, 6), True)  # seen once
@example(RNG.poisson(1, (20, 6)) + [10**7, 0, 0, 0, 0, 0], True)  # next to nothing of the others
@example(RNG.poisson(3, (2, 30)), False)
def test_finite_whatever_the_counts(counts, are_counts):
    counts = counts[counts.sum(1) > 0]
    if len(counts) < 2:
        counts = np.ones((2, 2), dtype=int)
    found = fitted(counts, are_counts=are_counts)
    arrays = vars(found.factors) | vars(found.null)
    assert len(arrays) == 5 and all(np.isfinite(array).all() for array in arrays.values())
    assert np.abs(arrays["influence"]).max() <= 5
    assert np.abs(arrays["correlation"]).max() <= 1.001 and 0 < arrays["step"].min() <= arrays["step"].max() <= 3
    assert ((found.p_values > 0) & (found.p_values <= 1)).all() and (found.downstream >= 0).all()
    impacts = scan(found.factors, relative(counts)[0], downstream=True)
    assert ((impacts >= 0) & (impacts <= 1)).all()


def predictions(noise, rng):
    """Profiles, and predictions of them; genes 0 and 2 are seen in nine and in ten cells, gene 1 never varies."""
    logs = rng.normal(size=(50, 6))
    predicted = logs + noise * rng.normal(size=logs.shape)
    seen = rng.random(logs.shape) < 0.7
    seen[:, 0], seen[:, 2] = np.arange(50) < 9, np.arange(50) < 10
    logs[:, 1] = 0.0
    profiles = sparse.csr_matrix(np.where(seen, np.exp(logs), 0).astype(np.float32))
    return profiles, np.exp(predicted)[seen]


def naive_share(profiles, predicted):
    whole = sparse.csr_matrix((predicted, profiles.indices, profiles.indptr), profiles.shape).toarray()
    shares = []
    for gene in range(profiles.shape[1]):
        rows = np.flatnonzero(profiles[:, [gene]].toarray())
        observed = np.log(profiles.toarray()[rows, gene].astype(float))
        if len(rows) >= 10 and observed.std() > 0:
            left = np.square(observed - np.log(whole[rows, gene])).sum()
            design = np.column_stack([np.ones(len(rows)), np.log(np.diff(profiles.indptr)[rows])])
            around = np.square(observed - design @ np.linalg.lstsq(design, observed)[0]).sum()
            shares.append(max(0, 1 - left / around))
    return np.mean(shares)


def explained(profiles, predicted, n_blocks=1):
    found, ends = Explained(profiles.shape[1]), profiles.indptr
    for rows in np.array_split(np.arange(profiles.shape[0]), n_blocks):
        found.add(profiles[rows], predicted[ends[rows[0]] : ends[rows[-1] + 1]])
    return found.share()


@pytest.mark.parametrize("noise", [0.0, 0.5, 3.0])
def test_share_explained_equals_the_naive_formula(noise):
    profiles, predicted = predictions(noise, np.random.default_rng(0))
    for n_blocks in (1, 7):
        assert explained(profiles, predicted, n_blocks) == pytest.approx(naive_share(profiles, predicted), abs=1e-5)


def test_nothing_to_explain():
    profiles = sparse.csr_matrix(np.full((20, 3), 1 / 3, dtype=np.float32))
    assert np.isnan(explained(profiles, profiles.data))
    assert np.isnan(explained(profiles[:5], profiles[:5].data))
