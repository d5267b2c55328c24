from __future__ import annotations

import numpy as np
import pytest
import torch

from dko.models.sccvae import Ensemble, ensemble_of

GENES = np.array([0, 7, 39])


@pytest.fixture(scope="module")
def ensemble(fitted):
    return Ensemble(tuple(fitted(seed=seed)[0] for seed in range(3)))


@pytest.fixture
def noise(control):
    return torch.randn(len(control), 24, generator=torch.Generator().manual_seed(0))


def test_changes_are_means_over_the_members(ensemble, control, noise):
    shifts = ensemble.shifts(GENES)
    assert shifts.shape == (3, 24)
    alone = [
        member.changes(control, member.shifts(GENES), draw)
        for member, draw in zip(ensemble.members, noise.split(8, dim=1), strict=True)
    ]
    torch.testing.assert_close(ensemble.changes(control, shifts, noise), torch.stack(alone).mean(dim=0))
    # Members do differ.
    assert (alone[0] - alone[1]).abs().max() > 1e-3


def test_without_noise_all_members_take_the_mean_of_the_posterior(ensemble, control, noise):
    shifts = ensemble.shifts(GENES)
    torch.testing.assert_close(ensemble.changes(control, shifts, None), ensemble.changes(control, shifts, 0 * noise))


def test_one_member_alone_predicts_what_it_does(ensemble, control, noise):
    member, genes = ensemble.members[1], GENES[:1]
    found = Ensemble((member,)).changes(control, member.shifts(genes), noise[:, :8])
    torch.testing.assert_close(found, member.changes(control, member.shifts(genes), noise[:, :8]))


def test_the_level_is_the_mean_of_the_control_cells(ensemble, screen):
    control = screen.training.values[screen.training.control]
    np.testing.assert_allclose(ensemble.level, np.asarray(control.mean(axis=0)).ravel(), rtol=1e-4)


def test_shifts_go_through_the_graph_of_each_member(ensemble):
    found = ensemble.propagated(ensemble.shifts(GENES))
    alone = [member.propagated(member.shifts(GENES)) for member in ensemble.members]
    torch.testing.assert_close(found * 3**0.5, torch.cat(alone, dim=1))
    lengths = torch.stack([of_member.norm(dim=1) for of_member in alone])
    torch.testing.assert_close(found.norm(dim=1), lengths.square().mean(dim=0).sqrt())


def test_the_length_of_a_shift_is_that_of_a_member(ensemble):
    alone = [float(member.shifts(GENES)[0].norm()) for member in ensemble.members]
    assert ensemble.length(ensemble.shifts(GENES)[0]) == pytest.approx(np.sqrt(np.mean(np.square(alone))))


def test_arrays_are_all_that_is_needed(ensemble, control, noise):
    """T16: predictions are identical."""
    again = ensemble_of(ensemble.members[0].config, {name: array.copy() for name, array in ensemble.arrays.items()})
    assert len(again.members) == 3
    shifts = ensemble.shifts(GENES)
    assert torch.equal(again.shifts(GENES), shifts)
    assert torch.equal(again.changes(control, shifts, noise), ensemble.changes(control, shifts, noise))
    np.testing.assert_array_equal(again.own, ensemble.own)


def test_arrays_without_members_are_those_of_one(ensemble):
    """As fits were stored before there were members."""
    member = ensemble.members[0]
    (again,) = ensemble_of(member.config, member.arrays).members
    assert torch.equal(again.shifts(GENES), member.shifts(GENES))
