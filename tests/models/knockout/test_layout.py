from __future__ import annotations

import numpy as np
import pytest

import dko
from dko.models.knockout import AffineMap
from dko.models.knockout._layout import Panels, aligned, lay_out
from dko.models.knockout._vector import LANES, UNROLLED


@pytest.mark.parametrize("n_lanes", [0, 1, 16, 37, 50])
def test_every_present_gene_has_its_row_and_its_lane(make_presence, n_lanes):
    rng = np.random.default_rng(0)
    presence, rank = make_presence(20, 50, 0.4, rng), rng.permutation(50)
    layout = lay_out(presence.indptr, presence.indices, rank, n_lanes)
    assert (layout.starts % UNROLLED == 0).all()
    seen = set()
    for cell in range(20):
        entries = slice(*presence.indptr[cell : cell + 2])
        ranks, n = rank[presence.indices[entries]], entries.stop - entries.start
        genes = layout.genes[layout.starts[cell] : layout.starts[cell + 1]]
        assert genes[:n].tolist() == ranks.tolist()
        assert (genes[n:] == 50).all() and len(genes) - n < UNROLLED
        for gene, lane in zip(ranks, layout.lanes[entries], strict=True):
            if gene >= n_lanes:
                assert lane == -1
                continue
            element = lane // LANES
            assert layout.cells[element] == cell
            assert layout.panels[element] * LANES + lane % LANES == gene
            seen.add(element)
    assert seen == set(range(len(layout.panels))), "no panel that nobody needs"


@pytest.mark.parametrize("budget", [1, 15_000, 2**28])
@pytest.mark.parametrize("n_lanes", [0, 5, 32, 50])
@pytest.mark.parametrize("part", ["rows", "columns"])
def test_panels_hold_the_map(make_map, monkeypatch, part, n_lanes, budget):
    rng = np.random.default_rng(0)
    affine, order, reads = make_map(50, rng), rng.permutation(50), []
    read = getattr(AffineMap, part)

    def noted(self, genes):
        reads.append(genes)
        return read(self, genes)

    monkeypatch.setattr(AffineMap, part, noted)
    with dko.settings.override(memory_budget=budget):
        panels = Panels(affine, part, order, n_lanes)
    n_panels = -(-n_lanes // LANES)
    expected = affine.influence if part == "columns" else affine.influence.T
    for _ in range(2):
        found = np.zeros((n_panels, 51, LANES), dtype=np.float32)
        for first, some in panels:
            assert some.dtype == np.float32 and some.ctypes.data % 64 == 0
            found[first : first + len(some)] = some
        assert not found[:, 50].any()
        table = found[:, :50].transpose(1, 0, 2).reshape(50, -1)
        np.testing.assert_array_equal(table[:, :n_lanes], expected[np.ix_(order, order[:n_lanes])])
        assert not table[:, n_lanes:].any()
    # All that fits is read once, otherwise it is read again.
    at_once = {1: 1, 15_000: 2, 2**28: 4}[budget]
    assert len(reads) == -(-n_panels // at_once) * (1 if n_panels <= at_once else 2)


@pytest.mark.parametrize("shape", [(1, 1, 16), (3, 7, 16), (0, 4, 16)])
def test_aligned(shape):
    for _ in range(5):
        array = aligned(shape)
        assert array.shape == shape and array.dtype == np.float32 and array.flags.c_contiguous
        assert array.ctypes.data % 64 == 0 or not array.size
        assert not array.any()
