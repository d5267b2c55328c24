from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dko.models.sccvae import changed

SHAPE = (12, 5)
CELLS = arrays(np.float32, SHAPE, elements=st.floats(0, 6, width=32))
CHANGE = arrays(np.float32, SHAPE[1], elements=st.floats(-8, 8, width=32))


def apply(cells, change, level):
    return changed(torch.from_numpy(cells), torch.from_numpy(change), torch.from_numpy(level)).numpy()


@given(CELLS, CHANGE)
def test_means_change_by_what_is_predicted_and_nothing_is_negative(cells, change):
    """Of a change that is the same for all cells; a gene can lose no more than it has."""
    level = cells.mean(axis=0)
    after = apply(cells, np.broadcast_to(change, (1, *SHAPE)).copy(), level)[0]
    assert (after >= 0).all()
    expected = np.maximum(change, -level)
    np.testing.assert_allclose(after.mean(axis=0) - level, expected, atol=1e-4)
    falls = (change <= 0)[None] & (cells == 0)
    assert (after[falls] == 0).all()


@given(CELLS, CHANGE)
def test_a_larger_change_leaves_every_cell_further_away(cells, change):
    level = cells.mean(axis=0)
    parts = [np.broadcast_to(np.float32(dose) * change, (1, *SHAPE)).copy() for dose in (0.0, 0.3, 0.7, 1.0)]
    none, *doses = (apply(cells, part, level)[0] for part in parts)
    np.testing.assert_array_equal(none, cells)
    for smaller, larger in zip(doses[:-1], doses[1:], strict=True):
        assert (np.abs(larger - cells) >= np.abs(smaller - cells) - 1e-5).all()


def test_a_cell_changes_in_proportion_to_what_it_expresses():
    cells = np.array([[0.0], [1.0], [2.0], [1.0]], dtype=np.float32)
    level = np.ones(1, dtype=np.float32)
    found = apply(cells, np.full((1, 4, 1), -0.4, dtype=np.float32), level)[0, :, 0]
    np.testing.assert_allclose(found, [0.0, 0.6, 1.2, 0.6], rtol=1e-6)


def test_a_rise_beyond_the_level_is_added_to_every_cell():
    cells = np.array([[0.0], [2.0]], dtype=np.float32)
    found = apply(cells, np.full((1, 2, 1), 1.5, dtype=np.float32), np.ones(1, dtype=np.float32))[0, :, 0]
    np.testing.assert_allclose(found, [0.5, 4.5])


def test_genes_that_no_control_cell_expresses_can_only_rise():
    cells, level = np.array([[0.0, 1.0]], dtype=np.float32), np.zeros(2, dtype=np.float32)
    np.testing.assert_array_equal(apply(cells, np.full((1, 1, 2), -1.0, dtype=np.float32), level)[0], cells)
    np.testing.assert_array_equal(apply(cells, np.full((1, 1, 2), 0.5, dtype=np.float32), level)[0], cells + 0.5)
