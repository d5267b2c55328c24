"""Holding predicted against measured knockouts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .._core import keys
from .._core.cells import MOST_CELLS, unwrap
from .._core.messages import listed, many, progress, say
from .._core.names import control_of
from .._core.verb import verb
from .._core.write import writable, write
from .._rng import generator
from ..get._evaluation import evaluation, predictions
from ..metrics._baselines import components, mean_effect
from ..models.base import pieces
from .evaluation._distances import N_SAMPLED, distances, sample
from .evaluation._measured import drawn, measure, n_of_test
from .evaluation._methods import Predicted, predict, training_effects, without_model
from .evaluation._scores import MEASUREMENT, REPLICATE, counted, score, score_measurement, score_replicate, summarise
from .evaluation._screen import open_screen

if TYPE_CHECKING:
    from .._typing import RNG, AnnData, MuData, Sequence
    from .evaluation._screen import Screen

# Baselines and components come from dense values of at most so many unperturbed cells.
_MAX_CELLS = 5_000
# Numbers that are kept of a knockout until it is predicted: so many of each gene, and of each sampled cell and axis.
_OF_GENES, _OF_CELLS = 8, 4


@verb
def evaluate(
    adata: AnnData | MuData,
    *,
    perturbation_key: str,
    control: str | float | bool,
    key: str = keys.DEFAULT,
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

    Effects are changes of mean log expression over the genes of the model, without the knocked-out genes: of log1p(1e4
    * profile), both sides made to sum to 1 again, or of the log-normalised values that the model reads. Predicted ones
    are means over the unperturbed cells in which the model predicts the knockout.

    A *model of unperturbed cells* is scored on all perturbations of its genes. A *model of perturbations* on those that
    it was not trained on or, where there are none or others are named, on the test cells of trained ones, measured
    against the control cells that the fit has kept out, if any. Baselines see its cells of training and validation.

    Parameters
    ----------
    adata
        Perturbed and unperturbed cells, with a model: ``dko.tl.fit(adata, perturbation_key=..., control=...)``, of
        perturbations with ``holdout=[...]`` or ``test_fraction=0.2``.
    perturbation_key, control
        ``obs`` column of the gene that was knocked out (several joined by ``+``), and its value for unperturbed cells.
    %(fit)s
    baselines
        Also score :func:`dko.metrics.baseline_effects` (in at most 5,000 random unperturbed cells) or, beside a model
        of perturbations, :func:`dko.metrics.supervised_effects`.
    perturbations
        Perturbations to score, by default all, as said above. Those of fewer than 10 cells are left out.
    n_splits, n_bootstrap
        Random halves of the cells, for the ceiling and the measured size; resamples of the perturbations.
    %(rng)s
    %(compute)s
    %(written)s

    ``uns[f"{key}_evaluation"]``
        ``params``; ``table``: ``method``, ``perturbation``, ``metric``, ``value``; ``summary``: see
        :func:`dko.get.evaluation`.
    ``summary``
        ``mean``, ``low``, ``high``, ``scaled``, ``gain``, ``gain_low``, ``gain_high``, ``n_perturbations``: over the
        reliable and predictable ones (ceiling above 0.3), or all where none is reliable. ``scaled`` is the mean from
        that of ``no change``, 0, to that of ``replicate``, 1; the gain is model minus method, pair by pair. Intervals
        are 95 %, over perturbations: Student's t with fewer than 30, else, and always for ``impact_ranking``, a
        bootstrap.

    Methods are ``model``, ``no change``, ``renormalise`` (the profile without the gene, nothing else), the baselines
    (``permuted cells`` has the mean scores of 10 shuffles), ``additive`` (the sum of the measured effects of several
    genes that were all trained on alone), ``replicate`` (the ceiling of an experiment: a random half of the cells as a
    prediction of the other half) and ``measurement``, which is no method: it describes the measured cells. The metrics
    of each:

    ``pearson``, ``spearman``, ``pearson_centred``
        Correlation over genes of both effects; the last less the mean effect of the training perturbations on both
        sides.
    ``calibration_slope``, ``relative_error``, ``mse``, ``mse_corrected``
        Size of effects (1 is right; below 1 is a gain), and mean squared error, also without the sampling variance of
        the measurement. NaN for baselines whose scale is a convention.
    ``direction_20``, ``direction_50``, ``direction_fidelity``, ``direction_reach``
        Right signs among the genes that change significantly, by chance 0.5, and how far down their list.
    ``auprc``, ``auroc``, ``auroc_matched``, ``jaccard``
        Recovery of the genes that change significantly: :func:`dko.metrics.recovery`, :func:`dko.metrics.jaccard`.
    ``retrieval``, ``retrieval_centred``, ``retrieval_cosine``, ``similarity``
        Whether predictions differ between perturbations, those of the summary, as measured effects do:
        :func:`dko.metrics.retrieval` (by chance 0.5), :func:`dko.metrics.similarity`.
    ``impact``, ``size``, ``impact_ranking`` (summary only)
        Mean impact; dissimilarity of the mean profiles before and after, without the gene; its rank correlation over
        perturbations with the measured :func:`dko.metrics.effect_size`.
    ``energy_distance``, ``mmd``
        Of ``model`` and ``no change``: how far predicted cells are from the perturbed ones, in 20 principal components
        of the unperturbed cells.

    ``measurement`` has ``n_cells``, ``n_changed`` and ``base_rate`` (genes that change significantly), ``ceiling``
    (:func:`dko.metrics.ceiling`), ``ceiling_whole`` (of a perfect prediction), ``reliable``, ``predictable``,
    ``similarity``, the measured ``size``, ``mse`` (the sampling variance of the effect), the distances of unperturbed
    cells from others, and beside a model of perturbations ``trained`` (whether it was trained on this one).

    %(errors)s
        too few cells; no perturbation that the model can predict; another control than that of the fit.

    Notes
    -----
    Significant genes are found against held-out unperturbed cells (the test cells of the fit if there are 50, or a
    random half), and their direction is measured against the others: chance does not both select a gene and sign it.
    Both sides of this test are ranked, so it takes at most 20,000 cells of each, and distances take 500, at random.
    All else is added up over blocks of cells; those that are more than ``dko.settings.memory_budget`` are kept in a
    scratch file (in the folder of ``TMPDIR``).

    Examples
    --------
    >>> screen = dko.datasets.perturb_seq(8, 60, rng=0)
    >>> dko.tl.fit(screen, perturbation_key="perturbation", control="control")
    >>> dko.tl.evaluate(screen, perturbation_key="perturbation", control="control")
    >>> dko.get.evaluation(screen)["pearson"].round(1)[["model", "co-expression", "gene mean"]]
    method
    model            0.7
    co-expression    0.8
    gene mean        0.0
    Name: pearson, dtype: float64
    """
    data = writable(adata, copy, mod)
    target, stream = unwrap(data, mod), generator(rng)
    wanted = [perturbations] if isinstance(perturbations, str) else perturbations
    control = control_of(target, perturbation_key, control)
    screen = open_screen(target, key, perturbation_key, control, wanted, device=device, rng=stream)
    scores, n_trained = _scored(screen, stream, n_splits, baselines=baselines)
    chosen = counted(scores[MEASUREMENT])
    summary = summarise(scores, chosen, n_bootstrap, stream)
    reliable = _tell(scores[MEASUREMENT], list(screen.genes))
    params = {
        "perturbation_key": perturbation_key,
        "control": control,
        "n_control": len(screen.cells.rows),
        "held_out": screen.held_out_are,
        "summary_over": "reliable" if reliable else "all",
        "n_perturbations": int(chosen.sum()),
        "n_splits": n_splits,
        "n_bootstrap": n_bootstrap,
        **({"n_trained": n_trained} if screen.trained else {}),
        **({"rng": int(rng)} if isinstance(rng, int | np.integer) else {}),
    }
    tables = [table.assign(perturbation=list(screen.genes), method=method) for method, table in scores.items()]
    table = pd.concat([one.melt(["method", "perturbation"], var_name="metric") for one in tables], ignore_index=True)
    write(target, uns={keys.evaluation(key): {keys.PARAMS: params, keys.TABLE: table, keys.SUMMARY: summary}})
    found = evaluation(target, key=key)
    scores_of = predictions(found)["pearson"]
    others = scores_of.drop("model").dropna()
    beside = "" if others.empty else f", of the best baseline ({others.idxmax()}) {others.max():.2f}"
    ceiling = f"; a perfect prediction would reach {found.at[MEASUREMENT, 'ceiling_whole']:.2f} (the ceiling)"
    text = f"Mean correlation with the measured effects: {scores_of['model']:.2f}{beside}{ceiling}"
    say(f"{text}; see uns[{keys.evaluation(key)!r}].")
    return data if copy else None


