from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

import dko
from dko.metrics._ceiling import of_whole

RNG = np.random.default_rng(0)
MEAN = RNG.gamma(2, 2, 50)


def cells(n, effect):
    return sparse.csr_array(RNG.poisson(MEAN * np.exp(effect), (n, 50)))


def test_high_for_a_strong_effect_and_zero_for_none():
    strong = RNG.normal(size=50)
    control = cells(200, 0)
    assert dko.metrics.ceiling(cells(200, strong), control) > 0.95
    nothing = [dko.metrics.ceiling(cells(60, 0), cells(60, 0), n_splits=5) for _ in range(20)]
    assert np.mean(nothing) == pytest.approx(0, abs=0.1)


def test_the_lost_gene_makes_no_agreement():
    """Falling from half of all counts to nothing is not an effect on other genes."""
    perturbed, control = (RNG.poisson(np.r_[lost, MEAN], (60, 51)) for lost in (0, MEAN.sum()))
    assert dko.metrics.ceiling(perturbed, control) > 0.5
    assert dko.metrics.ceiling(perturbed, control, without=[0]) < 0.3


def test_what_a_perfect_prediction_reaches():
    """The truth against 100 cells a side, from the agreement of halves of these."""
    effect = RNG.normal(scale=0.2, size=50)
    truth = dko.metrics.log_profiles([MEAN * np.exp(effect)]) - dko.metrics.log_profiles([MEAN])
    halves, reached = [], []
    for _ in range(30):
        pair = cells(100, effect), cells(100, 0)
        halves.append(dko.metrics.ceiling(*pair, n_splits=5))
        reached.append(dko.metrics.correlation(truth.toarray()[0], dko.metrics.effect(*pair)))
    assert of_whole(np.array([np.mean(halves)]))[0] == pytest.approx(np.mean(reached), abs=0.04)
    assert np.mean(reached) > np.mean(halves) + 0.1
    assert of_whole(np.array([-0.2, 1.0])).tolist() == [0, 1]


def test_rng_decides():
    a, b = cells(40, 0.3 * MEAN), cells(40, 0)
    assert dko.metrics.ceiling(a, b, rng=1) == dko.metrics.ceiling(a, b, rng=1)
    assert dko.metrics.ceiling(a, b, rng=1, n_splits=2) != dko.metrics.ceiling(a, b, rng=2, n_splits=2)
