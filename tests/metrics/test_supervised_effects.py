from __future__ import annotations

import numpy as np
import pytest

import dko
from dko.metrics._supervised_effects import mean_effect


@pytest.fixture
def world():
    """Effects that are linear in features and noise: 20 training perturbations and 10 others, of 50 genes."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(30, 4))
    effects = 1 + features @ rng.normal(size=(4, 50)) + rng.normal(scale=0.1, size=(30, 50))
    return effects[:20], features[:20], features[20:], effects[20:]


def error(found, truth):
    return float(np.square(found - truth).mean())


def test_mean_effect_leaves_out_what_is_unknown():
    effects = np.array([[np.nan, 1.0, 2.0], [4.0, 3.0, np.nan], [2.0, np.nan, np.nan]])
    np.testing.assert_array_equal(mean_effect(effects), [3, 2, 2])
    found = dko.metrics.supervised_effects(effects, np.eye(3), wanted=np.ones((2, 3)))
    np.testing.assert_array_equal(found["mean effect"], [[3, 2, 2]] * 2)
    assert np.isnan(mean_effect(np.array([[1.0, np.nan]]))).tolist() == [False, True]


def test_ridge_finds_what_is_linear(world):
    effects, features, wanted, truth = world
    found = dko.metrics.supervised_effects(effects, features, wanted=wanted)
    assert error(found["ridge"], truth) < 0.03 < error(found["nearest"], truth) < error(found["mean effect"], truth)


def test_ridge_falls_back_on_the_mean_where_features_tell_nothing(world):
    effects, _, _, truth = world
    rng = np.random.default_rng(1)
    found = dko.metrics.supervised_effects(effects, rng.normal(size=(20, 30)), wanted=rng.normal(size=(10, 30)))
    assert error(found["ridge"], truth) < 1.3 * error(found["mean effect"], truth) < error(found["nearest"], truth)
    blind = dko.metrics.supervised_effects(effects, np.ones((20, 2)), wanted=np.ones((10, 2)))
    np.testing.assert_array_equal(blind["ridge"], blind["mean effect"])


def test_own_genes_say_nothing(world):
    """Whatever was measured at the perturbed gene itself, NaN or not told, no prediction changes."""
    effects, features, wanted, _ = world
    hidden = effects.copy()
    hidden[np.arange(20), np.arange(20)] = np.nan
    found = dko.metrics.supervised_effects(hidden, features, wanted=wanted)
    assert all(np.isfinite(one).all() for one in found.values())
    nearest = dko.metrics.supervised_effects(hidden, features, wanted=features)["nearest"]
    np.testing.assert_allclose(np.diag(nearest[:, :20]), mean_effect(hidden)[:20])
    np.testing.assert_array_equal(nearest[:, 20:], effects[:, 20:])


def test_nearest_is_by_the_angle(world):
    effects, features, _, _ = world
    found = dko.metrics.supervised_effects(effects, features, wanted=7 * features[[3, 11]])
    np.testing.assert_array_equal(found["nearest"], effects[[3, 11]])


def test_a_gene_that_nobody_tells_of_is_unknown(world):
    effects, features, wanted, _ = world
    effects = effects.copy()
    effects[:, 5] = np.nan
    found = dko.metrics.supervised_effects(effects, features, wanted=wanted)
    for one in found.values():
        assert np.isnan(one[:, 5]).all() and np.isfinite(np.delete(one, 5, axis=1)).all()


def test_one_training_perturbation_is_what_there_is(world):
    effects, features, wanted, _ = world
    found = dko.metrics.supervised_effects(effects[:1], features[:1], wanted=wanted)
    for one in found.values():
        np.testing.assert_array_equal(one, np.tile(effects[0], (10, 1)))


def test_shapes_are_checked(world):
    effects, features, wanted, _ = world
    for of in (
        (effects[:0], features[:0], wanted),
        (effects, features[:3], wanted),
        (effects, features, wanted[:, :2]),
    ):
        with pytest.raises(ValueError, match="There have to be training perturbations, each with as many features"):
            dko.metrics.supervised_effects(*of[:2], wanted=of[2])
