from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import sparse

import dko
from dko.models import knockout as compiled
from dko.models.knockout import AffineMap, LowRankMap, _torch, find

LAVISH = 2**28


@pytest.fixture(scope="module", params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request):
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return torch.device(request.param)


@pytest.fixture
def low_rank():
    """Map of rank 4 whose product takes more than single precision to be the same on every device."""
    rng = np.random.default_rng(0)
    outgoing, incoming = (rng.normal(size=size).astype(np.float32) for size in ((40, 4), (4, 40)))
    return LowRankMap(outgoing, incoming, rng.normal(size=40).astype(np.float32))


@given(
    seed=st.integers(0, 2**16),
    n_genes=st.integers(1, 40),
    share=st.sampled_from([0.1, 0.5, 1.0]),
    dose=st.sampled_from([1.0, 0.999, 0.3, 0.001]),
    wanted_share=st.sampled_from([0.0, 0.3, 1.0]),
    budget=st.sampled_from([1, 3_000, LAVISH]),
)
@example(0, 1, 1.0, 1.0, 1.0, 1)  # the only gene goes
def test_scan_equals_the_naive_formula(
    device,
    make_map,
    make_presence,
    naive_scan,
    seed,
    n_genes,
    share,
    dose,
    wanted_share,
    budget,
):
    rng = np.random.default_rng(seed)
    affine, presence = make_map(n_genes, rng), make_presence(6, n_genes, share, rng)
    wanted = None if wanted_share == 1 else rng.random(n_genes) < wanted_share
    done: list[int] = []
    keywords = {"wanted": wanted, "dose": dose}
    with dko.settings.override(memory_budget=budget):
        found = _torch.scan(affine, presence, device=device, downstream=True, advance=done.append, **keywords)
    assert found.dtype == np.float32
    assert sum(done) == presence.nnz
    np.testing.assert_allclose(found, naive_scan(affine, presence, **keywords), atol=1e-5)


@given(
    seed=st.integers(0, 2**16),
    n_genes=st.integers(1, 30),
    share=st.sampled_from([0.1, 0.5, 1.0]),
    dose=st.sampled_from([1.0, 0.9, 0.01]),
    size=st.integers(1, 4),
    budget=st.sampled_from([1, 3_000, LAVISH]),
)
@example(0, 3, 1.0, 1.0, 3, 1)  # nothing is left
def test_sets_equal_the_compiled_engine(device, make_map, make_presence, seed, n_genes, share, dose, size, budget):
    rng = np.random.default_rng(seed)
    affine, presence = make_map(n_genes, rng), make_presence(8, n_genes, share, rng)
    size = min(size, n_genes)
    sets = np.array([[*rng.permutation(n_genes)[:k], *[-1] * (size - k)] for k in rng.integers(1, size + 1, 7)])
    row, number, removed = find(presence, sets)
    after, expected_after = np.full((2, len(sets), presence.nnz), -1, dtype=np.float32)
    keywords = {"dose": dose, "downstream": True, "number": number}
    with dko.settings.override(memory_budget=budget):
        found = _torch.knock_out(affine, presence, row, removed, device=device, after=after, **keywords)
    expected = compiled.knock_out(affine, presence, row, removed, after=expected_after, **keywords)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(after, expected_after, atol=1e-5)


@pytest.mark.parametrize("budget", [LAVISH, 2_000])
def test_predictions_and_effects_equal_the_compiled_engine(device, make_map, make_presence, budget):
    rng = np.random.default_rng(0)
    affine, presence = make_map(25, rng), make_presence(40, 25, 0.5, rng)
    known = (affine, presence, rng.permutation(25)[:17], np.arange(40) % 4 - 1, 3)
    with dko.settings.override(memory_budget=budget):
        profiles = _torch.predict(affine, presence, device=device)
        totals, n_cells = _torch.effect_sums(*known, device=device)
    assert profiles.dtype == np.float32
    assert totals.dtype == np.float64
    np.testing.assert_allclose(profiles, compiled.predict(affine, presence), atol=1e-6)
    expected, n_expected = compiled.effect_sums(*known)
    np.testing.assert_array_equal(n_cells, n_expected)
    # Sums of logarithms in single precision, next to nothing where an output nearly vanishes.
    np.testing.assert_allclose(totals, expected, rtol=1e-4, atol=1e-4)


