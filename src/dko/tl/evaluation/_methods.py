"""What the model predicts of knockouts, and what can be said without it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

from ...metrics import baseline_effects, bray_curtis, log_profiles, supervised_effects
from ...metrics._baselines import co_expression, permuted
from ...metrics._effects import shares, size_of_effect
from ...metrics._profiles import columns_mask
from ...models.rows import View, mean_of
from ._distances import Sample
from ._measured import Measurement, total
from ._screen import Screen

# Baselines that are the same whatever is knocked out rank no impacts.
_BLIND = ("gene mean", "gene spread")
_SHUFFLED, _CO_EXPRESSION = "permuted cells", "co-expression"
# Shuffles of the unperturbed cells whose scores are averaged: one alone is a chance value.
_N_SHUFFLES = 10


class Prediction(NamedTuple):
    """A predicted knockout; NaN if there is no cell in which it is predicted."""

    effect: np.ndarray  # mean change of log values in the cells in which it is predicted; NaN at its genes
    impact: float  # mean over the same cells
    size: float  # dissimilarity of the mean profiles of all cells, before and after, without its genes
    change: np.ndarray  # change along some axes of the unperturbed cells of a sample, cells x axes


class Predicted(NamedTuple):
    """What one method predicts of all knockouts; NaN where it predicts nothing."""

    effects: np.ndarray  # knockouts x genes; NaN at the genes that are knocked out
    impacts: np.ndarray
    sizes: np.ndarray
    sized: bool = True  # whether the size of the effects means anything, or their scale is a convention


def predict(
    screen: Screen, labels: Sequence[str], samples: Sequence[Sample], profiles: np.ndarray, axes: np.ndarray
) -> list[Prediction]:
    """Predict some knockouts, and the change of the unperturbed cells of their samples along `axes` (genes x axes).

    `profiles` are the mean observed profiles of unperturbed cells without the genes of each knockout.
    """
    cells, model = screen.cells, screen.cells.model
    sets = [screen.genes[label] for label in labels]
    without = screen.columns_of(sets)
    changes = [np.zeros((len(sample.rows), axes.shape[1])) for sample in samples]
    sums, shift = np.zeros((2, len(sets), len(model.genes)))
    impacts, n_cells = np.zeros((2, len(sets)))
    for knockout in cells.predict(sets, description="predict"):
        number = knockout.number
        change = model.change(knockout, without[number])
        sums[number] += total(change)
        impacts[number] += knockout.impact.sum(dtype=float)
        n_cells[number] += len(knockout.rows)
        there, at = np.isin(samples[number].rows, knockout.rows), np.isin(knockout.rows, samples[number].rows)
        changes[number][there] = (change[at] @ axes)[np.argsort(np.argsort(samples[number].rows[there]))]
        for sign, values in () if model.log else ((1, knockout.after), (-1, knockout.before)):
            shift[number] += sign * total(shares(log_profiles(values, without=without[number])))
    before = profiles if model.log else _means_before(screen, without)
    found = []
    for number, n in enumerate(n_cells):
        effect = sums[number] / n if n else np.full(len(model.genes), np.nan)
        effect[without[number]] = np.nan
        if model.log:
            size = size_of_effect(effect, before[number])
        else:
            after = before[number] + shift[number] / len(cells.rows)
            size = float(bray_curtis(before[number][None], after[None])[0]) if n else np.nan
        found.append(Prediction(effect, impacts[number] / n if n else np.nan, size, changes[number]))
    return found


def _means_before(screen: Screen, without: Sequence[np.ndarray]) -> np.ndarray:
    """Return the mean profile of unperturbed cells, as knockouts start from it, without the genes of each."""
    sums = np.zeros((len(without), len(screen.cells.model.genes)))
    for _, values in screen.cells.before_blocks():
        for number, columns in enumerate(without):
            sums[number] += total(shares(log_profiles(values, without=columns)))
    return sums / len(screen.control)


def training_effects(screen: Screen) -> pd.DataFrame:
    """Measure the effects of training perturbations (x genes), in the cells of training and validation alone."""
    rows = {label: screen.used(np.flatnonzero(screen.labels == label)) for label in screen.trained}
    control = screen.used(screen.control)
    rows = {label: some for label, some in rows.items() if len(some) and len(control)}
    means = [mean_of(View(screen.values, some)) for some in (control, *rows.values()) if len(some)]
    found = pd.DataFrame(index=list(rows), columns=screen.cells.model.genes, dtype=float)
    columns = screen.columns_of(screen.trained[label] for label in rows)
    for label, mean, without in zip(rows, means[1:], columns, strict=True):
        found.loc[label] = np.where(columns_mask(without, len(mean)), np.nan, mean - means[0])
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
    genes = np.unique(np.concatenate(screen.columns))
    # The effects of several genes are added.
    members = np.array([np.isin(genes, columns) for columns in screen.columns], dtype=float)
    if not screen.cells.model.log:
        found["renormalise"] = [Predicted(nothing, _mean_shares(screen, genes, members), same)]
    for name, singles in baseline_effects(values, genes, rng=rng).items():
        if name in _BLIND:
            found[name] = [method(singles[:1], sized=False)._replace(sizes=unknown)]
        else:
            found[name] = [method(members @ singles, sized=False)]
    found[_SHUFFLED] += [method(members @ permuted(values, genes, rng), sized=False) for _ in range(_N_SHUFFLES - 1)]
    return found


def _mean_shares(screen: Screen, genes: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Return the mean share of the genes of each knockout in the unperturbed cells that express any of them."""
    sums, n_cells = np.zeros((2, len(members)))
    for _, values in screen.blocks(screen.control):
        of_sets = values[:, genes] @ sparse.csr_matrix(members.T)
        sums, n_cells = sums + total(of_sets), n_cells + of_sets.getnnz(axis=0)
    return np.divide(sums, n_cells, out=np.full(len(sums), np.nan), where=n_cells > 0)


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
