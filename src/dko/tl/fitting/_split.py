"""Which cells train, validate, test or stay out of a fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..._core import keys

if TYPE_CHECKING:
    from collections.abc import Mapping


def check_fractions(validation_fraction: float, test_fraction: float) -> None:
    """Refuse fractions that leave nothing to train or to validate on."""
    if not 0 < validation_fraction < 1 or not 0 <= test_fraction < 1:
        raise ValueError(
            f"validation_fraction={validation_fraction} must lie between 0 and 1 (both excluded) and "
            f"test_fraction={test_fraction} must be at least 0 and below 1."
        )


def split_cells(
    groups: Mapping[str, np.ndarray],
    n_cells: int,
    validation_fraction: float,
    test_fraction: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Deal the cells of each group out at random; cells of no group are unused.

    The test cells are a fraction of all, the validation cells a fraction of the rest, as in the reference.
    """
    split = np.full(n_cells, keys.UNUSED, dtype=object)
    for rows in groups.values():
        if len(rows) - round(test_fraction * len(rows)) < 2:
            raise ValueError(
                f"test_fraction={test_fraction} of {len(rows)} cells leaves fewer than 2 to train and to validate on; "
                "lower it."
            )
        shuffled = rng.permutation(rows)
        n_test = round(test_fraction * len(rows))
        n_validation = min(max(1, round(validation_fraction * (len(rows) - n_test))), len(rows) - n_test - 1)
        split[shuffled] = keys.TRAIN
        split[shuffled[:n_test]] = keys.TEST
        split[shuffled[n_test : n_test + n_validation]] = keys.VALIDATION
    return split


def validations(
    groups: Mapping[str, np.ndarray], split: np.ndarray, n_members: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Return the validation cells of each member: those of the split, and for others as many of each group in turn.

    Which cells train matters more than all other chance. No cell validates twice before all of its group have once.
    """
    found: list[list[np.ndarray]] = [[] for _ in range(n_members)]
    for rows in groups.values():
        own, rest = (rows[split[rows] == part] for part in (keys.VALIDATION, keys.TRAIN))
        order = np.concatenate([own, rng.permutation(rest)])
        for member, parts in enumerate(found):
            parts.append(np.take(order, np.arange(len(own)) + member * len(own), mode="wrap"))
    return [np.concatenate(parts) for parts in found]
