from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from dko.models.sccvae import Cells
from dko.models.sccvae._own import own_changes

CONTROL = [1.0, 2.0, 4.0, 8.0]


def screen(own, pairs=()):
    """Two cells of the control and of each knockdown, in which nothing but the target's own value differs."""
    control = np.array(CONTROL)
    rows, number, members = [control, control], [-1, -1], []
    for count, (genes, change) in enumerate([*(((gene,), change) for gene, change in own.items()), *pairs]):
        values = control.copy()
        values[list(genes)] += change
        rows += [values - 0.5, values + 0.5]
        number += [count, count]
        members.append([target in genes for target in range(4)])
    values = sparse.csr_matrix(np.array(rows, dtype=np.float32))
    return Cells(values, np.array(number), np.array(members, dtype=bool))


def test_targets_change_as_measured_and_others_lose_the_median_share():
    found = own_changes(screen({0: -0.5, 1: -1.6, 2: -2.0}), np.arange(4), np.arange(4))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [-0.5, -1.6, -2.0, -4.0], rtol=1e-5)


def test_where_targets_are_raised_others_rise_by_the_median():
    found = own_changes(screen({0: 0.5, 1: 1.5, 2: 3.0}), np.arange(4), np.arange(4))
    np.testing.assert_allclose(found, [0.5, 1.5, 3.0, 1.5], rtol=1e-5)


def test_genes_that_are_not_measured_have_no_change():
    found = own_changes(screen({0: -0.5, 1: -1.0}), np.array([0, 1, -1, 3]), np.arange(4))
    np.testing.assert_allclose(found, [-0.5, -1.0, np.nan, -4.0], rtol=1e-5)


def test_pairs_say_nothing_of_one_gene():
    with_pair = own_changes(screen({0: -0.5}, [((1, 2), -1.0)]), np.arange(4), np.arange(4))
    np.testing.assert_allclose(with_pair, [-0.5, -1.0, -2.0, -4.0], rtol=1e-5)
    assert np.isnan(own_changes(screen({}, [((1, 2), -1.0)]), np.arange(4), np.arange(4))).all()


def test_targets_go_by_number():
    """Training targets 0 and 1 are genes 3 and 1."""
    cells = screen({3: -4.0, 1: -1.0})
    cells = Cells(cells.values, cells.perturbation, np.eye(2, dtype=bool))
    found = own_changes(cells, np.arange(4), np.array([3, 1]))
    assert found[3] == pytest.approx(-4.0) and found[1] == pytest.approx(-1.0)
    np.testing.assert_allclose(found[[0, 2]], [-0.5, -2.0], rtol=1e-5)


def test_targets_that_control_cells_do_not_express_say_nothing_of_a_share():
    """A rise from nothing is no multiple of the mean."""
    cells = screen({0: -0.5, 3: 0.3})
    values = cells.values.toarray()
    values[:, 3] = np.where(cells.perturbation == 1, 0.3, 0)
    cells = Cells(sparse.csr_matrix(values), cells.perturbation, cells.members)
    found = own_changes(cells, np.arange(4), np.arange(4))
    np.testing.assert_allclose(found, [-0.5, -1.0, -2.0, 0.3], rtol=1e-5)
