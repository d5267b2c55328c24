from __future__ import annotations

import numpy as np
import pytest

import dko
from dko.models.knockout import LowRankMap
from dko.models.knockout._panels import Panels, aligned, reach_of
from dko.models.knockout._vector import LANES


@pytest.mark.parametrize("low_rank", [False, True])
@pytest.mark.parametrize("budget", [1, 15_000, 2**28])
@pytest.mark.parametrize("n_lanes", [0, 5, 32, 50])
@pytest.mark.parametrize("part", ["rows", "columns"])
def test_panels_hold_the_map(make_map, monkeypatch, part, n_lanes, budget, low_rank):
    rng = np.random.default_rng(0)
    affine, order, added = make_map(50, rng), rng.permutation(50), rng.normal(size=50).astype(np.float32)
    if low_rank:
        outgoing, incoming = rng.integers(-9, 9, (50, 4)), rng.integers(-9, 9, (4, 50))
        affine = LowRankMap(outgoing.astype(np.float32), incoming.astype(np.float32), affine.intercept)
    with dko.settings.override(memory_budget=budget):
        panels = Panels(affine, part, order, n_lanes, added)
    n_panels, make, made = -(-n_lanes // LANES), panels._make, []

    def noted(first):
        made.append(first)
        return make(first)

    monkeypatch.setattr(panels, "_make", noted)
    expected = affine.columns(np.arange(50)).T if part == "columns" else affine.rows(np.arange(50)).T
    for _ in range(2):
        found = np.zeros((n_panels, 51, LANES), dtype=np.float32)
        for first, some in panels:
            assert some.dtype == np.float32 and some.ctypes.data % 64 == 0
            found[first : first + len(some)] = some
        assert not found[:, 50].any()
        table = found[:, :50].transpose(1, 0, 2).reshape(50, -1)
        with_added = expected[np.ix_(order, order[:n_lanes])] + added[order][:, None]
        np.testing.assert_array_equal(table[:, :n_lanes], with_added)
        assert not table[:, n_lanes:].any()
    # All that fits is made once, otherwise it is made again.
    at_once = {1: 1, 15_000: 2, 2**28: 4}[budget]
    assert len(made) == -(-n_panels // at_once) * (1 if n_panels <= at_once else 2)


def test_reach_is_the_largest_modulus_of_a_row():
    panels = np.random.default_rng(0).normal(size=(3, 7, LANES)).astype(np.float32)
    np.testing.assert_array_equal(reach_of(panels), np.abs(panels).max(axis=(0, 2)))
    np.testing.assert_array_equal(reach_of(panels[:0]), 0)


@pytest.mark.parametrize("shape", [(1, 1, 16), (3, 7, 16), (0, 4, 16)])
def test_aligned(shape):
    for _ in range(5):
        array = aligned(shape)
        assert array.shape == shape and array.dtype == np.float32 and array.flags.c_contiguous
        assert array.ctypes.data % 64 == 0 or not array.size
        assert not array.any()
