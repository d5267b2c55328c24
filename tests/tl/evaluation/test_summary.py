"""Means over knockouts and their intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from dko.tl.evaluation._scores import MEASUREMENT, summarise

RNG = np.random.default_rng(0)


def summary(n_bootstrap=200, chosen=None, **methods):
    """Summarise the columns of methods; sizes are measured as 0, 1, 2 ... and predicted at random."""
    n = len(next(iter(methods["model"].values())))
    tables = {name: pd.DataFrame({"size": RNG.normal(size=n), "impact": np.nan} | one) for name, one in methods.items()}
    scores = {**tables, MEASUREMENT: pd.DataFrame({"size": np.arange(n, dtype=float), "ceiling": np.ones(n)})}
    which = np.ones(n, dtype=bool) if chosen is None else chosen
    return summarise(scores, which, n_bootstrap, RNG).set_index(["method", "metric"])


@pytest.mark.parametrize("n", [4, 40])
def test_intervals_cover_the_mean_as_often_as_they_say(n):
    metrics = {f"metric_{number}": RNG.normal(size=n) for number in range(800)}
    found = summary(300, model=metrics).loc["model"].loc[list(metrics)]
    assert 0.9 < ((found["low"] < 0) & (found["high"] > 0)).mean() < 0.98


def test_gain_is_of_the_same_knockouts():
    """Knockouts differ by far more than the methods do."""
    other = 10 * RNG.normal(size=12)
    model = other + RNG.normal(0.5, 0.1, 12)
    found = summary(model={"pearson": model}, other={"pearson": other}).loc[("other", "pearson")]
    assert found["gain"] == pytest.approx(np.mean(model - other))
    assert 0 < found["gain_low"] < found["gain"] < found["gain_high"] < 1 < found["high"] - found["low"]
    rows = summary(model={"pearson": model}, other={"pearson": other}).loc[["model", MEASUREMENT]]
    assert rows[["gain", "gain_low", "gain_high"]].isna().all(axis=None)


def test_only_what_is_known_counts():
    values = np.array([0.2, np.nan, 0.4, 9.0])
    row = summary(model={"auroc": values}, chosen=np.arange(4) < 3).loc[("model", "auroc")]
    assert row["mean"] == pytest.approx(0.3) and row["n_perturbations"] == 2
    row = summary(model={"auroc": values}, chosen=np.arange(4) < 2).loc[("model", "auroc")]
    assert row["mean"] == 0.2 and np.isnan(row["low"]) and row["n_perturbations"] == 1
    row = summary(model={"auroc": values[[1, 1]]}).loc[("model", "auroc")]
    assert np.isnan(row["mean"]) and row["n_perturbations"] == 0


def test_ranking_of_sizes():
    size = np.arange(8.0)
    found = summary(model={"size": 7 * size}, other={"size": -size}).xs("impact_ranking", level="metric")
    assert found.loc["model", ["mean", "low", "high"]].tolist() == pytest.approx([1, 1, 1])
    assert found.loc["other", ["mean", "gain", "gain_low", "gain_high"]].tolist() == pytest.approx([-1, 2, 2, 2])
    few = summary(model={"size": size[:4]}).loc[("model", "impact_ranking")]
    assert few["mean"] == pytest.approx(1) and np.isnan(few["low"])
    same = summary(model={"size": 0 * size}).loc[("model", "impact_ranking")]
    assert np.isnan(same["mean"]) and same["n_perturbations"] == 8
