from __future__ import annotations

import numpy as np
import pytest

import dko
from dko.models.significance import associations, levels
from dko.models.significance._associations import dealt_associations


@pytest.fixture(scope="module")
def cells(permuted, all_of):
    counts = permuted(np.random.default_rng(1))
    return levels(counts, all_of(counts))


def test_sums_of_products_over_their_standard_deviation(cells):
    predictor, depth = cells.predictors(slice(None)).astype(float), cells._depth
    level = cells._response.toarray().astype(float)
    response = level - depth @ np.linalg.lstsq(depth, level, rcond=None)[0]
    # The predictor says nothing of the depth that the others give, so that of the response does not matter.
    sums = predictor.T @ level
    scale = np.sqrt(np.outer((predictor**2).sum(0), (response**2).sum(0)) / cells.n_free * cells.unevenness)
    expected = sums / scale
    np.fill_diagonal(expected, 0)
    found = associations(cells)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=2e-3)
    np.testing.assert_allclose(associations(cells, np.array([4, 2])), found[[4, 2]], atol=1e-5)


def test_blocks_of_cells_make_no_difference(cells):
    order = np.random.default_rng(0).permutation(cells.shape[0])
    with dko.settings.override(memory_budget=20_000):
        blocks = associations(cells), dealt_associations(cells, order)
    np.testing.assert_allclose(blocks[0], associations(cells), atol=1e-4)
    np.testing.assert_allclose(blocks[1], dealt_associations(cells, order), atol=1e-4)


def test_of_permuted_genes_they_have_the_variance_of_the_null(permuted, all_of):
    observed, null, rng = [], [], np.random.default_rng(0)
    for _ in range(20):
        counts = permuted(rng)
        of_set = levels(counts, all_of(counts))
        n_pairs = counts.shape[1] * (counts.shape[1] - 1)
        observed.append(np.square(associations(of_set)).sum() / n_pairs)
        null.append(np.square(dealt_associations(of_set, rng.permutation(counts.shape[0]))).sum() / n_pairs)
    assert np.mean(observed) == pytest.approx(1, abs=0.02)
    assert np.mean(null) == pytest.approx(1, abs=0.02)


def test_an_abundant_gene_does_not_seem_to_lower_others(permuted, all_of):
    """With shares it would: it has a third of all counts."""
    rng, of_shares, found = np.random.default_rng(0), [], []
    for _ in range(10):
        counts = permuted(rng)
        found.append(associations(levels(counts, all_of(counts)), np.array([0])).mean())
        shares = np.log1p(1e4 * (counts.toarray() / counts.sum(axis=1)))
        of_shares.append(np.sqrt(len(shares)) * np.corrcoef(np.asarray(shares), rowvar=False)[0, 1:].mean())
    assert np.mean(of_shares) < -0.5
    assert abs(np.mean(found)) < 0.1
