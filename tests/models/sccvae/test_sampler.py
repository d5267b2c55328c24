from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import sparse

from dko.models.sccvae.config import Config
from dko.models.sccvae.sampler import Batch, Cells
from dko.models.sccvae.sampler import sampler as sampler_of

CPU = torch.device("cpu")


@pytest.fixture
def cells():
    """40 cells x 3 genes; the first tells the number of a cell, the second its perturbation, 3 is a pair."""
    perturbation = np.tile([-1, 0, 1, 2, 0, -1, 3, -1], 5)
    perturbation[14] = 0
    values = np.column_stack([np.arange(1, 41), perturbation + 2, np.ones(40)])
    members = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]], dtype=bool)
    return Cells(sparse.csr_matrix(values.astype(np.float32)), perturbation, members)


def sampler(cells, *, seed=0, fixed=False, n_batches=30, **config):
    chosen = replace(Config(groups=3, n_latent=4), **config)
    return sampler_of(cells, chosen, n_batches, 4, CPU, np.random.default_rng(seed), fixed=fixed)


def test_means_are_those_of_the_control_and_of_each_perturbation(cells):
    x = cells.values.toarray()
    expected = [x[cells.perturbation == number].mean(axis=0) for number in (-1, 0, 1, 2, 3)]
    found = cells.means()
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_array_equal(cells.control, np.flatnonzero(cells.perturbation == -1))


def test_batches_hold_cells_of_their_groups(cells):
    for batch in sampler(cells)():
        assert isinstance(batch, Batch)
        assert batch.before.shape == batch.after.shape == (3, 4, 3)
        assert batch.noise.shape == (3, 4, 4) and batch.effect.shape == (3, 3) and batch.members.shape == (3, 3)
        assert (batch.before[..., 1] == 1).all()
        number = batch.after[:, :, 1] - 2
        assert (number == number[:, :1]).all()
        # The control comes first, with no target; the others are different perturbations.
        assert number[0, 0] == -1 and len(set(number[:, 0].tolist())) == 3
        means = torch.from_numpy(cells.means())
        for group, which in enumerate(number[:, 0].int().tolist()):
            expected = cells.members[which] if which >= 0 else [False] * 3
            assert batch.members[group].bool().tolist() == list(expected)
            torch.testing.assert_close(batch.effect[group], means[which + 1] - means[0])


def test_perturbations_are_drawn_by_the_root_of_their_cells():
    perturbation = np.repeat([-1, 0, 1], [10, 90, 10])
    cells = Cells(
        sparse.csr_matrix((perturbation + 2.0)[:, None].astype(np.float32)), perturbation, np.eye(2, dtype=bool)
    )
    drawn = torch.cat([batch.after[:, 0, 0] for batch in sampler(cells, groups=2, n_batches=2_000)()])
    counts = np.bincount(drawn.int().numpy())[1:]
    assert counts[0] == 2_000
    assert counts[1] / counts[2] == pytest.approx(3, rel=0.15)


@pytest.mark.parametrize("fixed", [True, False])
def test_validation_draws_the_same_in_every_pass(cells, fixed):
    draw = sampler(cells, fixed=fixed, n_batches=3)
    first, second = ([batch.after for batch in draw(None)] for _ in range(2))
    assert len(first) == 3
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True)) == fixed
