from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse

from dko.models.dko.network import fit
from dko.models.fitting import Schedule
from dko.models.knockout import LowRankMap, predict

CPU = torch.device("cpu")


@pytest.fixture
def profiles():
    rng = np.random.default_rng(0)
    values = rng.gamma(1.0, size=(60, 6)) * (rng.random((60, 6)) < 0.7)
    values[:, 0] += 0.1
    values[:, 1] *= np.where(values[:, 2] > 0, 5, 1)
    return sparse.csr_matrix((values / values.sum(1, keepdims=True)).astype(np.float32))


def run(profiles, seed=0, **kwargs):
    schedule = kwargs.pop("schedule", Schedule(batch_size=10, learning_rate=0.01, max_steps=60, validate_every=5))
    rng = np.random.default_rng(seed)
    return fit(profiles[:40], profiles[40:], schedule, device=CPU, rng=rng, **kwargs)


def test_the_map_is_that_of_the_best_validation_loss(profiles):
    result = run(profiles)
    held_out = profiles[40:]
    presence = held_out.copy()
    presence.data[:] = 1
    gap = held_out.copy()
    gap.data = np.abs(predict(result.affine, presence) - held_out.data) / 2
    losses = result.trained.history["validation_loss"]
    assert gap.sum(axis=1).mean() == pytest.approx(losses.min(), abs=1e-6)
    assert losses.min() < losses.iloc[0]


def test_the_seed_decides_and_global_generators_are_left_alone(profiles):
    torch.manual_seed(5)
    np.random.seed(5)
    first, again, other = run(profiles, 1), run(profiles, 1), run(profiles, 2)
    np.testing.assert_array_equal(first.affine.influence, again.affine.influence)
    assert not np.array_equal(first.affine.influence, other.affine.influence)
    drawn = torch.rand(1), np.random.rand()
    torch.manual_seed(5)
    np.random.seed(5)
    assert drawn == (torch.rand(1), np.random.rand())


def test_a_low_rank_fit_goes_on_from_a_low_rank_map(profiles):
    first = run(profiles, rank=2).affine
    assert isinstance(first, LowRankMap)
    assert (first.outgoing.shape, first.incoming.shape, first.intercept.shape) == ((6, 2), (2, 6), (6,))
    schedule = Schedule(batch_size=40, learning_rate=1e-9, max_steps=1)
    again = run(profiles, rank=2, init=first, schedule=schedule).affine
    np.testing.assert_allclose(
        again.outgoing @ again.incoming, first.outgoing @ first.incoming, atol=1e-5 * np.abs(first.outgoing).max()
    )
