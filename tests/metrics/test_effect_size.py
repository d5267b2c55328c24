from __future__ import annotations

import numpy as np
import pytest

import dko

RNG = np.random.default_rng(0)
MEAN = RNG.gamma(2, 2, 50)


def cells(n, effect=0.0):
    return RNG.poisson(MEAN * np.exp(effect), (n, 50))


@pytest.mark.parametrize("n", [10, 40])
def test_no_effect_has_no_size_however_few_cells_show_it(n):
    found = [dko.metrics.effect_size(cells(n), cells(100), n_splits=5) for _ in range(60)]
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(60)


def test_few_and_many_cells_measure_alike_with_as_many_of_them():
    effect = RNG.normal(scale=0.2, size=50)
    control = cells(1_000)

    def mean_size(n, **how):
        found = [dko.metrics.effect_size(cells(n, effect), control, rng=i, **how) for i in range(30)]
        return np.mean(found), np.std(found) / np.sqrt(30)

    (few, few_error), (many, many_error) = (mean_size(n, n_cells=20) for n in (20, 500))
    assert abs(few - many) < 3 * np.hypot(few_error, many_error)
    assert mean_size(500)[0] > many + 0.01, "with more cells chance adds less"


def test_number_of_cells():
    with pytest.raises(ValueError, match="n_cells=0 must be at least 1"):
        dko.metrics.effect_size(cells(9), cells(9), n_cells=0)
    few, control = cells(9), cells(40)
    expected = dko.metrics.effect_size(few, control, rng=1)
    assert dko.metrics.effect_size(few, control, n_cells=99, rng=1) == expected
    assert dko.metrics.effect_size(few, control, n_cells=5, rng=1) != expected


def test_tends_to_the_distance_of_the_means():
    effect = RNG.normal(size=50)
    found = dko.metrics.effect_size(cells(2_000, effect), cells(4_000))
    before, after = MEAN / MEAN.sum(), MEAN * np.exp(effect)
    assert found == pytest.approx(dko.metrics.bray_curtis([before], [after / after.sum()])[0], abs=0.01)


def test_the_lost_gene_does_not_count():
    perturbed, control = (RNG.poisson(np.r_[lost, MEAN], (400, 51)) for lost in (0, MEAN.sum()))
    assert dko.metrics.effect_size(perturbed, control) == pytest.approx(0.5, abs=0.02)
    assert dko.metrics.effect_size(perturbed, control, without=[0]) == pytest.approx(0, abs=0.01)
