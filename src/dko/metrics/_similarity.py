"""Whether predictions for different knockouts differ."""

from __future__ import annotations

import numpy as np
import pandas as pd

from .._core.verb import verb
from ._correlation import is_constant
from ._pairs import between


@verb
def similarity(effects: np.ndarray) -> np.ndarray:
    """Mean rank correlation of the sizes of each effect with those of all others.

    Near 1, a method says the same of every knockout. Read it beside that of the measured effects.

    Parameters
    ----------
    effects
        Knockouts x genes; NaN at the genes that were knocked out, which are left out of both sides of a pair.

    Returns
    -------
    float64, shape (knockouts,): of each effect, the mean over the others of Spearman's correlation (of the ranks within
    each) of absolute values. NaN for an effect that is constant or NaN, and where there is no other.
    """
    varies = np.array([not is_constant(row) for row in effects], dtype=bool)
    found = np.full(len(effects), np.nan)
    if varies.sum() < 2:
        return found
    ranks = pd.DataFrame(np.abs(effects[varies])).rank(axis=1).to_numpy()
    pairs = between(ranks, ranks)
    np.fill_diagonal(pairs, 0.0)
    found[varies] = pairs.sum(axis=1) / (len(pairs) - 1)
    return found
