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


def test_tends_to_the_distance_of_the_means():
    effect = RNG.normal(size=50)
    found = dko.metrics.effect_size(cells(2_000, effect), cells(4_000))
    before, after = MEAN / MEAN.sum(), MEAN * np.exp(effect)
    assert found == pytest.approx(dko.metrics.bray_curtis([before], [after / after.sum()])[0], abs=0.01)


def test_the_lost_gene_does_not_count():
    perturbed, control = (RNG.poisson(np.r_[lost, MEAN], (400, 51)) for lost in (0, MEAN.sum()))
    assert dko.metrics.effect_size(perturbed, control) == pytest.approx(0.5, abs=0.02)
    assert dko.metrics.effect_size(perturbed, control, without=[0]) == pytest.approx(0, abs=0.01)
