from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dko.models.sccvae.ensemble import Ensemble, Member, changed, neighbour_shifts, shapes_of


def noise_of(cells, model, seed=0):
    return torch.randn(len(cells), model.config.n_latent, generator=torch.Generator().manual_seed(seed))


def test_trained_targets_have_their_own_shift_and_others_that_of_their_features(model, screen):
    """T7, T8: what is not trained on is never read from an entry that was not trained."""
    np.testing.assert_array_equal(model.shifts(screen.targets), model.network.shifts().detach())
    louder = replace(model, strength=model.strength * 3)
    np.testing.assert_array_equal(louder.shifts(screen.targets), model.shifts(screen.targets))
    unseen = np.setdiff1d(np.arange(40), screen.targets)
    torch.testing.assert_close(louder.shifts(unseen), 3 * model.shifts(unseen))
    assert (model.shifts(unseen).norm(dim=1) > 1e-3).all()


def test_arrays_of_version_0_1_0_are_read(model, control):
    """These have an offset of the decoder of their own, which is the same with and without a shift."""
    old = Member.from_arrays(model.config, model.arrays | {"network.offset": np.full(40, 0.3, dtype=np.float32)})
    shifts = model.shifts(np.arange(3))
    torch.testing.assert_close(old.changes(control, shifts, None), model.changes(control, shifts, None))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_predicts_the_same(model, control):
    """T19, T16: a model on the GPU comes back as arrays, and predicts what the CPU does."""
    (on_gpu,) = Ensemble((Member.from_arrays(model.config, model.arrays),)).to(torch.device("cuda")).members
    genes, noise = np.arange(40), noise_of(control, model)
    found = on_gpu.changes(control.cuda(), on_gpu.shifts(genes), noise.cuda()).cpu()
    torch.testing.assert_close(found, model.changes(control, model.shifts(genes), noise), atol=1e-4, rtol=1e-4)
    back = Member.from_arrays(model.config, on_gpu.arrays)
    assert torch.equal(back.shifts(genes), model.shifts(genes))


@pytest.mark.parametrize("code", ["neighbours", "softmax"])
def test_shapes_are_known_without_a_model(code, fitted):
    found, _ = fitted(code=code, max_steps=1)
    n_features = found.features.shape[1]
    expected = {name: array.shape for name, array in found.arrays.items()}
    assert shapes_of(found.config, 40, 40, len(found.network.features), n_features) == expected
    with pytest.raises(ValueError, match="wider than 16,777,216"):
        shapes_of(replace(found.config, hidden=(2**40,)), 40, 40, 6, n_features)


GENES = np.array([0, 7, 39])


@pytest.fixture(scope="module")
def ensemble(fitted):
    return Ensemble(tuple(fitted(seed=seed)[0] for seed in range(3)))


@pytest.fixture
def draws(control):
    return torch.randn(len(control), 24, generator=torch.Generator().manual_seed(0))


def test_changes_are_means_over_the_members(ensemble, control, draws):
    shifts = ensemble.shifts(GENES)
    assert shifts.shape == (3, 24)
    alone = [
        member.changes(control, member.shifts(GENES), draw)
        for member, draw in zip(ensemble.members, draws.split(8, dim=1), strict=True)
    ]
    torch.testing.assert_close(ensemble.changes(control, shifts, draws), torch.stack(alone).mean(dim=0))
    # Members do differ.
    assert (alone[0] - alone[1]).abs().max() > 1e-3


def test_shifts_go_through_the_graph_of_each_member(ensemble):
    found = ensemble.propagated(ensemble.shifts(GENES)).detach()
    alone = [(member.shifts(GENES) @ member.network.propagation()).detach() for member in ensemble.members]
    torch.testing.assert_close(found * 3**0.5, torch.cat(alone, dim=1))
    lengths = torch.stack([of_member.norm(dim=1) for of_member in alone])
    torch.testing.assert_close(found.norm(dim=1), lengths.square().mean(dim=0).sqrt())


AXES = torch.eye(3)


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_mean_is_weighted_by_the_softmax_of_similarities():
    features, trained, shifts = drawn(5, 4), drawn(6, 4, seed=1), drawn(6, 3, seed=2)
    unit = [x.numpy() / np.linalg.norm(x, axis=1, keepdims=True) for x in (features, trained)]
    similarity, among = unit[0] @ unit[1].T, unit[1] @ unit[1].T
    spread = among[~np.eye(6, dtype=bool)].std(ddof=1)
    weights = np.exp(similarity / spread)
    expected = weights / weights.sum(axis=1, keepdims=True) @ shifts.numpy()
    np.testing.assert_allclose(neighbour_shifts(features, trained, shifts), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("trained", [torch.eye(4), torch.ones(4, 4)], ids=["onehot", "all the same"])
def test_features_that_tell_nothing_give_the_mean(trained):
    shifts = drawn(4, 3)
    found = neighbour_shifts(torch.zeros(1, 4), trained, shifts)
    torch.testing.assert_close(found[0], shifts.mean(dim=0))


def test_a_target_can_be_left_out_of_its_own_shift():
    """T7: nothing that is known of a target enters when it is predicted from the others."""
    trained, shifts = drawn(5, 4), drawn(5, 3, seed=1)
    others = shifts.clone()
    others[2] = 1e6
    own = torch.tensor([2])
    found = neighbour_shifts(trained[2:3], trained, others, left_out=own)
    torch.testing.assert_close(found, neighbour_shifts(trained[2:3], trained, shifts, left_out=own))
    assert neighbour_shifts(trained[2:3], trained, others).abs().max() > 1e5


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
