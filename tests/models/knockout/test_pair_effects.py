from __future__ import annotations

import numpy as np

from dko.models.assemblage import _reference as naive
from dko.models.knockout import pair_effects

PAIRS = np.array([[0, 1], [3, 7], [20, 2]])


def without(profile, genes):
    left = profile.copy()
    left[genes] = 0
    return left / left.sum() if left.any() else left


def naive_effects(layers, presence, pair, rows):
    totals = np.zeros((3, presence.shape[1]))
    for row in presence[rows].toarray():
        before = without(naive.profile(layers, row), pair)
        for number, removed in enumerate(([*pair], [pair[0]], [pair[1]])):
            after = without(naive.profile(layers, naive.knocked_out(row, removed)), pair)
            totals[number] += np.log1p(1e4 * after) - np.log1p(1e4 * before)
    return totals


def test_equals_the_naive_formula(make_map, make_presence, layers_from):
    rng = np.random.default_rng(0)
    affine, presence = make_map(25, rng), make_presence(40, 25, 0.6, rng)
    there = presence.toarray() > 0
    rows = [np.flatnonzero(there[:, pair].all(axis=1)) for pair in PAIRS]
    rows[2] = rows[2][:0]
    found = pair_effects(affine, presence, PAIRS, rows)
    assert found.shape == (3, 3, 25) and (found[2] == 0).all()
    for number in range(2):
        assert len(rows[number]) > 5
        expected = naive_effects(layers_from(affine), presence, PAIRS[number], rows[number])
        np.testing.assert_allclose(found[number], expected, rtol=2e-4, atol=2e-3)


def test_a_cell_of_the_two_genes_alone(make_map):
    from scipy import sparse

    affine = make_map(4, np.random.default_rng(0))
    presence = sparse.csr_matrix(np.array([[0, 1, 1, 0]], dtype=np.float32))
    assert (pair_effects(affine, presence, np.array([[1, 2]]), [np.array([0])]) == 0).all()
