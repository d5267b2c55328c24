"""Random numbers: whatever a user passes as ``rng`` becomes numpy generators and torch seeds."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from ._core.messages import shown

RNG: TypeAlias = int | np.random.SeedSequence | np.random.Generator | None


def generator(rng: RNG) -> np.random.Generator:
    """Return a numpy generator: the one given, or a new one from a seed."""
    require_rng(rng)
    return np.random.default_rng(rng)


def require_rng(rng: RNG) -> None:
    """Refuse what no random numbers can be drawn with."""
    seed = isinstance(rng, int | np.integer) and not isinstance(rng, bool) and rng >= 0
    if not (rng is None or seed or isinstance(rng, np.random.SeedSequence | np.random.Generator)):
        raise ValueError(
            f"rng={shown(rng)} must be a whole number from 0 on, a numpy Generator or SeedSequence, or None."
        )


def seed_of(rng: RNG) -> int:
    """Return one seed for draws that are to be the same again and again: a number itself, or one drawn from ``rng``."""
    return int(rng) if isinstance(rng, int | np.integer) else torch_seed(generator(rng))


def torch_seed(rng: np.random.Generator) -> int:
    """Draw a seed for torch, so that one ``rng`` decides every number of a run."""
    return int(rng.integers(2**63))
