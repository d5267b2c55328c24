"""Means of scores over knockouts, and how sure they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..._core import keys
from ...metrics import scaled
from ._scores import MEASUREMENT, REPLICATE

if TYPE_CHECKING:
    from collections.abc import Callable

# Flags, and values in which the methods are ranked, whose mean is no score.
_NOT_AVERAGED = ("reliable", "predictable", "trained", "impact", "size")
# A bootstrap over fewer knockouts makes intervals that are too narrow; Student's t does not.
_MIN_BOOTSTRAP = 30
# With fewer, resamples of ranks are mostly ties.
_MIN_RANKED = 5
_ENDS = [0.025, 0.975]

Interval = tuple[float, float, float]


def summarise(
    scores: dict[str, pd.DataFrame], chosen: np.ndarray, n_bootstrap: int, rng: np.random.Generator
) -> pd.DataFrame:
    """Average over the chosen knockouts: a row per method and metric, with 95 % intervals.

    ``gain`` is what the model has more than the method, from the same knockouts; ``scaled`` is the mean from no change,
    0, to a replicate, 1.
    """
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
            row = (_averaged(values, draws), _averaged(gain, draws), int(np.isfinite(values).sum()))
            rows.append((method, metric, *row))
        if method != MEASUREMENT:
            values, others = table["size"].to_numpy()[chosen], model["size"].to_numpy()
            gain = _ranked(others, size, draws, values) if compared else (np.nan,) * 3
            row = (_ranked(values, size, draws), gain, int(np.isfinite(values).sum()))
            rows.append((method, "impact_ranking", *row))
    names = ["mean", "low", "high", "gain", "gain_low", "gain_high"]
    records = [
        {"method": method, "metric": metric, **dict(zip(names, mean + gain, strict=True)), "n_perturbations": known}
        for method, metric, mean, gain, known in rows
    ]
    return _with_scale(pd.DataFrame(records))


def _with_scale(summary: pd.DataFrame) -> pd.DataFrame:
    """Add where each mean is between those of no change and of a replicate; NaN where these have no such metric."""
    means = summary.pivot(index="method", columns="metric", values="mean").reindex(["no change", REPLICATE])
    low, high = (row.reindex(summary["metric"]).to_numpy(dtype=float) for _, row in means.iterrows())
    # Upside down, an error is a score.
    sign = np.where(summary["metric"].isin(keys.LOWER_IS_BETTER), -1.0, 1.0)
    found = scaled(sign * summary["mean"], baseline=sign * low, replicate=sign * high)
    return summary.assign(scaled=np.where(summary["method"] == MEASUREMENT, np.nan, found))


def _averaged(values: np.ndarray, draws: np.ndarray) -> Interval:
    """Return the mean of what is known and its interval, by Student where that is little, else by resampling."""
    from scipy.special import stdtrit

    known = values[np.isfinite(values)]
    n = len(known)
    if not n:
        return np.nan, np.nan, np.nan
    mean = float(known.mean())
    # An interval from one knockout would be a point.
    if n == 1:
        return mean, np.nan, np.nan
    if n < _MIN_BOOTSTRAP:
        half = float(stdtrit(n - 1, _ENDS[1]) * known.std(ddof=1) / np.sqrt(n))
        return mean, mean - half, mean + half
    return mean, *_ends(_means(values[draws]))


def _ranked(values: np.ndarray, size: np.ndarray, draws: np.ndarray, less: np.ndarray | None = None) -> Interval:
    """Return the rank correlation with the measured size and its interval; of `less`, subtract its own."""

    def found(pick: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        own = _rank_correlation(pick(values), pick(size))
        return own if less is None else own - _rank_correlation(pick(less), pick(size))

    mean = float(found(lambda one: one[None])[0])
    if not np.isfinite(mean) or len(values) < _MIN_RANKED:
        return mean, np.nan, np.nan
    return mean, *_ends(found(lambda one: one[draws]))


def _ends(replicates: np.ndarray) -> tuple[float, float]:
    known = replicates[np.isfinite(replicates)]
    low, high = np.quantile(known, _ENDS) if len(known) else (np.nan, np.nan)
    return float(low), float(high)


def _means(values: np.ndarray) -> np.ndarray:
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
