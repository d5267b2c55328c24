from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose

from dko.tl._perturbation_modules import null_changes, p_values, without_targets

N_PERTURBATIONS, N_CONTROL = 400, 300


def counts_like(rng, n):
    """Skewed values with a common factor, as expression has; 6 dimensions."""
    return rng.gamma(1.0, 1.0, (n, 6)) * rng.gamma(4.0, 0.25, (n, 1))


@pytest.mark.parametrize("n_cells", [10, 60, 280])
def test_p_values_of_nothing_are_uniform(n_cells):
    """T13: also with more perturbed cells than control cells could be drawn without using them all."""
    rng = np.random.default_rng(0)
    found = []
    # Each time other control cells: p values against the same ones go together.
    for repeat in range(20):
        control = counts_like(rng, N_CONTROL)
        means = np.stack([counts_like(rng, n_cells).mean(axis=0) for _ in range(N_PERTURBATIONS // 20)])
        changes = means - control.mean(axis=0)
        null_of = partial(null_changes, control, n_null=199, seed=repeat)
        found.append(p_values(changes, np.full(len(changes), n_cells), np.zeros(len(changes), dtype=bool), null_of))
    p = np.concatenate(found)
    for level in (0.05, 0.2, 0.5):
        # Three standard errors of a share, and a half for control cells that are shared.
        assert abs((p <= level).mean() - level) < 4.5 * np.sqrt(level * (1 - level) / N_PERTURBATIONS)


def test_noiseless_changes_are_held_against_noise_in_their_direction():
    rng = np.random.default_rng(2)
    control = rng.normal(size=(1_000, 30))
    null_of = partial(null_changes, control, n_null=499, seed=0)
    # Noise of 100 cells is 0.1 in each of 30 directions, and 0.55 in all.
    changes = np.stack([0.3 * np.eye(30)[0]] * 2)
    p = p_values(changes, np.full(2, 100), np.array([False, True]), null_of)
    assert p[0] > 0.9 and p[1] < 0.02
    assert p_values(np.zeros((1, 30)), np.array([100]), np.array([True]), null_of)[0] == 1.0


@pytest.mark.parametrize("n_cells", [5, 40, 90, 400])
def test_spread_of_the_null_is_that_of_a_difference_of_means(n_cells):
    control = np.random.default_rng(4).normal(size=(100, 4))
    changes = null_changes(control, n_cells, 4_000, 0)
    expected = control.var(axis=0, ddof=1) * (1 / n_cells + 1 / 100)
    assert_allclose(changes.var(axis=0), expected, rtol=0.1)
    assert_allclose(changes.mean(axis=0), 0.0, atol=4 * np.sqrt(expected.max() / 4_000))


def test_targets_do_not_count():
    effects = np.arange(1.0, 9.0).reshape(2, 4)
    found = without_targets(effects, [["a", "c"], ["x"]], ["a", "b", "c", "d"])
    assert_allclose(found, [[0, 2, 0, 4], [5, 6, 7, 8]])
    assert without_targets(np.empty((0, 4)), [], ["a", "b", "c", "d"]).shape == (0, 4)
