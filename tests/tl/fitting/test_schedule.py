from __future__ import annotations

import pytest

from dko.tl.fitting._schedule import schedule


def test_paper():
    paper = schedule("paper")
    assert (paper.batch_size, paper.learning_rate, paper.max_steps, paper.validate_every) == (20, 0.01, 5000, 1)
    assert paper.max_epochs is None and paper.patience is None and paper.reductions == 0


def test_what_is_given_goes_first():
    chosen = schedule("paper", batch_size=7, patience=3, learning_rate=None)
    assert (chosen.batch_size, chosen.patience, chosen.learning_rate) == (7, 3, 0.01)


def test_epochs_instead_of_the_steps_of_a_preset_and_the_other_way_round():
    assert schedule("paper", max_epochs=3).n_steps(400) == 60
    assert schedule(None, max_steps=17).n_steps(100_000) == 17
    assert schedule(None, max_steps=17, max_epochs=1).n_steps(64) == 1


@pytest.mark.parametrize("name", ["batch_size", "learning_rate", "max_epochs", "max_steps", "patience"])
@pytest.mark.parametrize("value", [0, -1])
def test_nothing_at_or_below_zero(name, value):
    with pytest.raises(ValueError, match=f"{name}={value} must be .*above 0"):
        schedule(None, **{name: value})
