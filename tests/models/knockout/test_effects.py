from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

import dko
from dko.models.assemblage import _reference as naive
from dko.models.knockout import effect_sums


@pytest.fixture
def naive_effect_sums(layers_from):
    def sums(affine, presence, wanted, group, n_groups):
        layers = layers_from(affine)
        totals = np.zeros((n_groups, len(wanted), affine.n_genes))
        n_cells = np.zeros((n_groups, len(wanted)), dtype=int)
        for cell, row in enumerate(presence.toarray()):
            for number, gene in enumerate(wanted):
                if group[cell] < 0 or not row[gene]:
                    continue
                before = naive.profile(layers, row)
                after = naive.profile(layers, naive.knocked_out(row, [gene]))
                before[gene] = 0
                before, after = (p / p.sum() if p.any() else p for p in (before, after))
                totals[group[cell], number] += np.log1p(1e4 * after) - np.log1p(1e4 * before)
                n_cells[group[cell], number] += 1
        return totals, n_cells

    return sums


@pytest.mark.parametrize("budget", [1, 1_000, 2**28])
def test_equals_the_naive_formula(make_map, make_presence, naive_effect_sums, budget):
    rng = np.random.default_rng(0)
    affine, presence = make_map(25, rng), make_presence(40, 25, 0.5, rng)
    group, wanted = np.arange(40) % 4 - 1, rng.permutation(25)[:17]
    with dko.settings.override(memory_budget=budget):
        totals, n_cells = effect_sums(affine, presence, wanted, group, 3)
    expected, n_expected = naive_effect_sums(affine, presence, wanted, group, 3)
    assert totals.dtype == np.float64
    np.testing.assert_array_equal(n_cells, n_expected)
    np.testing.assert_allclose(totals, expected, atol=1e-4)


def test_the_gene_itself_and_absent_genes_do_not_change(make_map):
    affine, presence = (
        make_map(4, np.random.default_rng(0)),
        sparse.csr_matrix(np.array([[1, 1, 1, 0]], dtype=np.float32)),
    )
    totals, n_cells = effect_sums(affine, presence, np.array([0, 3]), np.array([0]), 1)
    assert n_cells.tolist() == [[1, 0]]
    assert totals[0, 0, 0] == totals[0, 0, 3] == 0
    assert totals[0, 0, 1] != 0
    assert not totals[0, 1].any()


def test_without_the_only_gene_nothing_changes(make_map):
    affine, presence = make_map(2, np.random.default_rng(0)), sparse.csr_matrix(np.array([[1, 0]], dtype=np.float32))
    totals, n_cells = effect_sums(affine, presence, np.array([0]), np.array([0]), 1)
    assert not totals.any() and n_cells.tolist() == [[1]]
