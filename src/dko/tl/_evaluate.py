"""Holding predicted against measured knockouts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from .. import _keys
from .._data import unwrap
from .._engine import engine_on, open_task
from .._errors import listed
from .._fitted import read_profiles
from .._log import progress as with_progress
from .._log import say
from .._rng import generator
from .._write import writable, write
from ..metrics import baseline_effects, log_profiles
from ..metrics._baselines import components, permuted
from ..metrics._effect_size import most_cells, size_of_effect
from ._measured import cells_without, distances, measure, some
from ._predicted import Predictor
from ._scores import MEASUREMENT, Predicted, counted, score, score_measurement
from ._screen import is_control, read_screen
from ._summary import summarise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from mudata import MuData

    from .._rng import RNG
    from ._measured import Measurement
    from ._screen import Screen

# Baselines and components are had from dense values of at most so many unperturbed cells.
_MAX_CELLS = 5_000
# Baselines that say the same whatever is knocked out rank no impacts.
_BLIND = ("gene mean", "gene spread")
# Shuffles of the unperturbed cells whose scores are averaged: one alone is a chance value.
_N_SHUFFLES = 10
_SHUFFLED = "permuted cells"


def evaluate(
    adata: AnnData | MuData,
    *,
    perturbation_key: str,
    control: str | int | bool,
    key: str = _keys.DEFAULT,
    baselines: bool = True,
    perturbations: str | Sequence[str] | None = None,
    n_splits: int = 20,
    n_bootstrap: int = 1000,
    rng: RNG = 0,
    mod: str = "rna",
    device: str = "auto",
    progress: bool = True,
    copy: bool = False,
) -> AnnData | MuData | None:
    """Score predicted against measured knockouts, beside baselines and beside what the measurement itself allows.

    Effects are changes of the mean of log1p(1e4 * profile), over the genes of the model, the knocked-out genes taken
    out of both sides and both renormalised. Predicted ones are averaged over the unperturbed cells that have a model
    and express any of these genes; of a fit with groups, over all groups as they occur among the unperturbed cells,
    whatever groups the perturbed cells are of.

    Parameters
    ----------
    adata
        Perturbed and unperturbed cells, with a model that was fitted on the latter:
        ``dko.tl.fit(adata, perturbation_key=..., control=...)``.
    perturbation_key, control
        ``obs`` column of the gene that was knocked out (several joined by ``+``), and its value for unperturbed cells.
    key, mod
        Where the fit is.
    baselines
        Also score what can be said without a model: see :func:`dko.metrics.baseline_effects`. It is had from 5,000
        random unperturbed cells if there are more, the ridge from 2,000; ``permuted cells`` has the mean scores of 10
        shuffles.
    perturbations
        Perturbations to score; by default all whose genes the model knows. Those of fewer than 10 cells are left out.
    n_splits
        Random halves of the cells for the ceiling, and random choices for the measured size.
    n_bootstrap
        Resamples of the perturbations for the intervals that are had from these.
    rng
        Seed or generator: halves, resamples, and the cells that distances are taken between.
    device
        Where to compute.
    progress
        Show a progress bar.
    copy
        Return a changed copy instead of writing in place.

    Returns
    -------
    None, or the changed copy. Sets ``uns[f"{key}_evaluation"]``, a dict of ``params`` and two tables for
    :func:`dko.get.evaluation`.

    ``table``
        ``method``, ``perturbation``, ``metric``, ``value``, a row for each.
    ``summary``
        ``method``, ``metric``, ``mean``, ``low``, ``high``, ``gain``, ``gain_low``, ``gain_high``, ``n_perturbations``
        (that have a value): over the reliable ones (ceiling above 0.3), or all where none is reliable; without those
        that are not predictable. The gain is the difference of model minus method, pair by pair. Intervals are 95 %,
        over perturbations: Student's t of the mean with fewer than 30, else percentiles of a bootstrap, and always the
        latter for ``impact_ranking``, which has none with fewer than 5.

    Methods are ``model``, ``no change``, ``renormalise`` (the profile without the gene, nothing else; its impact is the
    gene's share) and the baselines; the metrics of each:

    ``pearson``, ``spearman``
        Correlation over genes of predicted and measured effect; 0 for a constant prediction.
    ``direction_20``, ``direction_50``
        Share of right signs among the 20 or 50 genes that change most of those that change significantly: the mean of
        that of the rising and that of the falling ones, by chance 0.5. NaN where all change in one direction.
    ``auprc``, ``auroc``, ``auroc_matched``
        Recovery of the genes that change significantly by the size of the prediction; the last within fifths of genes
        by expression. By chance the base rate, 0.5 and 0.5.
    ``retrieval``, ``retrieval_centred``
        Share of the other perturbations whose effect fits the prediction worse than its own; also after subtracting
        what the others have in common. By chance 0.5. Like ``similarity``, among the perturbations of the summary.
    ``similarity``
        Mean rank correlation with the predictions for other perturbations; compare that of the measurement.
    ``impact``
        Mean impact in the cells that express the gene, its own share included; of ``renormalise`` that share.
    ``size``, ``impact_ranking`` (summary only)
        Bray-Curtis dissimilarity of the mean profiles of all unperturbed cells before and after, the gene taken out of
        both (of baselines, of their mean profile and the same after the effect); its rank correlation over
        perturbations with the measured size, :func:`dko.metrics.effect_size` with as many cells for all perturbations
        as the one of the fewest has.
    ``energy_distance``, ``mmd``
        Of ``model`` and ``no change``: how far predicted cells, the unperturbed ones plus what is predicted to change
        in each, are from the perturbed ones, in 20 principal components of the unperturbed cells.

    The method ``measurement`` has ``n_cells``, ``n_changed`` and ``base_rate`` (genes that change significantly),
    ``ceiling`` (the agreement of halves of the cells), ``ceiling_whole`` (sqrt(2 r / (1 + r)) of it, r, which is what a
    perfect prediction reaches against the whole measurement), ``reliable``, ``predictable`` (any unperturbed cell
    expresses the gene), ``similarity``, the measured ``size``, and the distances of unperturbed cells from other
    unperturbed cells.

    Raises
    ------
    KeyError
        No fit; no such column, control or perturbation.
    ValueError
        Fewer than 20 unperturbed cells; no perturbation of genes of the model, none of 10 cells, or none of a gene that
        an unperturbed cell expresses.

    Notes
    -----
    Significant genes are found against held-out unperturbed cells (the test cells of the fit if there are 50, or a
    random half), and their direction is measured against the others, so that no chance value of the unperturbed cells
    both selects a gene and gives it its sign.
    """
    for name, value in (("n_splits", n_splits), ("n_bootstrap", n_bootstrap)):
        if value < 1:
            raise ValueError(f"{name}={value!r} must be at least 1.")
    data = writable(adata, copy, mod)
    target, stream = unwrap(data, mod), generator(rng)
    task = open_task(target, key, mod, is_control(target, perturbation_key, control))
    profiles = sparse.csr_array(read_profiles(target, task.fitted))
    predictor = Predictor(task, engine_on(device))
    wanted = [perturbations] if isinstance(perturbations, str) else perturbations
    screen = read_screen(task, predictor.rows, profiles, perturbation_key, str(control), wanted, stream)
    _require_predictable(screen)
    scores = _scores(screen, predictor, baselines, n_splits, stream, progress)
    chosen = counted(scores[MEASUREMENT])
    summary = summarise(scores, chosen, n_bootstrap, stream)
    reliable = _tell(scores[MEASUREMENT], screen)
    params = {
        "perturbation_key": perturbation_key,
        "control": str(control),
        "n_control": len(predictor.rows),
        "held_out": screen.held_out_are,
        "summary_over": "reliable" if reliable else "all",
        "n_perturbations": int(chosen.sum()),
        "n_splits": n_splits,
        "n_bootstrap": n_bootstrap,
        **({"rng": int(rng)} if isinstance(rng, int | np.integer) else {}),
    }
    content = {_keys.PARAMS: params, _keys.TABLE: _tidy(scores, list(screen.columns)), _keys.SUMMARY: summary}
    write(target, uns={_keys.evaluation(key): content})
    return data if copy else None


def _scores(
    screen: Screen, predictor: Predictor, baselines: bool, n_splits: int, rng: np.random.Generator, progress: bool
) -> dict[str, pd.DataFrame]:
    """Return the table of every method, a row per knockout."""
    values = some(log_profiles(screen.control), _MAX_CELLS, rng).toarray()
    axes = components(values).components_.T
    measured, predicted, apart = [], [], []
    n_size = min(most_cells(cells.shape[0], screen.control.shape[0]) for cells in screen.perturbed.values())
    steps = with_progress(screen.columns, total=len(screen.columns), description="evaluate", unit="knockout")
    for label in steps if progress else screen.columns:
        cells, prediction = cells_without(screen, label), predictor.knock_out(screen.columns[label])
        measured.append(measure(screen, label, cells, n_size, n_splits, rng))
        apart.append(distances(cells, prediction.change, axes, rng))
        predicted.append((prediction.effect, prediction.impact, prediction.size))
    model = Predicted(*(np.array(part) for part in zip(*predicted, strict=True)))
    measurement = score_measurement(measured, model.effects)
    others = _without_model(screen, measured, values if baselines else None, rng)
    chosen, expression = counted(measurement), values.mean(axis=0)
    scores = {}
    for name, tries in {"model": [model], **others}.items():
        tables = [score(one, measured, chosen, expression) for one in tries]
        scores[name] = sum(tables[1:], start=tables[0]) / len(tables)
    scores[MEASUREMENT] = measurement
    for method in apart[0]:
        scores[method] = scores[method].join(pd.DataFrame([one[method] for one in apart]))
    return scores


def _without_model(
    screen: Screen, measured: list[Measurement], values: np.ndarray | None, rng: np.random.Generator
) -> dict[str, list[Predicted]]:
    """Return what every baseline says, those of cells from `values` if these are given; shuffled ones repeatedly."""
    gone = np.array([np.isnan(one.effect) for one in measured])
    nothing, unknown = np.where(gone, np.nan, 0.0), np.full(len(gone), np.nan)
    same = np.zeros(len(gone))
    found = {"no change": [Predicted(nothing, unknown, same)]}
    if values is None:
        return found
    share = np.array([_share(screen.control, columns) for columns in screen.columns.values()])
    found["renormalise"] = [Predicted(nothing, share, same)]
    genes = np.unique(np.concatenate(list(screen.columns.values())))
    members = gone[:, genes].astype(float)

    def together(singles: np.ndarray) -> Predicted:
        """Add the effects of several genes."""
        effects = np.where(gone, np.nan, members @ singles)
        sizes = [size_of_effect(effect, one.profile) for effect, one in zip(effects, measured, strict=True)]
        return Predicted(effects, unknown, np.array(sizes))

    for name, singles in baseline_effects(values, genes, rng=rng).items():
        if name in _BLIND:
            found[name] = [Predicted(np.where(gone, np.nan, singles[0]), unknown, unknown)]
        else:
            found[name] = [together(singles)]
    found[_SHUFFLED] += [together(permuted(values, genes, rng)) for _ in range(_N_SHUFFLES - 1)]
    return found


def _share(profiles: sparse.csr_array, columns: np.ndarray) -> float:
    """Return the mean share of genes in the cells that express any of them."""
    share = np.asarray(profiles[:, columns].sum(axis=1)).ravel()
    return float(share[share > 0].mean()) if (share > 0).any() else np.nan


def _tidy(scores: dict[str, pd.DataFrame], labels: list[str]) -> pd.DataFrame:
    tables = [
        table.assign(perturbation=labels, method=method).melt(["method", "perturbation"], var_name="metric")
        for method, table in scores.items()
    ]
    return pd.concat(tables, ignore_index=True)


def _require_predictable(screen: Screen) -> None:
    if not any(screen.control[:, columns].sum() > 0 for columns in screen.columns.values()):
        raise ValueError(
            f"No unperturbed cell expresses the gene of any perturbation ({listed(screen.columns, 3)}), so there is no "
            "knockout to predict."
        )


def _tell(measurement: pd.DataFrame, screen: Screen) -> int:
    """Say what was evaluated; return how many knockouts are reliable, of those that are predictable."""
    labels = np.array(list(screen.columns), dtype=object)
    predictable = measurement["predictable"].to_numpy(dtype=bool)
    if not predictable.all():
        say(f"Not predictable, as no unperturbed cell expresses the gene: {listed(labels[~predictable])}.")
    n_reliable = int((predictable & measurement["reliable"].to_numpy(dtype=bool)).sum())
    if not n_reliable:
        say("No perturbation is reliable (split-half correlation above 0.3), so the summary is over all of them.")
    say(f"Evaluated {len(labels)} perturbations, {n_reliable} of them reliable.")
    return n_reliable