def _scored(
    screen: Screen, rng: np.random.Generator, n_splits: int, *, baselines: bool
) -> tuple[dict[str, pd.DataFrame], int]:
    """Return the table of every method, a row per knockout, and how many training perturbations were measured."""
    labels = list(screen.genes)
    if any(n_of_test(screen, rows) > MOST_CELLS for rows in screen.perturbed.values()):
        say(f"Genes that change are tested in at most {MOST_CELLS:,} cells a side, at random.")
    values = screen.log_values(drawn(screen.control, _MAX_CELLS, rng), np.empty(0, dtype=int)).toarray()
    axes = components(values).components_.T
    training = training_effects(screen)
    measured, predicted, apart = [], [], []
    n_genes, n_axes = axes.shape
    # As many as fit into memory, as the model goes over all unperturbed cells each time.
    for numbers in pieces(len(labels), 8 * (_OF_GENES * n_genes + _OF_CELLS * N_SAMPLED * n_axes)):
        some, samples = labels[numbers], []
        pairs = zip(some, screen.columns[numbers], strict=True)
        for label, without in progress(pairs, total=len(some), description="evaluate", unit="knockout"):
            rows = screen.perturbed[label]
            measured.append(measure(screen, rows, without, n_splits, rng))
            samples.append(sample(screen, rows, without, axes, rng))
        profiles = np.array([one.profile for one in measured[numbers]])
        for prediction, cells in zip(predict(screen, some, samples, profiles, axes), samples, strict=True):
            apart.append(distances(cells, prediction.change))
            predicted.append(prediction[:3])
    effects, impacts, sizes = (np.array(part) for part in zip(*predicted, strict=True))
    model = Predicted(effects, impacts, sizes)
    tries = {"model": [model]}
    tries |= without_model(screen, measured, values, training, rng, baselines=baselines)
    measurement = score_measurement(measured, model.effects)
    how = counted(measurement), values.mean(axis=0), mean_effect(training.to_numpy()) if screen.trained else None
    if screen.trained:
        measurement["trained"] = [float(label in screen.trained) for label in labels]
    scores = {}
    for name, each in tries.items():
        tables = [score(one, measured, *how) for one in each]
        scores[name] = sum(tables[1:], start=tables[0]) / len(tables)
    scores |= {REPLICATE: score_replicate(measured, *how), MEASUREMENT: measurement}
    for method in apart[0]:
        scores[method] = scores[method].join(pd.DataFrame([one[method] for one in apart]))
    return scores, len(training)


def _tell(measurement: pd.DataFrame, names: list[str]) -> int:
    """Say what was evaluated; return how many knockouts are reliable, of those that are predictable."""
    labels = np.array(names, dtype=object)
    predictable = measurement["predictable"].to_numpy(dtype=bool)
    if not predictable.all():
        say(f"Not predictable, as no unperturbed cell expresses the gene: {listed(labels[~predictable])}.")
    n_reliable = int((predictable & measurement["reliable"].to_numpy(dtype=bool)).sum())
    if not n_reliable:
        say("No perturbation is reliable (split-half correlation above 0.3), so the summary is over all of them.")
    say(f"Evaluated {many(len(labels), 'perturbation')}, {n_reliable} of them reliable.")
    return n_reliable
