from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from dko.tl.fitting._gene_components import gene_components, influence_components


@pytest.fixture(scope="module")
def cells():
    """Two regulators with a module each: genes 2 to 7 go with gene 0, genes 8 to 13 with gene 1; six go with none."""
    rng = np.random.default_rng(0)
    activity = rng.uniform(0.1, 2.0, (600, 2))
    level = np.ones((600, 20))
    level[:, [0, *range(2, 8)]] = activity[:, :1]
    level[:, [1, *range(8, 14)]] = activity[:, 1:]
    counts = rng.poisson(6 * level).astype(np.float32)
    return sparse.csr_matrix(np.log1p(1e4 * counts / counts.sum(axis=1, keepdims=True)).astype(np.float32))


def cosine(scores, first, second):
    unit = scores / np.linalg.norm(scores, axis=1, keepdims=True)
    return float(unit[first] @ unit[second])


def test_genes_that_act_alike_have_similar_influence_components(cells):
    scores = influence_components(cells, 10, rng=np.random.default_rng(0))
    assert scores.shape == (20, 10) and scores.dtype == np.float32
    assert cosine(scores, 2, 3) > 0.8 and cosine(scores, 8, 9) > 0.8
    assert cosine(scores, 2, 8) < 0
    assert scores.std() == pytest.approx(1, rel=1e-5)


def test_components_keep_the_similarities_of_genes_whatever_their_number(cells):
    few, all_of_them = (influence_components(cells, n, rng=np.random.default_rng(0)) for n in (6, 19))
    assert cosine(few, 2, 3) == pytest.approx(cosine(all_of_them, 2, 3), abs=0.1)


def test_influence_components_are_the_same_whatever_cells_were_normalised_to():
    rng = np.random.default_rng(0)
    counts = rng.poisson(3, (300, 12)).astype(np.float32)
    # Counts are made out again where something has been counted once.
    counts[:, 0] = 1
    normalised = 1e4 * counts / counts.sum(axis=1, keepdims=True)
    found = [
        influence_components(sparse.csr_matrix(np.log1p(values)), 5, rng=np.random.default_rng(0))
        for values in (counts, normalised)
    ]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-3, atol=1e-3)


def test_influence_of_genes_that_are_never_seen_is_nothing_particular(cells):
    wider = sparse.hstack([cells, sparse.csr_matrix((600, 2), dtype=np.float32)], format="csr")
    scores = influence_components(wider, 5, rng=np.random.default_rng(0))
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(scores[20], scores[21], atol=1e-5)


@pytest.mark.parametrize("scaled", [False, True])
def test_gene_components_are_those_of_the_covariance_of_cells(cells, scaled):
    scores = gene_components(cells, 4, scaled=scaled, rng=np.random.default_rng(0))
    centred = cells.toarray() - cells.toarray().mean(axis=0)
    left, values, _ = np.linalg.svd(centred.T, full_matrices=False)
    expected = left[:, :4] * values[:4]
    if scaled:
        expected /= expected.std(axis=0)
    signs = np.sign((scores * expected).sum(axis=0))
    # The others have no gap to the next, and are found nearly.
    np.testing.assert_allclose((scores * signs)[:, :2], expected[:, :2], rtol=1e-3, atol=1e-3)


def test_more_components_than_there_are_become_those_that_there_are(cells):
    assert influence_components(cells, 50, rng=np.random.default_rng(0)).shape == (20, 19)
    assert gene_components(cells[:8], 50, scaled=True, rng=np.random.default_rng(0)).shape == (20, 7)
