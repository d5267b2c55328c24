from __future__ import annotations

import numpy as np
import pytest

from . import paper as naive

# By hand: W2 W1 = [[2, 0], [0, 1]], W2 b1 + b2 = [-3, 1].
LAYERS = naive.Layers(
    w1=np.array([[1.0, 0], [0, 1]]), b1=np.array([-1.0, 1]), w2=np.array([[2.0, 0], [0, 1]]), b2=np.array([-1.0, 0])
)


def test_profile_by_hand():
    # y = (1/2, 1/2): o = |(1 - 3, 1/2 + 1)| = (2, 3/2)
    assert naive.profile(LAYERS, np.array([1, 1])) == pytest.approx([4 / 7, 3 / 7])
    assert naive.profile(LAYERS, np.array([0, 1])) == pytest.approx([0, 1])
    assert naive.profile(LAYERS, np.array([0, 0])).tolist() == [0, 0]


def test_dose_scales_the_assemblage():
    # z = (1/2, 1), y = (1/3, 2/3): o = (7/3, 5/3), gated (7/6, 10/6)
    half = naive.knocked_out(np.array([1, 1]), [0], 0.5)
    assert half.tolist() == [0.5, 1]
    assert naive.profile(LAYERS, half) == pytest.approx([7 / 17, 10 / 17])
    assert naive.impact(LAYERS, np.array([1, 1]), [0], 0.5) == pytest.approx(4 / 7 - 7 / 17)


def test_impact_by_hand():
    both = np.array([1, 1])
    assert naive.impact(LAYERS, both, [0]) == pytest.approx(4 / 7)
    assert naive.impact(LAYERS, both, [0, 1]) == 1
    assert naive.impact(LAYERS, np.array([0, 1]), [0]) == 0
