from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy import sparse
from scipy.stats import spearmanr

import dko


@pytest.fixture
def profiles():
    rng = np.random.default_rng(0)
    observed = rng.random((20, 6)) * (rng.random((20, 6)) < 0.7)
    observed[:, 0] += 0.1
    predicted = observed * rng.lognormal(0, 0.5, observed.shape)
    return [x / x.sum(axis=1, keepdims=True) for x in (observed, predicted)]


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix])
def test_by_hand(kind, profiles):
    observed, predicted = profiles
    found = dko.metrics.fit_quality(kind(observed), kind(predicted))
    assert found["bray_curtis"] == pytest.approx(np.abs(observed - predicted).sum(axis=1).mean() / 2)
    on = observed > 0
    assert found["spearman"] == pytest.approx(spearmanr(observed[on], predicted[on]).statistic)
    within = [spearmanr(observed[rows, g], predicted[rows, g]).statistic for g, rows in enumerate(on.T)]
    assert found["spearman_within_gene"] == pytest.approx(np.mean(within))


def dense_formula(observed, predicted):
    """The same by whole matrices, cells x genes."""
    on = observed > 0
    within = [(observed[rows, g], predicted[rows, g]) for g, rows in enumerate(on.T) if rows.sum() >= 3]
    with np.errstate(invalid="ignore"):
        bray_curtis = np.abs(observed - predicted).sum(axis=1) / (observed + predicted).sum(axis=1)
    return {
        "bray_curtis": np.nanmean(bray_curtis),
        "spearman": spearmanr(observed[on], predicted[on]).statistic,
        "spearman_within_gene": np.mean([spearmanr(a, b).statistic for a, b in within if np.ptp(a) and np.ptp(b)]),
    }


KINDS = [np.asarray, sparse.csr_matrix, sparse.csc_array]


@pytest.mark.parametrize("kind_of_predicted", KINDS)
@pytest.mark.parametrize("kind_of_observed", KINDS)
def test_same_as_by_whole_matrices(profiles, kind_of_observed, kind_of_predicted):
    observed, predicted = profiles
    observed[3] = predicted[3] = 0  # an empty cell
    observed[5:, 1] = 0  # few cells, and a constant prediction
    predicted[:, 2] = 0.25
    observed[2:, 4] = 0  # too few cells
    predicted[7:12, 3] = 0  # expressed, but predicted as absent
    found = dko.metrics.fit_quality(kind_of_observed(observed), kind_of_predicted(predicted))
    assert found == pytest.approx(dense_formula(observed, predicted), rel=1e-12)


def test_entries_need_no_order_and_inputs_stay_as_they_are(profiles):
    expected = dko.metrics.fit_quality(*profiles)
    observed, predicted = (sparse.csr_matrix(x) for x in profiles)
    coo = observed.tocoo()
    order = np.lexsort((-coo.col, coo.row))
    shuffled = sparse.csr_matrix((coo.data[order], coo.col[order], observed.indptr), shape=observed.shape)
    explicit = sparse.csr_matrix(np.ones(observed.shape))
    explicit.data = profiles[0].ravel().copy()  # an entry everywhere
    before = shuffled.indices.copy(), explicit.data.copy()
    assert dko.metrics.fit_quality(shuffled, predicted) == pytest.approx(expected, rel=1e-12)
    assert dko.metrics.fit_quality(explicit, predicted) == pytest.approx(expected, rel=1e-12)
    np.testing.assert_array_equal(shuffled.indices, before[0])
    np.testing.assert_array_equal(explicit.data, before[1])


def test_nothing_grows_to_cells_x_genes():
    rng = np.random.default_rng(0)
    values, cells, genes = rng.random(8_000), rng.integers(20_000, size=8_000), rng.integers(2_000, size=8_000)
    observed = sparse.csr_array((values, (cells, genes)), shape=(20_000, 2_000))
    tracemalloc.start()
    dko.metrics.fit_quality(observed, dko.metrics.gene_mean(observed, observed))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000 * 2_000, "bytes; one dense matrix would take eight times as many"


def test_perfect(profiles):
    found = dko.metrics.fit_quality(profiles[0], profiles[0])
    assert found == pytest.approx({"bray_curtis": 0, "spearman": 1, "spearman_within_gene": 1})


def test_what_cannot_be_told_is_nan():
    found = dko.metrics.fit_quality([[0.5, 0.5]], [[0.5, 0.5]])
    assert found["bray_curtis"] == 0
    assert np.isnan(found["spearman"]) and np.isnan(found["spearman_within_gene"])
