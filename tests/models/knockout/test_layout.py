from __future__ import annotations

import numpy as np
import pytest

from dko.models.knockout._layout import lay_out
from dko.models.knockout._vector import LANES, UNROLLED


@pytest.mark.parametrize("n_kinds", [1, 3])
@pytest.mark.parametrize("n_lanes", [0, 1, 16, 37, 50])
def test_every_present_gene_has_its_row_and_its_lane(make_presence, n_lanes, n_kinds):
    rng = np.random.default_rng(0)
    presence, rank = make_presence(20, 50, 0.4, rng), rng.permutation(50)
    kinds = None if n_kinds == 1 else rng.integers(n_kinds, size=presence.nnz).astype(np.int8)
    layout = lay_out(presence.indptr, presence.indices, rank, n_lanes, kinds, n_kinds)
    assert (layout.edges % UNROLLED == 0).all() and len(layout.edges) == 20 * n_kinds + 1
    seen = set()
    for cell in range(20):
        entries = slice(*presence.indptr[cell : cell + 2])
        ranks = rank[presence.indices[entries]]
        assert layout.genes[layout.places[entries]].tolist() == ranks.tolist()
        for kind in range(n_kinds):
            genes = layout.genes[slice(*layout.edges[cell * n_kinds + kind :][:2])]
            expected = ranks if kinds is None else ranks[kinds[entries] == kind]
            assert genes[: len(expected)].tolist() == expected.tolist()
            assert (genes[len(expected) :] == 50).all() and len(genes) - len(expected) < UNROLLED
        for gene, lane in zip(ranks, layout.lanes[entries], strict=True):
            if gene >= n_lanes:
                assert lane == -1
                continue
            element = lane // LANES
            assert layout.cells[element] == cell
            assert layout.panels[element] * LANES + lane % LANES == gene
            seen.add(element)
    assert seen == set(range(len(layout.panels))), "no panel that nobody needs"
