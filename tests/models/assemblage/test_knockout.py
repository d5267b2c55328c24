from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, example, given
from hypothesis import strategies as st
from scipy import sparse

import dko
from dko.models.assemblage import AffineMap, knockouts, locate
from dko.models.assemblage import _reference as naive
from dko.models.assemblage._network import AssemblageNetwork

CPU = torch.device("cpu")


def random_map(n_genes, rng):
    bound = 1 / np.sqrt(n_genes)
    return AffineMap(
        rng.uniform(-bound, bound, (n_genes, n_genes)).astype(np.float32),
        rng.uniform(-bound, bound, n_genes).astype(np.float32),
    )


def layers(affine):
    n = len(affine.intercept)
    return naive.Layers(affine.influence.astype(float), np.zeros(n), np.eye(n), affine.intercept.astype(float))


def random_presence(n_cells, n_genes, share, rng):
    return sparse.csr_matrix((rng.random((n_cells, n_genes)) < share).astype(np.float32))


def gather(affine, presence, sets, **kwargs):
    """Impacts (cells x sets) and profiles (cells x sets x genes), put together from the parts."""
    impact = np.full((presence.shape[0], len(sets)), np.nan)
    after = np.full((*impact.shape, presence.shape[1]), np.nan)
    before = np.full(presence.shape, np.nan)
    wanted = np.array(sets)
    for result in knockouts(affine, presence, lambda _, present: locate(present, wanted), device=CPU, **kwargs):
        assert np.isnan(impact[result.cell, result.part]).all(), "yielded twice"
        impact[result.cell, result.part] = result.impact
        whole = np.zeros((presence.shape[1], result.after.shape[1]))
        whole[result.genes] = result.after.numpy()
        after[result.cell, result.part] = whole.T
        before[result.cell] = 0
        before[result.cell, result.genes] = result.before.numpy()
    return impact, after, before


def compare(oracle, presence, sets, dose, impact, after, before):
    for cell, row in enumerate(presence.toarray()):
        if not row.any():
            continue
        np.testing.assert_allclose(before[cell], naive.profile(oracle, row), atol=1e-5)
        for number, padded in enumerate(sets):
            genes = [gene for gene in padded if gene >= 0]
            expected = naive.profile(oracle, naive.knocked_out(row, genes, dose))
            np.testing.assert_allclose(after[cell, number], expected, atol=1e-5)
            assert impact[cell, number] == pytest.approx(naive.impact(oracle, row, genes, dose), abs=1e-5)


@given(
    seed=st.integers(0, 2**16),
    n_genes=st.integers(2, 12),
    share=st.sampled_from([0.1, 0.5, 1.0]),
    dose=st.sampled_from([1.0, 0.9, 0.5, 0.01]),
    size=st.integers(1, 3),
    budget=st.sampled_from([1, 300, 2**28]),
    batch_size=st.sampled_from([None, 1, 3]),
)
@example(seed=0, n_genes=3, share=1.0, dose=1.0, size=3, budget=1, batch_size=1)  # nothing is left
@example(seed=0, n_genes=2, share=1.0, dose=1.0, size=1, budget=1, batch_size=1)  # one gene is left
@example(seed=3, n_genes=12, share=0.1, dose=1.0, size=1, budget=1, batch_size=None)  # the only gene goes
def test_equals_the_formula_of_the_paper(seed, n_genes, share, dose, size, budget, batch_size):
    assume(size <= n_genes)
    rng = np.random.default_rng(seed)
    affine, presence = random_map(n_genes, rng), random_presence(6, n_genes, share, rng)
    # Sets of up to `size` genes, shorter ones padded; genes that a cell lacks are among them.
    sets = [[*rng.permutation(n_genes)[:k], *[-2] * (size - k)] for k in rng.integers(1, size + 1, 7)]
    with dko.settings.override(memory_budget=budget):
        result = gather(affine, presence, sets, dose=dose, batch_size=batch_size)
    compare(layers(affine), presence, sets, dose, *result)


@pytest.mark.parametrize("dose", [1.0, 0.3])
def test_equals_the_network_it_came_from(dose):
    torch.manual_seed(0)
    network = AssemblageNetwork(9)
    both = naive.Layers(
        *(
            parameter.detach().double().numpy()
            for parameter in (network.first.weight, network.first.bias, network.second.weight, network.second.bias)
        )
    )
    presence = random_presence(8, 9, 0.6, np.random.default_rng(0))
    sets = [[gene, other] for gene in range(9) for other in (-2, (gene + 4) % 9)]
    compare(both, presence, sets, dose, *gather(network.affine(), presence, sets, dose=dose))
    rows = presence.toarray()
    with torch.inference_mode():
        np.testing.assert_allclose(
            network(torch.from_numpy(rows)).numpy(), [naive.profile(both, row) for row in rows], atol=1e-6
        )


def test_all_genes_of_a_large_cell():
    rng = np.random.default_rng(0)
    affine, presence = random_map(400, rng), random_presence(1, 400, 0.7, rng)
    sets = [[gene] for gene in range(400)]
    compare(layers(affine), presence, sets, 1.0, *gather(affine, presence, sets))


def test_without_the_only_gene_nothing_is_left():
    affine = random_map(4, np.random.default_rng(0))
    presence = sparse.csr_matrix(np.array([[0, 1, 0, 0]], dtype=np.float32))
    impact, after, before = gather(affine, presence, [[1], [2]])
    assert impact.tolist() == [[1.0, 0.0]]
    assert before.tolist() == [[0, 1, 0, 0]]
    assert after.tolist() == [[[0, 0, 0, 0], [0, 1, 0, 0]]]


def test_cells_without_genes_are_left_out():
    affine = random_map(4, np.random.default_rng(0))
    presence = sparse.csr_matrix(np.array([[0, 0, 0, 0], [1, 1, 0, 0]], dtype=np.float32))
    impact, _, _ = gather(affine, presence, [[1]])
    assert np.isnan(impact[0, 0])
    assert impact[1, 0] > 0


def test_cells_without_knockouts_are_left_out():
    affine, presence = random_map(5, np.random.default_rng(0)), sparse.csr_matrix(np.eye(5, dtype=np.float32))
    none, one = np.empty((0, 1), dtype=int), np.array([[0]])
    results = list(knockouts(affine, presence, lambda cell, _: one if cell == 3 else none, device=CPU))
    assert [result.cell for result in results] == [3]
    assert results[0].genes.tolist() == [3]


@pytest.mark.parametrize(("budget", "n_parts"), [(1, 6), (16 * 6 * 2, 3), (2**28, 1)])
def test_parts_follow_the_memory_budget(budget, n_parts):
    affine, presence = random_map(6, np.random.default_rng(0)), sparse.csr_matrix(np.ones((1, 6), dtype=np.float32))
    with dko.settings.override(memory_budget=budget):
        results = list(knockouts(affine, presence, lambda _, present: present[:, None], device=CPU))
    assert len(results) == n_parts
    assert [result.part.start for result in results] == list(range(0, 6, 6 // n_parts))


def test_locate():
    present = np.array([2, 5, 9])
    assert locate(present, np.array([[5, 9], [0, 2], [10, -2]])).tolist() == [[1, 2], [-1, 0], [-1, -1]]
    assert locate(np.array([], dtype=int), np.array([1, 2])).tolist() == [-1, -1]
