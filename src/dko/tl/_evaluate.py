"""Holding predicted against measured knockouts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._core import keys
from .._core.cells import unwrap
from .._core.fitted import read_fitted
from .._core.messages import listed, say
from .._core.names import control_of
from .._core.verb import verb
from .._core.write import writable, write
from .._rng import generator
from .evaluation._scores import MEASUREMENT, counted
from .evaluation._summary import summarise
from .evaluation._trial import score_trial
from .evaluation._trial_assemblage import open_assemblage_trial

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from mudata import MuData

    from .._rng import RNG
    from .evaluation._screen import Screen
    from .evaluation._trial import Trial

# Shuffles of the unperturbed cells whose scores are averaged: one alone is a chance value.
_N_SHUFFLES = 10


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
    oracle: bool = False,
    rng: RNG = 0,
    mod: str = "rna",
    device: str = "auto",
    progress: bool = True,
    copy: bool = False,
) -> AnnData | MuData | None:
    """Score predicted against measured knockouts, beside baselines and beside what the measurement itself allows.

    *An assemblage model* foretells knockouts from unperturbed cells. Effects are changes of the mean of log1p(1e4 *
    profile), over the genes of the model, the knocked-out genes taken out of both sides and both renormalised.
    Predicted ones are averaged over the unperturbed cells that have a model and express any of these genes; of a fit
    with groups, over all groups as they occur among the unperturbed cells, whatever groups the perturbed cells are of.

    *An SCCVAE* foretells perturbations from others. Effects are changes of the mean of the log-normalised values that
    it was trained on, without the perturbed genes, averaged over all control cells; they are measured against the
    control cells that the fit has kept out (``test_controls=...``, ``test_fraction=...``), if there are any. Scored are
    the perturbations that it was not trained on; where there are none, or where others are named, the test cells of
    those that it was trained on. Baselines see the cells that the fit has trained and validated on, and thus those that
    are scored only where the model has seen them too, which a warning says.

    Parameters
    ----------
    adata
        Perturbed and unperturbed cells, with a model:
        ``dko.tl.fit(adata, perturbation_key=..., control=...)``, of an SCCVAE with ``holdout=[...]`` or
        ``test_fraction=0.2``.
    perturbation_key, control
        ``obs`` column of the gene that was knocked out (several joined by ``+``), and its value for unperturbed cells.
    %(fit)s
    baselines
        Also score what can be said without the model: see :func:`dko.metrics.baseline_effects`, or of an SCCVAE
        :func:`dko.metrics.supervised_effects`. The former is had from 5,000 random unperturbed cells if there are more,
        the ridge from 2,000; ``permuted cells`` has the mean scores of 10 shuffles.
    perturbations
        Perturbations to score; by default all whose genes the model knows, as said above. Those of fewer than 10 cells
        are left out.
    n_splits
        Random halves of the cells for the ceiling, and random choices for the measured size.
    n_bootstrap
        Resamples of the perturbations for the intervals that are had from these.
    oracle
        Of an SCCVAE, also score ``oracle strength``: each prediction with the strength that fits the measured effect
        best. It has seen the answer, and is no prediction: see :func:`dko.metrics.oracle_strength`. The model stays as
        it is.
    rng
        Seed or generator: halves, resamples, and the cells that distances are taken between.
    device
        Where to compute.
    %(progress)s
    %(copy)s

    Returns
    -------
    None, or the changed copy. Sets ``uns[f"{key}_evaluation"]``, a dict of ``params`` and two tables for
    :func:`dko.get.evaluation`.

    ``table``
        ``method``, ``perturbation``, ``metric``, ``value``, a row for each.
    ``summary``
        ``method``, ``metric``, ``mean``, ``low``, ``high``, ``scaled``, ``gain``, ``gain_low``, ``gain_high``,
        ``n_perturbations`` (that have a value): over the reliable ones (ceiling above 0.3), or all where none is
        reliable; without those that are not predictable. ``scaled`` is the mean from that of ``no change``, 0, to that
        of ``replicate``, 1; see :func:`dko.metrics.scaled`. The gain is the difference of model minus method, pair by
        pair. Intervals are 95 %, over perturbations: Student's t of the mean with fewer than 30, else percentiles of a
        bootstrap, and always the latter for ``impact_ranking``, which has none with fewer than 5.

    Methods are ``model``, ``no change``, ``renormalise`` (the profile without the gene, nothing else; its impact is the
    gene's share; not of an SCCVAE) and the baselines. Those of an SCCVAE are ``mean effect``, ``ridge`` and ``nearest``
    of :func:`dko.metrics.supervised_effects`, ``additive`` (the sum of the measured effects of several genes that were
    all trained on alone), ``co-expression`` (of single measured genes) and ``gaussian``. The metrics of each:

    ``pearson``, ``spearman``
        Correlation over genes of predicted and measured effect; 0 for a constant prediction.
    ``pearson_centred`` (SCCVAE)
        The former after subtracting, on both sides, the mean effect of the training perturbations: what is predicted of
        this one that is not true of all. 0 for ``mean effect``. Minus the mean effect is what ``no change`` says then,
        which fits wherever a perturbation does less than most.
    ``calibration_slope``, ``relative_error``, ``mse``, ``mse_corrected``
        Whether effects have the right size: the factor that is missing to the measured ones
        (:func:`dko.metrics.calibration_slope`, 1 is right), the squared error over that of no change
        (:func:`dko.metrics.relative_error`, below 1 is a gain), the mean squared error, and this without the sampling
        variance of the measurement. NaN for baselines whose scale is a convention.
    ``direction_20``, ``direction_50``
        Share of right signs among the 20 or 50 genes that change most of those that change significantly: the mean of
        that of the rising and that of the falling ones, by chance 0.5. NaN where all change in one direction.
    ``direction_fidelity``, ``direction_reach``
        Share of right signs among the genes that are predicted to change most, as many as change significantly, by
        chance 0.5; and how far down the genes that change, by the size of their prediction, 90 % of the signs are
        right. As in cell-eval2: :func:`dko.metrics.direction_fidelity`, :func:`dko.metrics.direction_reach`.
    ``auprc``, ``auroc``, ``auroc_matched``
        Recovery of the genes that change significantly by the size of the prediction; the last within fifths of genes
        by expression. By chance the base rate, 0.5 and 0.5.
    ``jaccard``
        Overlap of the genes that change significantly and as many that are predicted to change most.
    ``retrieval``, ``retrieval_centred``, ``retrieval_cosine``
        Share of the other perturbations whose effect fits the prediction worse than its own, by correlation; also after
        subtracting what the others have in common; and by the cosine, as the perturbation discrimination score of
        cell-eval2 (:func:`dko.metrics.retrieval_cosine`). By chance 0.5. Like ``similarity``, among the perturbations
        of the summary.
    ``similarity``
        Mean rank correlation with the predictions for other perturbations; compare that of the measurement.
    ``impact``
        Mean impact in the cells that express the gene, its own share included; of ``renormalise`` that share; of an
        SCCVAE as :func:`dko.tl.virtual_ko` has it, in all control cells.
    ``size``, ``impact_ranking`` (summary only)
        Bray-Curtis dissimilarity of the mean profiles of all unperturbed cells before and after, the gene taken out of
        both (of baselines and of an SCCVAE, of the measured mean profile and the same after the effect); its rank
        correlation over perturbations with the measured size, :func:`dko.metrics.effect_size` with as many cells for
        all perturbations as the one of the fewest has.
    ``energy_distance``, ``mmd``
        Of ``model`` and ``no change``: how far predicted cells, the unperturbed ones plus what is predicted to change
        in each, are from the perturbed ones, in 20 principal components of the unperturbed cells. Of ``gaussian``: the
        same of draws from a normal distribution around the mean of control cells plus the mean effect, or, of a
        perturbation that was trained on, its own effect in the training cells; with the covariance of control cells.
    ``strength``
        Of ``oracle strength``: what was found, 1 being the strength of the model.

    The method ``replicate`` is a random half of the cells, perturbed and unperturbed, as a prediction of the other
    half: what a repeated measurement would reach. The method ``measurement`` has ``n_cells``, ``n_changed`` and
    ``base_rate`` (genes that change significantly), ``ceiling`` (the agreement of halves of the cells),
    ``ceiling_whole`` (sqrt(2 r / (1 + r)) of it, r, which is what a perfect prediction reaches against the whole
    measurement), ``reliable``, ``predictable`` (any unperturbed cell expresses the gene; always of an SCCVAE),
    ``similarity``, the measured ``size``, ``mse`` (the sampling variance of the effect, which is the error of a perfect
    prediction), and the distances of unperturbed cells from other unperturbed cells; beside an SCCVAE also ``trained``
    (whether the model was trained on this perturbation).

    Raises
    ------
    KeyError
        No fit; no such column, control or perturbation.
    ValueError
        Fewer than 20 unperturbed cells; no perturbation of genes of the model, none of 10 cells, or none of a gene that
        an unperturbed cell expresses; of an SCCVAE, another control than that of the fit; `oracle` of a model
        without strengths.

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
    wanted = (
        [perturbations] if isinstance(perturbations, str) else None if perturbations is None else list(perturbations)
    )
    control = control_of(target, perturbation_key, control)
    how = {"baselines": baselines, "device": device, "rng": stream}
    trial = _open(target, key, perturbation_key, control, wanted, oracle=oracle, **how)
    scores, screen = score_trial(trial, n_splits, stream), trial.screen
    chosen = counted(scores[MEASUREMENT])
    summary = summarise(scores, chosen, n_bootstrap, stream)
    reliable = _tell(scores[MEASUREMENT], screen)
    params = {
        "perturbation_key": perturbation_key,
        "control": control,
        "n_control": screen.control.shape[0],
        "held_out": screen.held_out_are,
        "summary_over": "reliable" if reliable else "all",
        "n_perturbations": int(chosen.sum()),
        "n_splits": n_splits,
        "n_bootstrap": n_bootstrap,
        **trial.params,
        **({"rng": int(rng)} if isinstance(rng, int | np.integer) else {}),
    }
    content = {keys.PARAMS: params, keys.TABLE: _tidy(scores, list(screen.columns)), keys.SUMMARY: summary}
    write(target, uns={keys.evaluation(key): content})
    return data if copy else None


def _open(
    adata: AnnData,
    key: str,
    perturbation_key: str,
    control: str,
    perturbations: Sequence[str] | None,
    *,
    oracle: bool,
    **how: Any,
) -> Trial:
    """Get the model ready that is there."""
    if read_fitted(adata, key).kind == keys.SCCVAE:
        # It imports torch.
        from .evaluation._trial_sccvae import open_sccvae_trial

        return open_sccvae_trial(adata, key, perturbation_key, control, perturbations, oracle=oracle, **how)
    if oracle:
        raise ValueError(
            "oracle=True searches the strength of a shift, which a model of this kind has not; leave it out."
        )
    return open_assemblage_trial(adata, key, perturbation_key, control, perturbations, n_shuffles=_N_SHUFFLES, **how)


def _tidy(scores: dict[str, pd.DataFrame], labels: list[str]) -> pd.DataFrame:
    tables = [
        table.assign(perturbation=labels, method=method).melt(["method", "perturbation"], var_name="metric")
        for method, table in scores.items()
    ]
    return pd.concat(tables, ignore_index=True)


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