def test_large_cells_of_many_sizes(device, make_map, make_presence):
    rng = np.random.default_rng(0)
    affine = make_map(400, rng, scale=0.3)
    presence = sparse.vstack([make_presence(20, 400, share, rng) for share in (0.9, 0.1, 0.5)], format="csr")
    for dose in (1.0, 0.5):
        found = _torch.scan(affine, presence, device=device, dose=dose)
        np.testing.assert_allclose(found, compiled.scan(affine, presence, dose=dose), atol=1e-5)


@pytest.mark.parametrize("budget", [1, 2_000, LAVISH])
def test_low_rank(device, make_presence, low_rank, budget):
    rng = np.random.default_rng(0)
    presence = make_presence(30, 40, 0.5, rng)
    row, _, removed = find(presence, rng.integers(0, 20, (50, 1)) + [0, 20])
    with dko.settings.override(memory_budget=budget):
        singles = _torch.scan(low_rank, presence, device=device)
        pairs = _torch.knock_out(low_rank, presence, row, removed, device=device)
    np.testing.assert_allclose(singles, compiled.scan(low_rank, presence), atol=1e-5)
    np.testing.assert_allclose(pairs, compiled.knock_out(low_rank, presence, row, removed), atol=1e-5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_coarser_products_elsewhere_change_nothing(make_presence, low_rank):
    presence = make_presence(30, 40, 0.5, np.random.default_rng(0))
    exact, before = compiled.scan(low_rank, presence), torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        found = _torch.scan(low_rank, presence, device=torch.device("cuda"))
    finally:
        torch.set_float32_matmul_precision(before)
    np.testing.assert_allclose(found, exact, atol=1e-5)


def test_nothing_is_left_and_a_cell_without_genes(device, make_map):
    presence = sparse.csr_matrix(np.array([[0, 0], [0, 1]], dtype=np.float32))
    after, none = np.full((3, 1), np.nan, dtype=np.float32), np.array([[-1], [0], [-1]])
    affine, row = make_map(2, np.random.default_rng(0)), np.array([0, 1, 1])
    found = _torch.knock_out(affine, presence, row, none, device=device, after=after, number=np.array([0, 2, 1]))
    assert found.tolist() == [0.0, 1.0, 0.0]
    np.testing.assert_array_equal(after, [[np.nan], [1.0], [0.0]])


def test_what_is_divided_by_nothing_does_not_count(device):
    # s - A_1 - A_2 - A_3 is not quite 0, and nothing is left to divide it by.
    rng = np.random.default_rng(0)
    presence, whole = sparse.csr_matrix(np.ones((1, 3), dtype=np.float32)), np.array([[0, 1, 2]])
    for _ in range(20):
        influence = rng.normal(scale=1e3, size=(3, 3)).astype(np.float32)
        affine = AffineMap(influence, 1 - influence.mean(1))
        assert _torch.knock_out(affine, presence, np.array([0]), whole, device=device).tolist() == [1.0]


def test_no_output_at_all(device):
    affine = AffineMap(np.zeros((3, 3), dtype=np.float32), np.zeros(3, dtype=np.float32))
    presence = sparse.csr_matrix(np.ones((1, 3), dtype=np.float32))
    assert _torch.scan(affine, presence, device=device).tolist() == [0.0, 0.0, 0.0]
    assert not _torch.effect_sums(affine, presence, np.arange(3), np.array([0]), 1, device=device)[0].any()


def test_no_knockouts(device, make_map):
    affine, presence = make_map(3, np.random.default_rng(0)), sparse.csr_matrix(np.ones((2, 3), dtype=np.float32))
    none = np.empty((0, 2), dtype=int)
    assert _torch.knock_out(affine, presence, none[:, 0], none, device=device).shape == (0,)


@given(st.lists(st.integers(1, 1_000), max_size=50), st.integers(1, 5_000))
def test_pieces_fit_when_padded_to_the_longest(lengths, room):
    each = np.sort(np.array(lengths, dtype=np.int64))
    pieces = list(_torch._pieces(each, room))
    assert [place for piece in pieces for place in range(piece.start, piece.stop)] == list(range(len(each)))
    for piece in pieces:
        n = piece.stop - piece.start
        assert n == 1 or n * each[piece][-1] <= room
        if piece.stop < len(each):
            assert (n + 1) * each[piece.stop] > room, "one more would fit"
