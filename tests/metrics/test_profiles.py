from __future__ import annotations

import tracemalloc
from functools import partial

import numpy as np
import pytest
from scipy import sparse
from scipy.spatial.distance import braycurtis
from scipy.stats import spearmanr

import dko
from dko.metrics import fit_quality, gene_mean

COUNTS = np.random.default_rng(0).poisson(2.0, (9, 6)).astype(float)
COUNTS[3] = [0, 7, 0, 0, 0, 0]
COUNTS[4] = 0
KINDS = [np.asarray, sparse.csr_matrix, sparse.csc_array]
TRAIN = np.array([[0.5, 0.5, 0, 0], [0.2, 0, 0.8, 0]])
CELLS = np.array([[3, 1, 0, 0], [0, 0, 2, 9], [0, 0, 0, 1], [0, 0, 0, 0]])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("without", [(), [1], np.array([1, 4])])
def test_log_profiles_equal_a_loop(kind, without):
    given = kind(COUNTS.copy())
    found = dko.metrics.log_profiles(given, without=without)
    expected = np.zeros_like(COUNTS)
    for cell, counts in enumerate(COUNTS):
        left = [0 if gene in list(without) else count for gene, count in enumerate(counts)]
        if sum(left):
            expected[cell] = [np.log(1 + 1e4 * x / sum(left)) for x in left]
    assert found.format == "csr" and found.dtype == np.float64 and found.nnz == (expected > 0).sum()
    np.testing.assert_allclose(found.toarray(), expected)
    np.testing.assert_array_equal(given.toarray() if sparse.issparse(given) else given, COUNTS)


@pytest.fixture
def profiles():
    rng = np.random.default_rng(0)
    observed = rng.random((20, 6)) * (rng.random((20, 6)) < 0.7)
    observed[:, 0] += 0.1
    predicted = observed * rng.lognormal(0, 0.5, observed.shape)
    return [x / x.sum(axis=1, keepdims=True) for x in (observed, predicted)]


@pytest.mark.parametrize("kind_of_predicted", KINDS)
@pytest.mark.parametrize("kind_of_observed", KINDS)
def test_fit_quality_equals_whole_matrices(profiles, kind_of_observed, kind_of_predicted):
    observed, predicted = profiles
    observed[3] = predicted[3] = 0  # an empty cell
    observed[5:, 1] = 0  # few cells, and a constant prediction
    predicted[:, 2] = 0.25
    observed[2:, 4] = 0  # too few cells
    predicted[7:12, 3] = 0  # expressed, but predicted as absent
    on = observed > 0
    within = [(observed[rows, g], predicted[rows, g]) for g, rows in enumerate(on.T) if rows.sum() >= 3]
    with np.errstate(invalid="ignore"):
        bray_curtis = np.abs(observed - predicted).sum(axis=1) / (observed + predicted).sum(axis=1)
    expected = {
        "bray_curtis": np.nanmean(bray_curtis),
        "spearman": spearmanr(observed[on], predicted[on]).statistic,
        "spearman_within_gene": np.mean([spearmanr(a, b).statistic for a, b in within if np.ptp(a) and np.ptp(b)]),
    }
    found = fit_quality(kind_of_observed(observed), kind_of_predicted(predicted))
    assert found == pytest.approx(expected, rel=1e-12)


def test_nothing_grows_to_cells_x_genes():
    rng = np.random.default_rng(0)
    values, cells, genes = rng.random(8_000), rng.integers(20_000, size=8_000), rng.integers(2_000, size=8_000)
    observed = sparse.csr_array((values, (cells, genes)), shape=(20_000, 2_000))
    tracemalloc.start()
    fit_quality(observed, gene_mean(observed, observed))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000 * 2_000, "bytes; one dense matrix would take eight times as many"


