"""Tables of how well predictions fit measured knockouts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..metrics import correlation, direction, recovery, retrieval, similarity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._measured import Measurement

# The pseudo-method of what was measured.
MEASUREMENT = "measurement"
RELIABLE = 0.3
# Counts and flags, whose mean is no score.
_NOT_AVERAGED = ("reliable", "predictable", "impact")


def score(
    effects: np.ndarray,
    impacts: np.ndarray,
    measured: Sequence[Measurement],
    chosen: np.ndarray,
    expression: np.ndarray,
) -> pd.DataFrame:
    """Score the predictions of one method (knockouts x genes): a row per knockout, a column per metric.

    Knockouts are told apart among the `chosen` ones only: next to effects that are noise, a prediction that is the same
    for all would not be at chance.
    """
    truth = np.array([one.effect for one in measured])
    rows = []
    for predicted, one in zip(effects, measured, strict=True):
        signs = {
            f"direction_{n}": direction(predicted, one.effect_elsewhere, changed=one.changed, n_genes=n)
            for n in (20, 50)
        }
        rows.append(
            {
                "pearson": correlation(predicted, one.effect),
                "spearman": correlation(predicted, one.effect, method="spearman"),
                **signs,
                **recovery(predicted, one.changed, expression=expression),
            }
        )
    table = pd.DataFrame(rows)
    for name, centred in (("retrieval", False), ("retrieval_centred", True)):
        table[name] = _among(chosen, retrieval(effects[chosen], truth[chosen], centred=centred))
    table["similarity"] = _among(chosen, similarity(effects[chosen]))
    table["impact"] = impacts
    return table


def _among(chosen: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Put values where the chosen knockouts are."""
    found = np.full(len(chosen), np.nan)
    found[chosen] = values
    return found


def score_measurement(measured: Sequence[Measurement], effects: np.ndarray) -> pd.DataFrame:
    """Return what is known of the measurement itself; `effects` are those that the model predicts."""
    truth = np.array([one.effect for one in measured])
    n_changed = np.array([one.changed.sum() for one in measured])
    ceilings = np.array([one.ceiling for one in measured])
    table = pd.DataFrame(
        {
            "n_cells": [one.n_cells for one in measured],
            "n_changed": n_changed,
            "base_rate": n_changed / np.isfinite(truth).sum(axis=1),
            "ceiling": ceilings,
            "reliable": ceilings > RELIABLE,
            "predictable": np.isfinite(effects).any(axis=1),
            "impact": [one.size for one in measured],
        },
        dtype=np.float64,
    )
    chosen = counted(table)
    table["similarity"] = _among(chosen, similarity(truth[chosen]))
    return table


def counted(measurement: pd.DataFrame) -> np.ndarray:
    """Return which knockouts a summary is over, as a mask: the reliable ones, or all where none is."""
    predictable = measurement["predictable"].to_numpy(dtype=bool)
    reliable = predictable & measurement["reliable"].to_numpy(dtype=bool)
    return reliable if reliable.any() else predictable


def summarise(
    scores: dict[str, pd.DataFrame], chosen: np.ndarray, n_bootstrap: int, rng: np.random.Generator
) -> pd.DataFrame:
    """Average over the chosen knockouts, with percentile intervals of a bootstrap over them: a row per mean."""
    n = int(chosen.sum())
    # The same draws for all methods.
    draws = rng.integers(max(n, 1), size=(n_bootstrap, n))
    size = scores[MEASUREMENT]["impact"].to_numpy()[chosen]
    rows = []
    for method, table in scores.items():
        for metric, column in table.items():
            values = column.to_numpy()[chosen]
            if metric not in _NOT_AVERAGED:
                rows.append(_row(method, metric, _mean(values[None, :])[0], _mean(values[draws]), n))
        if method != MEASUREMENT:
            values = table["impact"].to_numpy()[chosen]
            ranked = _rank_correlation(values[draws], size[draws])
            rows.append(_row(method, "impact_ranking", _rank_correlation(values[None], size[None])[0], ranked, n))
    return pd.DataFrame(rows)


def _row(method: str, metric: str, mean: float, replicates: np.ndarray, n: int) -> dict[str, object]:
    known = replicates[np.isfinite(replicates)]
    # An interval from one knockout would be a point.
    defined = n > 1 and np.isfinite(mean) and len(known) > 0
    low, high = np.quantile(known, [0.025, 0.975]) if defined else (np.nan, np.nan)
    return {"method": method, "metric": metric, "mean": mean, "low": low, "high": high, "n_perturbations": n}


def _mean(values: np.ndarray) -> np.ndarray:
    """Return the mean of each row over what is known."""
    known = np.isfinite(values)
    n = known.sum(axis=1)
    return np.divide(np.where(known, values, 0.0).sum(axis=1), n, out=np.full(len(values), np.nan), where=n > 0)


def _rank_correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return Spearman's correlation of each row of `a` with that of `b`; NaN where it is not defined."""
    from scipy.stats import rankdata

    if a.shape[1] < 3 or not np.isfinite(a).all():
        return np.full(len(a), np.nan)
    a, b = (rankdata(values, axis=1) - (values.shape[1] + 1) / 2 for values in (a, b))
    scale = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return np.divide((a * b).sum(axis=1), scale, out=np.full(len(a), np.nan), where=scale > 0)
