from __future__ import annotations

import numpy as np
import torch
from scipy.spatial.distance import braycurtis

from dko.models.assemblage._loss import bray_curtis, profile_distance


def test_bray_curtis_is_that_of_scipy():
    a, b = np.random.default_rng(0).random((2, 6, 9))
    expected = [braycurtis(x, y) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(bray_curtis(torch.from_numpy(a), torch.from_numpy(b)), expected)
    np.testing.assert_allclose(bray_curtis(torch.from_numpy(a.T), torch.from_numpy(b.T), dim=0), expected)


def test_two_empty_rows_do_not_differ():
    assert bray_curtis(torch.zeros(1, 3), torch.zeros(1, 3)).tolist() == [0]


def test_half_the_distance_is_the_same_for_profiles():
    a, b = (torch.softmax(torch.randn(5, 8, generator=torch.Generator().manual_seed(seed)), 1) for seed in (0, 1))
    torch.testing.assert_close(profile_distance(a, b), bray_curtis(a, b))
