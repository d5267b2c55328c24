"""What the model predicts of knockouts, and what can be said without it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

from ..._core.messages import bars
from ...metrics import baseline_effects, bray_curtis, effect, energy_distance, log_profiles, mmd, supervised_effects
from ...metrics._baselines import co_expression, permuted
from ...metrics._effects import shares, size_of_effect
from ._screen import Measurement, Pair, Screen, some

# Baselines that are the same whatever is knocked out rank no impacts.
_BLIND = ("gene mean", "gene spread")
_SHUFFLED, _CO_EXPRESSION = "permuted cells", "co-expression"
# Shuffles of the unperturbed cells whose scores are averaged: one alone is a chance value.
_N_SHUFFLES = 10
# Most cells on a side of a distance, which takes all pairs.
_MAX_CELLS = 500


class Prediction(NamedTuple):
    """A predicted knockout; NaN if there is no cell in which it is predicted."""

    effect: np.ndarray  # mean change of log values in the cells in which it is predicted; NaN at its genes
    impact: float  # mean over the same cells
    size: float  # dissimilarity of the mean profiles of all cells, before and after, without its genes
    change: np.ndarray  # change of every cell along some axes, cells x axes


class Predicted(NamedTuple):
    """What one method predicts of all knockouts; NaN where it predicts nothing."""

    effects: np.ndarray  # knockouts x genes; NaN at the genes that are knocked out
    impacts: np.ndarray
    sizes: np.ndarray
    sized: bool = True  # whether the size of the effects means anything, or their scale is a convention


def predict(screen: Screen, labels: Sequence[str], axes: np.ndarray) -> list[Prediction]:
    """Predict some knockouts, and the change of cells along `axes` (genes x axes)."""
    cells, model = screen.cells, screen.cells.model
    sets = [screen.genes[label] for label in labels]
    without = screen.columns_of(sets)
    change = np.zeros((len(sets), len(cells.rows), axes.shape[1]))
    total, shift = np.zeros((2, len(sets), len(model.genes)))
    impacts: list[list[np.ndarray]] = [[] for _ in sets]
    with bars(shown=False):
        for knockout in cells.predict(sets):
            number, rows = knockout.number, np.searchsorted(cells.rows, knockout.rows)
            one = model.change(knockout, without[number])
            change[number, rows] = one @ axes
            total[number] += _sum(one)
            impacts[number].append(knockout.impact)
            for sign, values in () if model.log else ((1, knockout.after), (-1, knockout.before)):
                shift[number] += sign * _sum(shares(log_profiles(values, without=without[number])))
    before = screen.control if model.log else cells.before()
    found = []
    for number, of_set in enumerate(impacts):
        if not of_set:
            found.append(Prediction(np.full(len(model.genes), np.nan), np.nan, np.nan, change[number]))
            continue
        impact = np.concatenate(of_set)
        effects = total[number] / len(impact)
        effects[without[number]] = np.nan
        if model.log:
            size = size_of_effect(effects, _mean(shares(before)))
        else:
            mean = _mean(shares(log_profiles(before, without=without[number])))
            size = float(bray_curtis(mean[None], (mean + shift[number] / len(cells.rows))[None])[0])
        found.append(Prediction(effects, float(impact.mean()), size, change[number]))
    return found


def _sum(values: np.ndarray | sparse.csr_array) -> np.ndarray:
    return np.asarray(values.sum(axis=0, dtype=float)).ravel()


def _mean(values: sparse.csr_array) -> np.ndarray:
    return _sum(values) / values.shape[0]


def distances(
    pair: Pair, change: np.ndarray, axes: np.ndarray, rng: np.random.Generator
) -> dict[str, dict[str, float]]:
    """Return how far unperturbed cells, with and without the predicted change, are from the perturbed ones."""
    from scipy.spatial.distance import pdist

    after, control = pair
    order = rng.permutation(control.shape[0])
    size = min(_MAX_CELLS, len(order) // 2)
    before, other = (control[rows] @ axes for rows in (order[:size], order[size : 2 * size]))
    perturbed = some(after, _MAX_CELLS, rng) @ axes
    bandwidth = float(np.median(pdist(before)))
    sides = {
        "model": (before + change[order[:size]], perturbed),
        "no change": (before, perturbed),
        "measurement": (before, other),
    }
    return {
        method: {
            "energy_distance": energy_distance(*both),
            "mmd": mmd(*both, bandwidth=bandwidth) if bandwidth > 0 else np.nan,
        }
        for method, both in sides.items()
    }


def training_effects(screen: Screen) -> pd.DataFrame:
    """Measure the effects of training perturbations (x genes), in the cells of training and validation alone."""
    rows = {label: screen.used(np.flatnonzero(screen.labels == label)) for label in screen.trained}
    control = screen.everything[screen.used(screen.cells.rows)]
    labels = [label for label, some in rows.items() if len(some) and control.shape[0]]
    found = pd.DataFrame(index=labels, columns=screen.cells.model.genes, dtype=float)
    for label, without in zip(labels, screen.columns_of(screen.trained[label] for label in labels), strict=True):
        found.loc[label] = effect(screen.everything[rows[label]], control, without=without, logged=True)
    return found


def without_model(
    screen: Screen,
    measured: Sequence[Measurement],
    values: np.ndarray,
    training: pd.DataFrame,
    rng: np.random.Generator,
    *,
    baselines: bool,
) -> dict[str, list[Predicted]]:
    """Return what every baseline predicts, of shuffled cells repeatedly, from log `values` of unperturbed cells."""
    gone = np.array([np.isnan(one.effect) for one in measured])
    nothing, unknown, same = np.where(gone, np.nan, 0.0), np.full(len(gone), np.nan), np.zeros(len(gone))

    def method(effects: np.ndarray, *, sized: bool) -> Predicted:
        effects = np.where(gone, np.nan, effects)
        sizes = [size_of_effect(effect, one.profile) for effect, one in zip(effects, measured, strict=True)]
        return Predicted(effects, unknown, np.array(sizes), sized=sized)

    found = {"no change": [Predicted(nothing, unknown, same)]}
    if not baselines:
        return found
    if screen.trained:
        if len(training):
            found |= {name: [method(one, sized=True)] for name, one in _supervised(screen, training).items()}
        found[_CO_EXPRESSION] = [method(_of_single_genes(screen, values), sized=False)]
        return {name: tries for name, tries in found.items() if np.isfinite(tries[0].effects).any()}
    if not screen.cells.model.log:
        # In the cells that express any of the genes.
        shares_of = (np.asarray(screen.control[:, columns].sum(axis=1)).ravel() for columns in screen.columns)
        impacts = np.array([share[share > 0].mean() if (share > 0).any() else np.nan for share in shares_of])
        found["renormalise"] = [Predicted(nothing, impacts, same)]
    genes = np.unique(np.concatenate(screen.columns))
    # The effects of several genes are added.
    members = np.array([np.isin(genes, columns) for columns in screen.columns], dtype=float)
    for name, singles in baseline_effects(values, genes, rng=rng).items():
        if name in _BLIND:
            found[name] = [method(singles[:1], sized=False)._replace(sizes=unknown)]
        else:
            found[name] = [method(members @ singles, sized=False)]
    found[_SHUFFLED] += [method(members @ permuted(values, genes, rng), sized=False) for _ in range(_N_SHUFFLES - 1)]
    return found


def _supervised(screen: Screen, training: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return what follows from the training perturbations for others (n x genes), by the name of the baseline."""
    cells = screen.cells
    features = cells.fitted.weights.get("features", np.eye(len(cells.model.targets))).astype(float)
    trained, wanted = [screen.trained[label] for label in training.index], list(screen.genes.values())
    known, asked = (np.array([features[one].sum(axis=0) for one in cells.numbers(sets)]) for sets in (trained, wanted))
    found = supervised_effects(training.to_numpy(), known, wanted=asked)
    alone = {genes[0]: number for number, genes in enumerate(trained) if len(genes) == 1}
    # Of several genes that were all trained on alone.
    numbers = [[alone.get(gene, -1) for gene in genes] for genes in wanted]
    effects, unknown = training.to_numpy(), np.full(training.shape[1], np.nan)
    added = [effects[some].sum(axis=0) if len(some) > 1 and min(some) >= 0 else unknown for some in numbers]
    return {**found, "additive": np.array(added)}


def _of_single_genes(screen: Screen, values: np.ndarray) -> np.ndarray:
    """Let fall what correlates with the gene in unperturbed cells; only of single genes that are measured."""
    found = np.full((len(screen.genes), values.shape[1]), np.nan)
    pairs = zip(screen.columns, screen.genes.values(), strict=True)
    single = [row for row, (columns, genes) in enumerate(pairs) if len(columns) == len(genes) == 1]
    if single:
        found[single] = co_expression(values, np.concatenate([screen.columns[row] for row in single]))
    return found
