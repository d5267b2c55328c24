from __future__ import annotations

import numpy as np
import pytest

from dko.pl._arrows import Arrows, extent, grid_arrows, grid_step, magnified, rounded, some_arrows


@pytest.fixture
def places():
    return np.random.default_rng(0).uniform([0, 0], [10, 5], size=(2_000, 2))


def test_some_cells_that_have_an_arrow(places):
    moves = np.full((2_000, 2), np.nan)
    moves[::4] = places[::4]
    places[0] = np.nan
    every = some_arrows(places, moves, 1_000, np.random.default_rng(0))
    np.testing.assert_array_equal(every.places, places[4::4])
    few = some_arrows(places, moves, 30, np.random.default_rng(0))
    assert few.places.shape == few.moves.shape == (30, 2)
    np.testing.assert_array_equal(few.places, few.moves)
    assert len(np.unique(few.places, axis=0)) == 30


@pytest.mark.parametrize("n", [1, 10, 400])
def test_grid_is_square_and_no_larger_than_asked(places, n):
    step = grid_step(places, n)
    found = grid_arrows(places, np.ones_like(places), n)
    assert 0 < len(found.places) <= n
    if n > 1:
        apart = np.unique(found.places[:, 0].round(9))
        assert np.diff(apart).min() == pytest.approx(step)


def test_grid_has_the_weighted_mean_of_the_cells_around(places):
    moves = np.random.default_rng(1).normal(size=places.shape)
    moves[::3] = np.nan
    found, step = grid_arrows(places, moves, 50), grid_step(places, 50)
    there = np.isfinite(moves).all(axis=1)
    for place, move in zip(found.places, found.moves, strict=True):
        weights = np.exp(-0.5 * np.square((places - place) / (step / 2)).sum(axis=1)) * there
        assert weights.sum() >= 2
        np.testing.assert_allclose(move, weights @ np.nan_to_num(moves) / weights.sum())


def test_grid_is_empty_where_there_are_no_cells():
    places = np.repeat([[0.0, 0.0], [10.0, 10.0]], 20, axis=0)
    found = grid_arrows(places + np.random.default_rng(0).normal(scale=0.1, size=places.shape), np.ones((40, 2)), 100)
    assert (np.abs(found.places - 5) > 3.5).all()


def test_arrows_grow_by_a_round_number_and_the_longest_are_cut():
    lengths = np.append(np.linspace(0.0, 0.01, 99), 50.0)
    moves = np.stack([lengths, np.zeros(100)], axis=1)
    drawn, factor = magnified(Arrows(np.zeros((100, 2)), moves), 1.0)
    assert factor == 100
    np.testing.assert_allclose(drawn.moves[:99], moves[:99] * factor)
    np.testing.assert_allclose(drawn.moves[99], [1.0, 0.0])


def test_arrows_of_no_length():
    none = Arrows(np.zeros((5, 2)), np.zeros((5, 2)))
    assert magnified(none, 1.0)[1] == 1 and (magnified(none, 1.0)[0].moves == 0).all()
    assert magnified(Arrows(np.empty((0, 2)), np.empty((0, 2))), 1.0)[1] == 1
    few = Arrows(np.zeros((100, 2)), np.eye(100)[:, :2])
    assert magnified(few, 0.5)[1] == 0.5, "most of them do not move"


def test_round_numbers():
    assert [rounded(value) for value in (0.0123, 0.05, 0.99, 1, 3, 49, 500)] == [0.01, 0.05, 0.5, 1, 2, 20, 500]


def test_extent_leaves_out_cells_without_a_place():
    assert extent(np.array([[0, 0], [3, 4], [np.nan, np.nan]])) == 5
