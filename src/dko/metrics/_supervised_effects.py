"""The baselines that a prediction of unseen perturbations has to beat."""

from __future__ import annotations

import numpy as np

from .._core.verb import verb

# Penalties of the ridge that it chooses from, for features of standard deviation 1.
_PENALTIES = np.logspace(-2, 6, 25)
# With fewer perturbations nothing can be left out.
_FEWEST = 3


@verb
def supervised_effects(effects: np.ndarray, features: np.ndarray, *, wanted: np.ndarray) -> dict[str, np.ndarray]:
    """Predict perturbations from the measured effects of others.

    Parameters
    ----------
    effects
        Measured effects of training perturbations, perturbations x genes; NaN at the perturbed genes themselves, which
        say nothing of others: for these, the mean of the other perturbations stands in.
    features
        Of the training perturbations, perturbations x features; those of several genes are summed.
    wanted
        Features of the perturbations to predict, n x features.

    Returns
    -------
    Effects, n x genes, float64, by the name of the baseline; NaN at genes that no training perturbation tells of.

    ``mean effect``
        The mean of the training effects, the same for all.
    ``ridge``
        That, and a ridge regression of the effects on the features, its penalty by leaving one perturbation out, one
        for all genes; with fewer than 3 training perturbations, the mean effect.
    ``nearest``
        The effect of the training perturbation whose features are most similar, by their cosine.

    Raises
    ------
    ValueError
        No training perturbation, or other numbers of features.
    """
    if not len(effects) or len(effects) != len(features) or features.shape[1] != wanted.shape[1]:
        raise ValueError(
            "There have to be training perturbations, each with as many features as those to predict; got effects of "
            f"shape {effects.shape}, features of {features.shape} and wanted ones of {wanted.shape}."
        )
    mean = mean_effect(effects)
    filled = np.where(np.isfinite(effects), effects, mean)
    return {
        "mean effect": np.tile(mean, (len(wanted), 1)),
        "ridge": _ridge(filled, mean, features, wanted),
        "nearest": filled[(_unit(wanted) @ _unit(features).T).argmax(axis=1)],
    }


def mean_effect(effects: np.ndarray) -> np.ndarray:
    """Return the mean over perturbations of what is known of each gene (genes,); NaN where nothing is."""
    known = np.isfinite(effects)
    n = known.sum(axis=0)
    total = np.where(known, effects, 0.0).sum(axis=0)
    return np.divide(total, n, out=np.full(effects.shape[1], np.nan), where=n > 0)


def _ridge(effects: np.ndarray, mean: np.ndarray, features: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    from sklearn.linear_model import RidgeCV

    known = np.isfinite(mean)
    found = np.tile(mean, (len(wanted), 1))
    varies = features.std(axis=0) > 0
    if len(effects) < _FEWEST or not known.any() or not varies.any():
        return found
    centre, scale = features[:, varies].mean(axis=0), features[:, varies].std(axis=0)
    train, test = ((one[:, varies] - centre) / scale for one in (features, wanted))
    deviations = effects[:, known] - mean[known]
    # With an intercept, whoever is left out is left out of the mean too: it would give the left-out one away.
    ridge = RidgeCV(alphas=_PENALTIES).fit(train, deviations)
    found[:, known] += ridge.predict(test).reshape(len(wanted), -1)
    return found


def _unit(features: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return np.divide(features, length, out=np.zeros(features.shape), where=length > 0)
