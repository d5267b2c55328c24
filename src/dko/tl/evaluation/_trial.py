"""A model, the cells that it is held against, and what can be said without it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..._core.messages import progress
from ...metrics._baselines import components
from ._measured import cells_without, distances, measure, some
from ._scores import MEASUREMENT, REPLICATE, Predicted, counted, score, score_measurement, score_replicate

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._measured import Measurement
    from ._predicted import Predictor
    from ._screen import Screen

    # Measured knockouts, log values of unperturbed cells and random numbers; what every method says. Several
    # predictions of one method are tries, whose scores are averaged.
    Others = Callable[[list[Measurement], np.ndarray, np.random.Generator], dict[str, list[Predicted]]]

# Baselines and components are had from dense values of at most so many unperturbed cells.
_MAX_CELLS = 5_000


@dataclass(frozen=True)
class Trial:
    """What is needed to score a model.

    Attributes
    ----------
    screen
        Cells of measured knockouts.
    predictor
        The model.
    others
        The baselines, and whatever else predicts.
    params
        What was scored, for the parameters of the evaluation.
    trained
        Which knockouts were trained on; None for a model of unperturbed cells.
    centre
        Mean effect of all that were, in their training cells (genes,); NaN where there are none such.
    seen
        Knockouts x genes: that of each in its training cells, or the mean effect; None where there are none such.
    """

    screen: Screen
    predictor: Predictor
    others: Others
    params: dict[str, Any]
    trained: np.ndarray | None = None
    centre: np.ndarray | None = None
    seen: np.ndarray | None = None


def score_trial(trial: Trial, n_splits: int, rng: np.random.Generator) -> dict[str, pd.DataFrame]:
    """Return the table of every method, a row per knockout."""
    screen = trial.screen
    values = some(screen.take_out(screen.control), _MAX_CELLS, rng).toarray()
    axes = components(values).components_.T
    measured, predicted, apart = [], [], []
    n_size = min(screen.control.shape[0] // 2, *(cells.shape[0] for cells in screen.perturbed.values()))
    steps = progress(screen.columns, total=len(screen.columns), description="evaluate", unit="knockout")
    for number, label in enumerate(steps):
        cells, prediction = cells_without(screen, label), trial.predictor.knock_out(label, axes)
        measured.append(measure(screen, label, cells, n_size, n_splits, rng))
        known = None if trial.seen is None else trial.seen[number]
        apart.append(distances(cells, prediction.change, axes, rng, known=known))
        predicted.append((prediction.effect, prediction.impact, prediction.size))
    effects, impacts, sizes = (np.array(part) for part in zip(*predicted, strict=True))
    model = Predicted(effects, impacts, sizes)
    measurement = score_measurement(measured, model.effects)
    others = trial.others(measured, values, rng)
    chosen, expression = counted(measurement), values.mean(axis=0)
    scores = {}
    for name, tries in {"model": [model], **others}.items():
        tables = [score(one, measured, chosen, expression, trial.centre) for one in tries]
        scores[name] = sum(tables[1:], start=tables[0]) / len(tables)
    scores[REPLICATE] = score_replicate(measured, chosen, expression, trial.centre)
    if trial.trained is not None:
        measurement["trained"] = trial.trained.astype(float)
    return _with_distances({**scores, MEASUREMENT: measurement}, apart)


def _with_distances(
    scores: dict[str, pd.DataFrame], apart: list[dict[str, dict[str, float]]]
) -> dict[str, pd.DataFrame]:
    """Add the distances to the tables of who says what cells look like, some of whom say nothing else."""
    unknown = pd.DataFrame(np.nan, index=range(len(apart)), columns=scores["model"].columns)
    measurement = scores.pop(MEASUREMENT)
    tables = {**scores, **{method: unknown for method in apart[0] if method not in {*scores, MEASUREMENT}}}
    tables[MEASUREMENT] = measurement
    for method in apart[0]:
        tables[method] = tables[method].join(pd.DataFrame([one[method] for one in apart]))
    return tables
