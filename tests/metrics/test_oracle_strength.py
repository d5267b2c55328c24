from __future__ import annotations

import inspect

import numpy as np
import pytest

import dko

GRID = np.linspace(-1, 3, 41)


def test_the_strength_that_was_there_is_found():
    effect = np.random.default_rng(0).normal(size=30)
    for strength in (-0.5, 0.0, 1.7):
        found = dko.metrics.oracle_strength(np.outer(GRID, effect), strength * effect, strengths=GRID)
        assert found == pytest.approx(strength)


def test_unknown_genes_do_not_count():
    effect = np.array([1.0, 2.0, -1.0])
    measured = np.array([2.0, 4.0, np.nan])
    grid = np.outer(GRID, effect)
    grid[:, 2] += 100
    assert dko.metrics.oracle_strength(grid, measured, strengths=GRID) == pytest.approx(2)
    assert np.isnan(dko.metrics.oracle_strength(grid, np.full(3, np.nan), strengths=GRID))


def test_every_strength_needs_an_effect():
    with pytest.raises(ValueError, match="Every strength needs an effect; got 41 strengths and 3 effects"):
        dko.metrics.oracle_strength(np.zeros((3, 5)), np.zeros(5), strengths=GRID)
    with pytest.raises(ValueError, match="got 0 strengths and 0 effects"):
        dko.metrics.oracle_strength(np.zeros((0, 5)), np.zeros(5), strengths=GRID[:0])


def test_nothing_else_takes_the_answer():
    """Whatever predicts has no parameter through which measured effects could enter."""
    for verb in (dko.tl.virtual_ko, dko.tl.fit):
        assert not {"measured", "truth", "oracle"} & set(inspect.signature(verb).parameters)
