"""Tables of how well predictions fit measured knockouts, and their means with intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..._core import keys
from ...metrics import (
    calibration_slope,
    correlation,
    direction,
    direction_fidelity,
    direction_reach,
    jaccard,
    mse,
    recovery,
    relative_error,
    retrieval,
    similarity,
)
from ...metrics._effects import of_whole
from ._measured import Measurement
from ._methods import Predicted

# The pseudo-methods of what was measured, and of one half of the cells as a prediction of the other.
MEASUREMENT, REPLICATE = "measurement", "replicate"
_RELIABLE = 0.3
# Flags, and values in which the methods are ranked, whose mean is no score.
_NOT_AVERAGED = ("reliable", "predictable", "trained", "impact", "size")
# A bootstrap over fewer knockouts makes intervals that are too narrow; Student's t does not.
_MIN_BOOTSTRAP = 30
# With fewer, resamples of ranks are mostly ties.
_MIN_RANKED = 5
_ENDS = [0.025, 0.975]

Interval = tuple[float, float, float]


def score(
    method: Predicted,
    measured: Sequence[Measurement],
    chosen: np.ndarray,
    expression: np.ndarray,
    centre: np.ndarray | None = None,
) -> pd.DataFrame:
    """Score predictions of one method, knockouts x metrics; retrieval is among the `chosen`; `centre` is subtracted."""
    effects, truth = method.effects, np.array([one.effect for one in measured])
    table = pd.DataFrame([_score_one(*pair, expression) for pair in zip(effects, measured, strict=True)])
    if not method.sized:
        table[["calibration_slope", "relative_error", "mse", "mse_corrected"]] = np.nan
    if centre is not None:
        pairs = zip(effects - centre, truth - centre, strict=True)
        table["pearson_centred"] = [correlation(*pair) for pair in pairs]
    among = effects[chosen], truth[chosen]
    table.loc[chosen, "retrieval"] = retrieval(*among)
    table.loc[chosen, "retrieval_centred"] = retrieval(*among, centred=True)
    table.loc[chosen, "retrieval_cosine"] = retrieval(*among, cosine=True)
    table.loc[chosen, "similarity"] = similarity(effects[chosen])
    table["impact"], table["size"] = method.impacts, method.sizes
    return table


def _score_one(predicted: np.ndarray, measured: Measurement, expression: np.ndarray) -> dict[str, float]:
    """Return what one prediction scores by itself."""
    truth, elsewhere, changed = measured.effect, measured.effect_elsewhere, measured.changed
    return {
        "pearson": correlation(predicted, truth),
        "spearman": correlation(predicted, truth, method="spearman"),
        "calibration_slope": calibration_slope(predicted, truth),
        "relative_error": relative_error(predicted, truth),
        "mse": mse(predicted, truth),
        "mse_corrected": mse(predicted, truth, noise=measured.noise),
        **{f"direction_{n}": direction(predicted, elsewhere, changed=changed, n_genes=n) for n in (20, 50)},
        "direction_fidelity": direction_fidelity(predicted, elsewhere, changed=changed),
        "direction_reach": direction_reach(predicted, elsewhere, changed=changed),
        **recovery(predicted, changed, expression=expression),
        "jaccard": jaccard(predicted, changed),
    }


def score_replicate(
    measured: Sequence[Measurement], chosen: np.ndarray, expression: np.ndarray, centre: np.ndarray | None = None
) -> pd.DataFrame:
    """Score one half of the cells as a prediction of the other, with the arguments of :func:`score`."""
    first, second = np.array([one.halves for one in measured]).transpose(1, 0, 2)
    # Both halves are noisy, each twice as much as the whole.
    others = [
        one._replace(effect=half, effect_elsewhere=half, noise=4 * one.noise)
        for one, half in zip(measured, second, strict=True)
    ]
    unknown = np.full(len(measured), np.nan)
    return score(Predicted(first, unknown, unknown), others, chosen, expression, centre)


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
            "ceiling_whole": of_whole(ceilings),
            "reliable": ceilings > _RELIABLE,
            "predictable": np.isfinite(effects).any(axis=1),
            "size": [one.size for one in measured],
            "mse": [one.noise for one in measured],
        },
        dtype=np.float64,
    )
    chosen = counted(table)
    table.loc[chosen, "similarity"] = similarity(truth[chosen])
    return table


def counted(measurement: pd.DataFrame) -> np.ndarray:
    """Return which knockouts a summary is over, as a mask: the reliable ones, or all where none is."""
    predictable = measurement["predictable"].to_numpy(dtype=bool)
    reliable = predictable & measurement["reliable"].to_numpy(dtype=bool)
    return reliable if reliable.any() else predictable


def summarise(
    scores: dict[str, pd.DataFrame], chosen: np.ndarray, n_bootstrap: int, rng: np.random.Generator
) -> pd.DataFrame:
    """Average over the chosen knockouts: a row per method and metric, with 95 % intervals."""
    # The same draws for all methods.
    draws = rng.integers(max(n := int(chosen.sum()), 1), size=(n_bootstrap, n))
    size = scores[MEASUREMENT]["size"].to_numpy()[chosen]
    model = scores["model"][chosen]
    rows = []
    for method, table in scores.items():
        compared = method not in ("model", MEASUREMENT, REPLICATE)
        for metric in table.columns.drop(list(_NOT_AVERAGED), errors="ignore"):
            values = table[metric].to_numpy()[chosen]
            gain = model[metric].to_numpy() - values if compared and metric in model else np.full(n, np.nan)
            rows.append((method, metric, *_averaged(values, draws), *_averaged(gain, draws), np.isfinite(values).sum()))
        if method != MEASUREMENT:
            values, others = table["size"].to_numpy()[chosen], model["size"].to_numpy()
            ranks = _ranked(values, size, draws), _ranked(others, size, draws, values if compared else values * np.nan)
            rows.append((method, "impact_ranking", *ranks[0], *ranks[1], np.isfinite(values).sum()))
    names = ["method", "metric", "mean", "low", "high", "gain", "gain_low", "gain_high", "n_perturbations"]
    return _with_scale(pd.DataFrame(rows, columns=names))


def _with_scale(summary: pd.DataFrame) -> pd.DataFrame:
    """Add where each mean is between those of no change and of a replicate; NaN where these have no such metric."""
    means = summary.pivot(index="method", columns="metric", values="mean").reindex(["no change", REPLICATE])
    low, high = (row.reindex(summary["metric"]).to_numpy(dtype=float) for _, row in means.iterrows())
    # Upside down, an error is a score.
    sign = np.where(summary["metric"].isin(keys.LOWER_IS_BETTER), -1.0, 1.0)
    span = pd.Series(sign * (high - low))
    found = sign * (summary["mean"] - low) / span.where(span > 0)
    return summary.assign(scaled=found.where(summary["method"] != MEASUREMENT))


def _averaged(values: np.ndarray, draws: np.ndarray) -> Interval:
    """Return the mean of what is known and its interval, by Student where that is little, else by resampling."""
    from scipy.special import stdtrit

    known = values[np.isfinite(values)]
    n = len(known)
    # An interval from one knockout would be a point.
    if n < 2:
        return known[0] if n else np.nan, np.nan, np.nan
    mean = known.mean()
    if n >= _MIN_BOOTSTRAP:
        return mean, *pd.DataFrame(values[draws]).mean(axis=1).quantile(_ENDS)
    half = stdtrit(n - 1, _ENDS[1]) * known.std(ddof=1) / np.sqrt(n)
    return mean, mean - half, mean + half


def _ranked(values: np.ndarray, size: np.ndarray, draws: np.ndarray, less: np.ndarray | None = None) -> Interval:
    """Return the rank correlation with the measured size and its interval; of `less`, subtract its own."""
    rows = np.vstack([np.arange(len(values)), draws])
    found = _rank_correlation(values[rows], size[rows])
    if less is not None:
        found = found - _rank_correlation(less[rows], size[rows])
    if not np.isfinite(found[0]) or len(values) < _MIN_RANKED:
        return found[0], np.nan, np.nan
    return found[0], *pd.Series(found[1:]).quantile(_ENDS)


def _rank_correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return Spearman's correlation of each row of `a` with that of `b`; NaN where it is not defined."""
    if a.shape[1] < 3 or not np.isfinite(a).all():
        return np.full(len(a), np.nan)
    first, second = (pd.DataFrame(values).rank(axis=1) for values in (a, b))
    return first.corrwith(second, axis=1).to_numpy()
