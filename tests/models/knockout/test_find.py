from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

import dko
from dko.models.knockout import find

PRESENCE = sparse.csr_matrix(np.array([[0, 1, 1, 0, 1], [0, 0, 0, 0, 0], [1, 0, 1, 0, 0]], dtype=np.float32))
SETS = np.array([[2, 4], [0, -1], [3, -1]])


@pytest.mark.parametrize("budget", [1, 2**28])
def test_any(budget):
    with dko.settings.override(memory_budget=budget):
        row, number, removed = find(PRESENCE, SETS)
    assert row.tolist() == [0, 2, 2]
    assert number.tolist() == [0, 0, 1]
    assert removed.tolist() == [[1, 2], [1, -1], [0, -1]]


@pytest.mark.parametrize("budget", [1, 2**28])
def test_whole(budget):
    with dko.settings.override(memory_budget=budget):
        row, number, removed = find(PRESENCE, SETS, whole=True)
    assert row.tolist() == [0, 2]
    assert number.tolist() == [0, 1]
    assert removed.tolist() == [[1, 2], [0, -1]]


def test_nothing_found():
    for presence in (PRESENCE, PRESENCE[:0]):
        row, number, removed = find(presence, np.array([[3, -1]]))
        assert row.shape == number.shape == (0,)
        assert removed.shape == (0, 2)


def test_against_a_loop(make_presence):
    rng = np.random.default_rng(0)
    presence, sets = make_presence(30, 12, 0.4, rng), np.array([rng.permutation(12)[:3] for _ in range(20)])
    sets[::3, 2] = -1
    found = list(zip(*(array.tolist() for array in find(presence, sets)), strict=True))
    expected = []
    for cell, row in enumerate(presence.toarray()):
        position = dict.fromkeys(range(-1, 12), -1) | {gene: at for at, gene in enumerate(np.flatnonzero(row))}
        for number, genes in enumerate(sets.tolist()):
            removed = [position[gene] for gene in genes]
            if max(removed) >= 0:
                expected.append((cell, number, removed))
    assert found == expected
