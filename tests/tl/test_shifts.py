from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

import dko
from dko.tl._identity_shift import Surroundings, similarity_change, space_of


@pytest.fixture
def values():
    rng = np.random.default_rng(0)
    return sparse.random(60, 15, density=0.5, random_state=rng, format="csr", dtype=np.float32)


def test_components_are_those_of_the_dense_matrix(values):
    components, positions = space_of(values, 4, 0)
    centred = values.toarray().astype(float) - values.toarray().mean(axis=0)
    _, singular, right = np.linalg.svd(centred)
    assert components.shape == (15, 4) and positions.shape == (60, 4)
    np.testing.assert_allclose(np.abs(np.sum(components * right[:4].T, axis=0)), 1, rtol=1e-4)
    np.testing.assert_allclose(positions, centred @ components, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(positions, axis=0), singular[:4], rtol=1e-4)


def test_change_of_similarity_is_that_of_the_cosine_with_the_centre():
    before, shifts, centres = (np.random.default_rng(0).normal(size=(n, 4)) for n in (2, 2, 3))
    found = similarity_change(before, shifts, centres)
    for row, column in np.ndindex(2, 3):
        x = [before[row], before[row] + shifts[row], centres[column]]
        cosine = [one @ x[2] / np.linalg.norm(one) / np.linalg.norm(x[2]) for one in x[:2]]
        assert found[row, column] == pytest.approx(cosine[1] - cosine[0], abs=1e-9)
    assert (similarity_change(before, np.zeros((2, 4)), centres) == 0).all()


@pytest.fixture
def plane():
    """Places on a plane, and an embedding that turns and stretches it."""
    positions = np.random.default_rng(0).uniform(-10, 10, size=(3_000, 2)).astype(np.float32)
    return positions, positions.astype(float) @ np.array([[0.0, 2.0], [-2.0, 0.0]])


def naive(positions, embedding, row, shift, n):
    """The same, cell by cell as it is defined."""
    before = positions[row].astype(float)
    after = before + shift
    others = np.delete(np.arange(len(positions)), row)
    nearest = [others[np.argsort(np.linalg.norm(positions[others] - x, axis=1))[:n]] for x in (before, after)]
    around = np.unique(np.concatenate(nearest))
    own = np.linalg.norm(positions[nearest[0]] - before, axis=1)
    stands = []
    for point in (before, after):
        weights = np.exp(-np.linalg.norm(positions[around] - point, axis=1) / (own.mean() - own.min()))
        stands.append(weights @ embedding[around] / weights.sum())
    return stands[1] - stands[0]


def test_equals_the_definition(plane):
    positions, embedding = plane
    around = Surroundings(positions, embedding, 12, np.random.default_rng(0))
    rows = np.array([0, 7, 2_999])
    shifts = np.random.default_rng(1).normal(size=(3, 2))
    found = around.moves(rows, shifts)
    assert found.dtype == np.float32
    for row, shift, move in zip(rows, shifts, found, strict=True):
        np.testing.assert_allclose(move, naive(positions, embedding, row, shift, 12), atol=1e-4)


def test_any_memory_budget(plane):
    positions, embedding = plane
    around = Surroundings(positions, embedding, 15, np.random.default_rng(0))
    rows, shifts = np.arange(100), np.random.default_rng(1).normal(size=(100, 2))
    whole = around.moves(rows, shifts)
    with dko.settings.override(memory_budget=16 * 15 * 2 * 7):
        np.testing.assert_allclose(around.moves(rows, shifts), whole, atol=1e-6)


def test_cells_without_a_place_are_nobodys_neighbours(plane):
    positions, embedding = plane
    embedding[::2] = np.nan
    rows, shifts = np.arange(100), np.random.default_rng(1).normal(size=(100, 2))
    found = Surroundings(positions, embedding, 10, np.random.default_rng(0)).moves(rows, shifts)
    assert np.isfinite(found).all()
    odd = Surroundings(positions[1::2], embedding[1::2], 10, np.random.default_rng(0))
    np.testing.assert_allclose(found[1::2], odd.moves(np.arange(50), shifts[1::2]), atol=1e-5)
    with pytest.raises(ValueError, match="Fewer than two cells have a place"):
        Surroundings(positions, np.full_like(embedding, np.nan), 10, np.random.default_rng(0))


def test_neighbours_that_are_all_equally_far():
    corners = np.eye(4, dtype=np.float32)
    moves = Surroundings(corners, corners[:, :2].astype(float), 3, np.random.default_rng(0)).moves(
        np.arange(4), corners[[1, 0, 3, 2]]
    )
    assert (moves == 0).all(), "three others weigh the same wherever the cell is"
