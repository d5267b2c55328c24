"""What the default should reach, said before it was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ._calibration import REAL, SIMULATED
from ._cells import PAPALEXI, quarter
from ._cells import RENGE as RENGE_CELLS
from ._dream4 import NAME as DREAM4
from ._interactions import NAMES as OF_PAIRS
from ._keystone import NAMES as KEYSTONES
from ._models import DEFAULT, MODELS, PAPER
from ._prior import MEASURED, REGULATED
from ._simulated import CLEAN, DEEP, NOISE
from ._specificity import NAME as REGULATORS
from ._types import FEW, SEVERAL
from ._unseen import APART, PAIRS, RENGE, SEEN

if TYPE_CHECKING:
    import pandas as pd

# No method without a model, but what a perfect one could reach.
REFERENCES = ("truth", "measurement", "replicate")


BASELINES = "the best baseline"


class Bar(NamedTuple):
    """A score that the default should reach: a limit, or a share of that of a rival (a model, or the best baseline)."""

    data: str
    metric: str
    limit: float = np.nan
    at_most: bool = False
    rival: str | None = None
    share: float = 1.0


_REAL = {"tal1": 0.27, "nkx21": 0.20, "renge": 0.08}

BARS = {
    "simulated": [
        *(Bar(CLEAN, metric, rival=PAPER) for metric in ("effect", "impact")),
        Bar(NOISE, "effect", 0.72),
        Bar(NOISE, "impact", 0.88),
        Bar(DEEP, "effect", 0.70),
        Bar(DEEP, "impact", 0.90),
    ],
    "types": [Bar(data, "effect_strong", rival=BASELINES, share=0.95) for data in (*SEVERAL, *FEW)],
    "prior": [Bar(data, "gain", -0.01) for data in (*REGULATED, *MEASURED)],
    "interactions": [Bar(next(iter(OF_PAIRS)), "interaction", 0.6)],
    "keystone": [Bar(KEYSTONES[setting], "impact", 0.90) for setting in (CLEAN, DEEP)],
    "essential": [],
    "calibration": [
        bar
        for data in (REAL, SIMULATED)
        for bar in (
            Bar(data, "off", 1.96, at_most=True),
            *(Bar(data, metric, 0.01) for metric in ("ks", "pair_ks")),
            Bar(data, "fdr", 0.05, at_most=True),
        )
    ],
    "dream4": [Bar(DREAM4, "effect", rival=rival) for rival in (PAPER, BASELINES)],
    "screens": [
        bar
        for data, limit in _REAL.items()
        for bar in (
            Bar(data, "pearson", limit),
            *(Bar(data, "pearson", rival=rival) for rival in (PAPER, BASELINES)),
        )
    ]
    + [Bar("papalexi", "pearson", rival=BASELINES)]
    + [Bar(data, "energy_distance", rival="no change", at_most=True) for data in ("tal1", "nkx21", "papalexi")],
    "unseen": [
        *(Bar(data, "pearson", rival=rival) for data in (RENGE, APART) for rival in ("mean effect", "ridge")),
        Bar(RENGE, "retrieval", 0.5),
        Bar(PAIRS, "pearson", rival="additive"),
        *(Bar(SEEN, metric, rival="no change", at_most=True) for metric in ("energy_distance", "mmd")),
    ],
    "cells": [
        bar
        for data in (RENGE_CELLS, PAPALEXI)
        for bar in (
            Bar(data, "energy_distance", quarter(data), at_most=True),
            *(Bar(data, "energy_distance", rival=rival, at_most=True) for rival in ("no change", "gaussian")),
            Bar(data, "gap", 1e-3, at_most=True),
        )
    ],
    "specificity": [
        Bar(REGULATORS, "auroc_direct", 0.95),
        Bar(REGULATORS, "retrieval_centred", 0.90),
        Bar(REGULATORS, "similarity", 0.65, at_most=True),
    ],
}


def judge(bar: Bar, means: pd.Series) -> dict[str, object]:
    """Hold a bar against means, indexed by data set, metric and method; ``met`` is None where nothing was measured."""
    where = {name: means.index.get_level_values(name) for name in ("data", "metric")}
    of_methods = means[(where["data"] == bar.data) & (where["metric"] == bar.metric)].droplevel(["data", "metric"])
    limit, what = bar.limit, f"{bar.limit:.2f}" if bar.limit >= 0.1 else f"{bar.limit:.2g}"
    if bar.rival is not None:
        rival = bar.rival
        if rival == BASELINES:
            baselines = of_methods.drop([*MODELS, *REFERENCES], errors="ignore")
            rival = baselines.idxmax() if len(baselines) else rival
        limit = bar.share * of_methods.get(rival, np.nan)
        what = f"{'' if bar.share == 1 else f'{bar.share:g} x '}that of {rival}, {limit:.3f}"
    value = of_methods.get(DEFAULT, np.nan)
    met = None if np.isnan(limit) or np.isnan(value) else bool(value <= limit if bar.at_most else value >= limit)
    return {
        "data": bar.data,
        "metric": bar.metric,
        "value": value,
        "bar": f"at {'most' if bar.at_most else 'least'} {what}",
        "met": met,
    }
