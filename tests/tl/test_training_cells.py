from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dko.models.fitting import TrainingCells
from dko.models.sccvae.model import validations
from dko.tl._training_cells import split_cells


def split(sizes, validation=0.2, test=0.0, seed=0):
    ends = np.cumsum([0, *sizes])
    groups = {str(i): np.arange(a, b) for i, (a, b) in enumerate(zip(ends, ends[1:], strict=False))}
    return split_cells(groups, ends[-1] + 3, validation, test, np.random.default_rng(seed)), groups


def test_shares_of_each_group():
    parts_of, groups = split([50, 100], validation=0.25, test=0.2)
    for rows, n in zip(groups.values(), (50, 100), strict=True):
        assert {name: (parts_of[rows] == name).sum() / n for name in ("train", "validation", "test")} == {
            "train": 0.6,
            "validation": 0.2,
            "test": 0.2,
        }
    assert (parts_of[150:] == "unused").all()


@given(n=st.integers(5, 40), validation=st.floats(0.001, 0.999), test=st.floats(0, 0.999), seed=st.integers(0, 9))
def test_there_is_always_something_to_train_and_to_validate_on(n, validation, test, seed):
    if n - round(test * n) < 2:
        with pytest.raises(ValueError, match=r"leaves fewer than 2 to train and to validate on; lower it\.$"):
            split([n], validation, test, seed)
        return
    parts_of, _ = split([n], validation, test, seed)
    counts = {name: (parts_of[:n] == name).sum() for name in ("train", "validation", "test")}
    assert sum(counts.values()) == n
    assert counts["train"] >= 1 and counts["validation"] >= 1 and counts["test"] == round(test * n)


@given(sizes=st.lists(st.integers(2, 20), min_size=1, max_size=4), share=st.floats(0.05, 0.95), n=st.integers(1, 5))
def test_every_member_validates_on_others(sizes, share, n):
    """As many cells of each group; none twice before all that train or validate have had their turn."""
    parts_of, groups = split(sizes, share)
    cells: Any = TrainingCells(None, [], False, groups, parts_of)
    found = validations(cells, n, np.random.default_rng(1))
    assert len(found) == n and set(found[0]) == set(np.flatnonzero(parts_of == "validation"))
    for rows in groups.values():
        parts = [set(rows) & set(of_member) for of_member in found]
        assert len({len(part) for part in parts}) == 1 and len(parts[0]) < len(rows)
        turns = np.bincount([row - rows[0] for part in parts for row in part], minlength=len(rows))
        assert turns.max() - turns.min() <= 1
