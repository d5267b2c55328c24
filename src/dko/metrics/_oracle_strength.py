"""The strength with which a prediction fits best, found by looking at the answer."""

from __future__ import annotations

import numpy as np

from .._core.verb import verb
from ._error import mse


@verb
def oracle_strength(effects: np.ndarray, measured: np.ndarray, *, strengths: np.ndarray) -> float:
    """Find the strength at which the predicted effect is closest to the measured one.

    This sees the truth: it fits a number to the very cells that a prediction is then scored on, and whatever is scored
    with it is an upper bound for the direction of an effect, not a prediction. The publication of the model chose the
    strengths of unseen perturbations so, by the same error. No model takes what this returns.

    Parameters
    ----------
    effects
        Predicted effect at each strength, strengths x genes.
    measured
        Shape (genes,); genes that are NaN in either are left out.
    strengths
        Shape (strengths,), such as -1.0, -0.9, ... 3.0.

    Returns
    -------
    The one of `strengths` with the smallest mean squared error, the first of equal ones; NaN if no gene is known.

    Raises
    ------
    ValueError
        Other numbers of strengths than of effects.
    """
    if len(strengths) != len(effects) or not len(effects):
        raise ValueError(f"Every strength needs an effect; got {len(strengths)} strengths and {len(effects)} effects.")
    errors = np.array([mse(effect, measured) for effect in effects])
    return float(np.asarray(strengths)[np.nanargmin(errors)]) if np.isfinite(errors).any() else np.nan
