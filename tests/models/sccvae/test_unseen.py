from __future__ import annotations

import numpy as np
import pytest
import torch

from dko.models.sccvae._unseen import neighbour_shifts, with_coexpression

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


def test_a_similar_target_says_most():
    shifts = 10 * torch.eye(3)
    found = neighbour_shifts(torch.tensor([[1.0, 0.05, 0.0]]), AXES + 0.1 * drawn(3, 3), shifts)
    assert found[0].argmax() == 0 and found[0, 0] > 5
    assert found.sum() == pytest.approx(10, rel=1e-5)


def test_where_neighbours_disagree_the_shift_is_short():
    trained = torch.tensor([[1.0, 0.0], [1.0, 0.01], [-1.0, 0.0]])
    shifts = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [3.0, 3.0]])
    assert neighbour_shifts(trained[:1], trained, shifts).norm() < 0.3


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
    found = neighbour_shifts(trained[2:3], trained, others, own=own)
    torch.testing.assert_close(found, neighbour_shifts(trained[2:3], trained, shifts, own=own))
    assert neighbour_shifts(trained[2:3], trained, others).abs().max() > 1e5


def test_one_target_gives_its_shift_to_all():
    shifts = drawn(1, 3)
    torch.testing.assert_close(neighbour_shifts(drawn(2, 4), drawn(1, 4, seed=3), shifts), shifts.expand(2, 3))


def test_coexpression_adds_a_share_of_the_length():
    shifts, directions = torch.tensor([[3.0, 4.0], [0.0, 2.0]]), torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    found = with_coexpression(shifts, directions, 0.5)
    torch.testing.assert_close(found, torch.tensor([[5.5, 4.0], [0.0, 2.0]]))
    torch.testing.assert_close(with_coexpression(shifts, directions, 0.0), shifts)
