from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from dko.models.sccvae import fit_ensemble

# The fits below have cells of their own.
CELLS: Any = ("training", "validation")


def rng():
    return np.random.default_rng(5)


@pytest.fixture
def fit_one(fitted):
    """A fit of a few steps, given random numbers."""

    def run(training, validation, *, rng, label):
        assert (training, validation) == CELLS
        return fitted(seed=rng, max_steps=10)

    return run


def stopped_at(number, fit_one, *, before_validation):
    """Return the same, which the user stops at one of the members."""
    from dataclasses import replace

    calls = []

    def run(*cells, rng, label):
        calls.append(label)
        if len(calls) < number:
            return fit_one(*cells, rng=rng, label=label)
        if before_validation:
            raise KeyboardInterrupt
        model, trained = fit_one(*cells, rng=rng, label=label)
        return model, replace(trained, interrupted=True)

    return run


def test_the_first_members_of_more_are_those_of_fewer(fit_one):
    genes = np.arange(40)
    one, history = fit_ensemble(fit_one, [CELLS], rng())
    two, histories = fit_ensemble(fit_one, [CELLS] * 2, rng())
    assert torch.equal(one.members[0].shifts(genes), two.members[0].shifts(genes))
    assert not torch.equal(two.members[0].shifts(genes), two.members[1].shifts(genes))
    assert "member" not in history
    first = histories[histories["member"] == "1"].drop(columns="member").reset_index(drop=True)
    assert first.equals(history) and set(histories["member"]) == {"1", "2"}


@pytest.mark.parametrize("before_validation", [True, False])
def test_what_the_user_stops_leaves_whole_members(before_validation, fit_one, caplog):
    found, history = fit_ensemble(stopped_at(3, fit_one, before_validation=before_validation), [CELLS] * 4, rng())
    assert len(found.members) == 2 and set(history["member"]) == {"1", "2"}
    assert "Stopped by the user: the model has 2 of 4 members: those that were trained to the end." in caplog.text


def test_the_first_member_is_kept_as_far_as_it_came(fit_one, caplog):
    found, _ = fit_ensemble(stopped_at(1, fit_one, before_validation=False), [CELLS] * 3, rng())
    assert len(found.members) == 1 and "1 of 3 members: the first, as far as it came." in caplog.text
    with pytest.raises(KeyboardInterrupt):
        fit_ensemble(stopped_at(1, fit_one, before_validation=True), [CELLS] * 3, rng())
