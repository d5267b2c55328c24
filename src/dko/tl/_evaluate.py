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
from ..metrics._baselines import components
from ._measured import cells_without, distances, measure, some
from ._predicted import Predictor
from ._scores import MEASUREMENT, counted, score, score_measurement, summarise
from ._screen import is_control, read_screen

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
        Also score what can be said without a model: see :func:`dko.metrics.baseline_effects`.
    perturbations
        Perturbations to score; by default all whose genes the model knows. Those of fewer than 10 cells are left out.
    n_splits
        Random halves of the cells for the ceiling, and random choices for the measured size.
    n_bootstrap
        Resamples of the perturbations for the intervals.
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
        ``method``, ``metric``, ``mean``, ``low``, ``high`` (95 % percentile interval of a bootstrap over
        perturbations), ``n_perturbations``: over the reliable ones (ceiling above 0.3), or all where none is reliable;
        without those that are not predictable.

    Methods are ``model``, ``no change``, ``renormalise`` (the profile without the gene, nothing else; its impact is the
    gene's share) and the baselines; the metrics of each:

    ``pearson``, ``spearman``
        Correlation over genes of predicted and measured effect; 0 for a constant prediction.
    ``direction_20``, ``direction_50``
        Share of right signs among the 20 or 50 genes that change most of those that change significantly.
    ``auprc``, ``auroc``, ``auroc_matched``
        Recovery of the genes that change significantly by the size of the prediction; the last within fifths of genes
        by expression. By chance the base rate, 0.5 and 0.5.
    ``retrieval``, ``retrieval_centred``
        Share of the other perturbations whose effect fits the prediction worse than its own; also after subtracting
        what the others have in common. By chance 0.5. Like ``similarity``, among the perturbations of the summary.
    ``similarity``
        Mean rank correlation with the predictions for other perturbations; compare that of the measurement.
    ``impact``, ``impact_ranking`` (summary only)
        Mean impact in the cells that express the gene (of baselines, the mean absolute effect); its rank correlation
        over perturbations with the measured size, :func:`dko.metrics.effect_size`.
    ``energy_distance``, ``mmd``
        Of ``model`` and ``no change``: how far predicted cells, the unperturbed ones plus what is predicted to change
        in each, are from the perturbed ones, in 20 principal components of the unperturbed cells.

    The method ``measurement`` has ``n_cells``, ``n_changed`` and ``base_rate`` (genes that change significantly),
    ``ceiling``, ``reliable``, ``predictable`` (any unperturbed cell expresses the gene), ``similarity``, ``impact``
    (the measured size), and the distances of unperturbed cells from other unperturbed cells.

    Raises
    ------
    KeyError
        No fit; no such column, control or perturbation.
    ValueError
        Fewer than 20 unperturbed cells; no perturbation of genes of the model, or none of 10 cells.

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
    scores = _scores(screen, predictor, baselines, n_splits, stream, progress)
    chosen = counted(scores[MEASUREMENT])
    summary = summarise(scores, chosen, n_bootstrap, stream)
    _tell(scores[MEASUREMENT], screen)
    params = {
        "perturbation_key": perturbation_key,
        "control": str(control),
        "n_control": len(predictor.rows),
        "held_out": screen.held_out_are,
        "summary_over": "reliable" if (scores[MEASUREMENT]["reliable"].to_numpy(dtype=bool) & chosen).any() else "all",
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
    steps = with_progress(screen.columns, total=len(screen.columns), description="evaluate", unit="knockout")
    for label in steps if progress else screen.columns:
        cells, prediction = cells_without(screen, label), predictor.knock_out(screen.columns[label])
        measured.append(measure(screen, label, cells, n_splits, rng))
        apart.append(distances(cells, prediction.change, axes, rng))
        predicted.append((prediction.effect, prediction.impact))
    effects, impacts = (np.array(part) for part in zip(*predicted, strict=True))
    methods = {"model": (effects, impacts), **_without_model(screen, values, measured, baselines, rng)}
    measurement = score_measurement(measured, effects)
    chosen, expression = counted(measurement), values.mean(axis=0)
    scores = {name: score(*method, measured, chosen, expression) for name, method in methods.items()}
    scores[MEASUREMENT] = measurement
    for method in apart[0]:
        scores[method] = scores[method].join(pd.DataFrame([one[method] for one in apart]))
    return scores


def _without_model(
    screen: Screen, values: np.ndarray, measured: list[Measurement], baselines: bool, rng: np.random.Generator
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return effects and impacts of every baseline; effects of several genes together are sums."""
    gone = np.array([np.isnan(one.effect) for one in measured])
    nothing, unknown = np.where(gone, np.nan, 0.0), np.full(len(gone), np.nan)
    found = {"no change": (nothing, unknown)}
    if not baselines:
        return found
    found["renormalise"] = (nothing, np.array([_share(screen.control, columns) for columns in screen.columns.values()]))
    genes = np.unique(np.concatenate(list(screen.columns.values())))
    members = gone[:, genes].astype(float)
    for name, singles in baseline_effects(values, genes, rng=rng).items():
        blind = name in _BLIND
        effects = np.where(gone, np.nan, singles[0] if blind else members @ singles)
        found[name] = effects, unknown if blind else np.nanmean(np.abs(effects), axis=1)
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


def _tell(measurement: pd.DataFrame, screen: Screen) -> None:
    labels = np.array(list(screen.columns), dtype=object)
    if (silent := ~measurement["predictable"].to_numpy(dtype=bool)).any():
        say(f"Not predictable, as no unperturbed cell expresses the gene: {listed(labels[silent])}.")
    n_reliable = int(measurement["reliable"].sum())
    if not n_reliable:
        say("No perturbation is reliable (split-half correlation above 0.3), so the summary is over all of them.")
    say(f"Evaluated {len(labels)} perturbations, {n_reliable} of them reliable.")