@pytest.mark.parametrize("kind", KINDS)
def test_gene_mean_by_hand(kind):
    # Means over the cells that express a gene: 0.35, 0.5, 0.8; the last gene is unknown.
    expected = np.array([[0.35 / 0.85, 0.5 / 0.85, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    found = gene_mean(kind(TRAIN), kind(CELLS))
    assert isinstance(found, sparse.csr_array) and found.dtype == np.float64
    np.testing.assert_allclose(found.toarray(), expected)
    np.testing.assert_array_equal(found.indices, CELLS.nonzero()[1])
    np.testing.assert_array_equal(found.indptr, sparse.csr_array(CELLS).indptr)


def test_explicit_zeros_do_not_count_as_expression():
    train = sparse.csr_matrix((np.array([0.5, 0.0, 1.0]), ([0, 1, 1], [0, 0, 1])), shape=(2, 2))
    np.testing.assert_allclose(gene_mean(train, [[1, 1]]).toarray(), [[1 / 3, 2 / 3]])
    np.testing.assert_allclose(gene_mean([[1, 1]], train).toarray(), [[1, 0], [0, 1]])


@pytest.mark.parametrize("missing", [None, np.nan])
def test_means_of_the_own_group(missing):
    rng = np.random.default_rng(0)
    train, cells = (rng.random((12, 5)) * (rng.random((12, 5)) < 0.6) for _ in range(2))
    of_training = np.array(["a", "b", missing] * 4, dtype=object)
    of_cells = np.array(["b", missing, "a", "unknown"] * 3, dtype=object)
    found = gene_mean(train, sparse.csr_array(cells), training_groups=of_training, groups=of_cells).toarray()
    for name in ("a", "b", missing):
        mine, theirs = (
            np.array([x is name or x == name for x in groups], dtype=bool) for groups in (of_cells, of_training)
        )
        np.testing.assert_allclose(found[mine], gene_mean(train[theirs], cells[mine]).toarray())
    assert not found[of_cells == "unknown"].any()


def test_fit_quality_needs_no_order_of_entries_and_leaves_inputs_as_they_are(profiles):
    expected = fit_quality(*profiles)
    observed, predicted = (sparse.csr_matrix(x) for x in profiles)
    coo = observed.tocoo()
    order = np.lexsort((-coo.col, coo.row))
    shuffled = sparse.csr_matrix((coo.data[order], coo.col[order], observed.indptr), shape=observed.shape)
    explicit = sparse.csr_matrix(np.ones(observed.shape))
    explicit.data = profiles[0].ravel().copy()  # an entry everywhere
    for one in (shuffled, explicit):
        before = one.indices.copy(), one.data.copy()
        assert fit_quality(one, predicted) == pytest.approx(expected, rel=1e-12)
        np.testing.assert_array_equal(one.indices, before[0])
        np.testing.assert_array_equal(one.data, before[1])


MMD = partial(dko.metrics.mmd, bandwidth=2.0)
RNG = np.random.default_rng(0)
ROWS = RNG.random((2, 7, 9)) * (RNG.random((2, 7, 9)) < 0.5)


@pytest.mark.parametrize("first", [np.asarray, sparse.csr_matrix, sparse.csc_array, np.ndarray.tolist])
@pytest.mark.parametrize("second", [np.asarray, sparse.csr_array])
def test_bray_curtis_equals_scipy(first, second):
    expected = [braycurtis(a, b) for a, b in zip(*ROWS, strict=True)]
    np.testing.assert_allclose(dko.metrics.bray_curtis(first(ROWS[0]), second(ROWS[1])), expected)


def test_limits_of_bray_curtis():
    found = dko.metrics.bray_curtis([[1, 0], [1, 1], [0, 0], [1, 2]], [[0, 1], [1, 1], [0, 0], [0, 0]])
    np.testing.assert_array_equal(found, [1, 0, np.nan, 1])
    a = np.full((1, 300), 200, dtype=np.uint8)
    for kind in (np.asarray, sparse.csr_matrix):
        assert dko.metrics.bray_curtis(kind(a), kind(a // 2))[0] == pytest.approx(1 / 3), "integers do not overflow"


@pytest.mark.parametrize(
    ("distance", "of_pair"),
    [
        (dko.metrics.energy_distance, lambda x, y: np.linalg.norm(x - y)),
        (MMD, lambda x, y: -np.exp(-((x - y) ** 2).sum() / (2 * 2.0**2))),
    ],
)
def test_equals_a_loop(distance, of_pair):
    a, b = RNG.normal(size=(7, 3)), RNG.normal(size=(5, 3)) + 1
    between = np.mean([of_pair(x, y) for x in a for y in b])
    within = [np.mean([of_pair(x, y) for x in c for y in c if x is not y]) for c in (list(a), list(b))]
    assert distance(a, b) == pytest.approx(2 * between - sum(within))


@pytest.mark.parametrize("distance", [MMD, dko.metrics.energy_distance])
def test_averages_zero_for_two_samples_of_one_distribution_and_grows_with_what_lies_between(distance):
    found = np.array([distance(*RNG.normal(size=(2, 20, 3))) for _ in range(400)])
    assert abs(found.mean()) < 3 * found.std() / 20 and (found < 0).any()
    a, b = RNG.normal(size=(2, 60, 3))
    apart = [distance(a, b + shift) for shift in (0, 1, 2, 4)]
    assert apart == sorted(apart) and apart[-1] > 10 * abs(apart[0])
