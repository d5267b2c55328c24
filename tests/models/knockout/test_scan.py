from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import sparse

import dko
from dko.models.knockout import AffineMap, all_cells, effect_sums, knock_out, scan

from ... import paper as naive
from .oracle import layers_from, make_cells, make_map, make_presence, naive_scan

LAVISH = 2**28


@settings(max_examples=50)
@given(
    kind=st.sampled_from(["affine", "low rank", "factors"]),
    seed=st.integers(0, 2**16),
    size=st.tuples(st.integers(1, 6), st.integers(1, 40)),
    share=st.sampled_from([0.1, 0.5, 1.0]),
    scale=st.sampled_from([0.0, 0.01, 1.0, 3.0, 100.0]),
    wanted_share=st.sampled_from([0.0, 0.3, 1.0]),
    budget=st.sampled_from([1, 3_000, LAVISH]),
)
@example("affine", 0, (1, 1), 1.0, 1.0, 1.0, 1)  # a gene that is all of a cell
@example("factors", 0, (1, 1), 1.0, 1.0, 1.0, 1)
@example("factors", 0, (6, 40), 1.0, 100.0, 1.0, LAVISH)  # factors from e^-30 to e^30
def test_scan_equals_the_naive_formula(kind, seed, size, share, scale, wanted_share, budget):
    rng = np.random.default_rng(seed)
    any_map, cells = make_cells(kind, size[0], size[1], share, rng, scale)
    wanted = None if wanted_share == 1 else rng.random(size[1]) < wanted_share
    done: list[int] = []
    with dko.settings.override(memory_budget=budget):
        found = scan(any_map, cells, wanted=wanted, downstream=True, advance=done.append)
        np.testing.assert_array_equal(scan(any_map, cells, wanted=wanted), found[:1])
    assert found.dtype == np.float32 and not (found > 1).any(), "whatever the rounding"
    assert sum(done) in (cells.nnz, np.count_nonzero(~np.isnan(found[0])))
    expected = naive_scan(any_map, cells, wanted=wanted)
    np.testing.assert_allclose(found, expected, atol=1e-6 if kind == "factors" else 1e-5)


@pytest.mark.parametrize("kind", ["affine", "factors"])
def test_no_cells_and_no_knockouts(kind):
    any_map, _ = make_cells(kind, 1, 5, 0.5, np.random.default_rng(0))
    sets, group = np.empty((0, 2), dtype=int), np.zeros(4, dtype=int)
    for none in (sparse.csr_matrix((0, 5), dtype=np.float32), sparse.csr_matrix((4, 5), dtype=np.float32)):
        assert scan(any_map, none, downstream=True).shape == (2, 0)
        assert knock_out(any_map, all_cells(any_map, none), sets[:, 0], sets).shape == (2, 0)
        assert not effect_sums(any_map, none, np.arange(5), group[: none.shape[0]], 1)[0].any()


def test_small_effects_keep_their_digits():
    factors, profiles = make_cells("factors", 10, 40, 0.8, np.random.default_rng(0), 1e-6)
    found, expected = scan(factors, profiles, downstream=True)[1], naive_scan(factors, profiles)[1]
    np.testing.assert_allclose(found[expected > 1e-8], expected[expected > 1e-8], rtol=1e-4)


def test_large_cells_are_exact_to_a_millionth():
    rng = np.random.default_rng(0)
    n_genes = 3_000
    affine = AffineMap(
        rng.uniform(0, 1, (n_genes, n_genes)).astype(np.float32), rng.normal(size=n_genes).astype(np.float32)
    )
    row = np.arange(n_genes) % 10 > 0
    wanted = np.isin(np.arange(n_genes), rng.choice(np.flatnonzero(row), 2, replace=False))
    found = scan(affine, sparse.csr_matrix(row.astype(np.float32)), wanted=wanted)[0, wanted[row]]
    layers = layers_from(affine)
    expected = [naive.impact(layers, row.astype(float), [gene]) for gene in np.flatnonzero(wanted).tolist()]
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(("genes", "level"), [([3], 1e2), ([3], 1e6), (slice(None), -50), (slice(None), 80)])
def test_one_gene_that_makes_up_most_and_levels_far_from_zero(genes, level):
    rng = np.random.default_rng(0)
    affine, presence = make_map(20, rng, scale=0.3), make_presence(40, 20, 0.6, rng)
    affine.intercept[genes] += level
    found = scan(affine, presence, downstream=True)
    np.testing.assert_allclose(found, naive_scan(affine, presence), atol=1e-5)


def test_no_output_at_all():
    affine = AffineMap(np.zeros((3, 3), dtype=np.float32), np.zeros(3, dtype=np.float32))
    assert scan(affine, sparse.csr_matrix(np.tri(3, dtype=np.float32))).tolist() == [[0.0] * 6]


def test_output_only_after_the_knockout():
    # What the four genes add cancels as long as they are all there; the other cell is an ordinary one.
    affine = AffineMap(np.tile(np.array([1, -1, 1, -1], dtype=np.float32), (4, 1)), np.zeros(4, dtype=np.float32))
    presence = sparse.csr_matrix(np.array([[1, 1, 1, 1], [1, 0, 1, 0]], dtype=np.float32))
    np.testing.assert_allclose(scan(affine, presence), [[1, 1, 1, 1, 0.5, 0.5]], atol=1e-6)


def test_more_cells_than_are_taken_at_a_time():
    rng = np.random.default_rng(0)
    affine, presence = make_map(20, rng), make_presence(1_100, 20, 0.3, rng)
    done: list[int] = []
    np.testing.assert_allclose(
        scan(affine, presence, advance=done.append)[0], naive_scan(affine, presence)[0], atol=1e-5
    )
    assert sum(done) == presence.nnz
