"""Tables of how well predictions fit measured knockouts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

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
    retrieval_cosine,
    similarity,
)
from ...metrics._effects import of_whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._measured import Measurement

# The pseudo-methods of what was measured, and of one half of the cells as a prediction of the other.
MEASUREMENT, REPLICATE = "measurement", "replicate"
RELIABLE = 0.3


class Predicted(NamedTuple):
    """What one method says of all knockouts; NaN where it says nothing.

    Attributes
    ----------
    effects
        Knockouts x genes; NaN at the genes that are knocked out.
    impacts
        Mean change of the profiles of the cells that express the gene, its own share included.
    sizes
        Change of the mean profile of all cells without the gene, as it is measured.
    strengths
        What the shifts were multiplied with, if that was chosen.
    sized
        Whether the size of the effects means anything, or their scale is a convention.
    """

    effects: np.ndarray
    impacts: np.ndarray
    sizes: np.ndarray
    strengths: np.ndarray | None = None
    sized: bool = True


def score(
    method: Predicted,
    measured: Sequence[Measurement],
    chosen: np.ndarray,
    expression: np.ndarray,
    centre: np.ndarray | None = None,
) -> pd.DataFrame:
    """Score the predictions of one method: a row per knockout, a column per metric.

    Knockouts are told apart among the `chosen` ones only: next to effects that are noise, a prediction that is the same
    for all would not be at chance. With `centre`, the mean effect that was known in training (genes,), also what a
    prediction says beyond it.
    """
    effects, truth = method.effects, np.array([one.effect for one in measured])
    rows = []
    for predicted, one in zip(effects, measured, strict=True):
        rows.append(
            {
                "pearson": correlation(predicted, one.effect),
                "spearman": correlation(predicted, one.effect, method="spearman"),
                **_errors(predicted, one, sized=method.sized),
                **_directions(predicted, one),
                **recovery(predicted, one.changed, expression=expression),
                "jaccard": jaccard(predicted, one.changed),
            }
        )
        if centre is not None:
            rows[-1]["pearson_centred"] = correlation(predicted - centre, one.effect - centre)
    table = pd.DataFrame(rows)
    for name, centred in (("retrieval", False), ("retrieval_centred", True)):
        table[name] = _among(chosen, retrieval(effects[chosen], truth[chosen], centred=centred))
    table["retrieval_cosine"] = _among(chosen, retrieval_cosine(effects[chosen], truth[chosen]))
    table["similarity"] = _among(chosen, similarity(effects[chosen]))
    table["impact"], table["size"] = method.impacts, method.sizes
    if method.strengths is not None:
        table["strength"] = method.strengths
    return table


def _errors(predicted: np.ndarray, measured: Measurement, *, sized: bool) -> dict[str, float]:
    """Return how far off the size of a prediction is; NaN where its scale is a convention."""
    truth = measured.effect
    found = {
        "calibration_slope": calibration_slope(predicted, truth),
        "relative_error": relative_error(predicted, truth),
        "mse": mse(predicted, truth),
        "mse_corrected": mse(predicted, truth, noise=measured.noise),
    }
    return found if sized else dict.fromkeys(found, np.nan)


def _directions(predicted: np.ndarray, measured: Measurement) -> dict[str, float]:
    truth, changed = measured.effect_elsewhere, measured.changed
    return {
        **{f"direction_{n}": direction(predicted, truth, changed=changed, n_genes=n) for n in (20, 50)},
        "direction_fidelity": direction_fidelity(predicted, truth, changed=changed),
        "direction_reach": direction_reach(predicted, truth, changed=changed),
    }


def score_replicate(
    measured: Sequence[Measurement], chosen: np.ndarray, expression: np.ndarray, centre: np.ndarray | None = None
) -> pd.DataFrame:
    """Score one half of the cells as a prediction of the other, with the arguments of :func:`score`."""
    first, second = np.array([one.halves for one in measured]).transpose(1, 0, 2)
    # Both halves are noisy, each twice as much as the whole.
    others = [
        replace(one, effect=half, effect_elsewhere=half, noise=4 * one.noise)
        for one, half in zip(measured, second, strict=True)
    ]
    unknown = np.full(len(measured), np.nan)
    return score(Predicted(first, unknown, unknown), others, chosen, expression, centre)


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
            "ceiling_whole": of_whole(ceilings),
            "reliable": ceilings > RELIABLE,
            "predictable": np.isfinite(effects).any(axis=1),
            "size": [one.size for one in measured],
            "mse": [one.noise for one in measured],
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
