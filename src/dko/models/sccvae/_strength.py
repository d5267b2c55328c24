"""How strong an unseen perturbation is, from the perturbations of the training cells alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..._core.messages import logger
from ._held_out import held_out_shifts
from ._model import unseen_shifts

if TYPE_CHECKING:
    from ._cells import Cells
    from ._ensemble import Ensemble
    from ._model import Model

STRENGTHS = ("auto", "calibrated", "unit", "mean", "predict")
# Fewer perturbations say nothing of others.
_FEWEST = 5
_LARGEST = 2.0
# Control cells that an effect is predicted in.
_N_CELLS = 256
_PENALTIES = np.logspace(-2, 4, 13)


def with_strengths(
    ensemble: Ensemble, training: Cells, columns: np.ndarray, policy: str, rng: np.random.Generator
) -> Ensemble:
    """Return an ensemble with the strengths that :func:`strengths` finds."""
    found = strengths(ensemble, training, columns, policy, rng)
    members = zip(ensemble.members, found, strict=True)
    return replace(ensemble, members=tuple(replace(member, strength=own) for member, own in members))


def strengths(
    ensemble: Ensemble, training: Cells, columns: np.ndarray, policy: str, rng: np.random.Generator
) -> np.ndarray:
    """Return, for every gene, what the shift that its features say is multiplied with, should it not be trained on.

    Parameters
    ----------
    ensemble
        With strengths of 1.
    training
        The cells it was trained on.
    columns
        Column of each gene among the values, -1 for genes that are not measured.
    policy
        ``"unit"``: 1. ``"mean"``: the median length of the trained shifts. ``"predict"``: their length by a ridge
        regression on the features. ``"calibrated"``: one factor for all genes and members, with which the effects of
        training perturbations, each predicted from the others, come closest to the measured ones. ``"auto"``:
        calibrated from 5 training targets on, else unit.
    rng
        Decides in which control cells effects are predicted, and the folds of :func:`held_out_shifts`.

    Returns
    -------
    Members x genes, float32.

    Notes
    -----
    No cell of a perturbation that is not trained on enters; for the strength that would suit these cells best, an
    oracle, see :func:`dko.metrics.oracle_strength`.
    """
    first = ensemble.members[0]
    found = np.ones((len(ensemble.members), len(first.trained)), dtype=np.float32)
    perturbations, genes = _alone(first, training)
    if policy == "auto":
        policy = "calibrated" if len(genes) >= _FEWEST else "unit"
    if policy == "calibrated" and len(genes):
        found *= _calibrated(ensemble, training, columns, perturbations, genes, rng)
    elif policy in {"mean", "predict"}:
        found[:] = [_to_lengths(member, policy) for member in ensemble.members]
    return found


def _to_lengths(member: Model, policy: str) -> np.ndarray:
    """Return what gives the shifts of a member the median length of trained ones, or the one that features say."""
    lengths = member.network.shifts().norm(dim=1).detach().numpy()
    of_features = unseen_shifts(member, np.arange(len(member.trained))).norm(dim=1).clamp_min(1e-12).detach().numpy()
    return (np.median(lengths) if policy == "mean" else _predicted(member, lengths)) / of_features


def _alone(model: Model, training: Cells) -> tuple[np.ndarray, np.ndarray]:
    """Return the perturbations of one target, and the number of the gene of each."""
    single = np.flatnonzero(
        (training.members.sum(axis=1) == 1) & np.isin(np.arange(len(training.members)), training.perturbation)
    )
    gene_of = np.flatnonzero(model.trained >= 0)[np.argsort(model.trained[model.trained >= 0])]
    return single, gene_of[training.members[single].argmax(axis=1)]


def _calibrated(
    ensemble: Ensemble,
    training: Cells,
    columns: np.ndarray,
    perturbations: np.ndarray,
    genes: np.ndarray,
    rng: np.random.Generator,
) -> float:
    """Return the least-squares factor of predicted on measured effects, without the expression of the target itself."""
    control = training.values[training.control]
    mean = np.asarray(control.mean(axis=0)).ravel()
    cells = torch.from_numpy(control[rng.permutation(control.shape[0])[:_N_CELLS]].toarray())
    shifts = torch.cat([held_out_shifts(member, genes, rng) for member in ensemble.members], dim=1)
    both = squares = 0.0
    for perturbation, gene, shift in zip(perturbations, genes, shifts, strict=True):
        predicted = ensemble.changes(cells, shift[None], None)[0].mean(dim=0).numpy()
        own = training.values[np.flatnonzero(training.perturbation == perturbation)]
        measured = np.asarray(own.mean(axis=0)).ravel() - mean
        if columns[gene] >= 0:
            predicted[columns[gene]] = 0.0
        both += float(predicted @ measured)
        squares += float(predicted @ predicted)
    factor = float(np.clip(both / squares, 0.0, _LARGEST)) if squares else 1.0
    if factor == 0:
        logger.warning(
            "With these features, the effects of training perturbations cannot be predicted from each other, so "
            "perturbations that were not trained on are predicted to do nothing; give other features=..., or "
            "strength='unit'."
        )
    return factor


def _predicted(model: Model, lengths: np.ndarray) -> np.ndarray:
    from sklearn.linear_model import RidgeCV

    trained = model.network.features.numpy()
    scale = trained.std(axis=0) + 1e-12
    ridge = RidgeCV(alphas=_PENALTIES).fit(trained / scale, lengths)
    return np.clip(ridge.predict(model.features.numpy() / scale), 0.0, lengths.max())
