from __future__ import annotations

import numpy as np
import pytest

from dko.models.significance import trend


@pytest.mark.parametrize("n", [20, 300])
def test_outliers_do_not_draw_it(n):
    rng = np.random.default_rng(0)
    levels = rng.normal(size=(n, 2))
    expected = 1 + 2 * levels[:, 0] - levels[:, 1]
    values = expected + 0.01 * rng.normal(size=n)
    values[:2] += 50
    np.testing.assert_allclose(trend(values, levels)[2:], expected[2:], atol=0.3)


def test_it_bends():
    level = np.linspace(-2, 2, 400)
    found = trend(level**2, np.column_stack([level, np.zeros(400)]))
    assert np.abs(found - level**2)[50:-50].max() < 0.6 < np.abs(level**2 - np.median(level**2)).max()


@pytest.mark.parametrize("n", [0, 1, 5])
def test_of_few_genes_the_median(n):
    values = np.arange(float(n))
    np.testing.assert_array_equal(trend(values, np.ones((n, 2))), np.full(n, (n - 1) / 2))
