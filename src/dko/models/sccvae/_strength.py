"""How strong an unseen perturbation is, from the perturbations of the training cells alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from ..._log import logger
from ._model import unseen_shifts

if TYPE_CHECKING:
    from ._cells import Cells
    from ._model import Model

STRENGTHS = ("auto", "calibrated", "unit", "mean", "predict")
# Fewer perturbations say nothing of others.
_FEWEST = 5
_LARGEST = 2.0
# Control cells that an effect is predicted in.
_N_CELLS = 256
_PENALTIES = np.logspace(-2, 4, 13)


def strengths(model: Model, training: Cells, columns: np.ndarray, policy: str) -> np.ndarray:
    """Return, for every gene, what the shift that its features say is multiplied with, should it not be trained on.

    Parameters
    ----------
    model
        With strengths of 1.
    training
        The cells it was trained on.
    columns
        Column of each gene among the values, -1 for genes that are not measured.
    policy
        ``"unit"``: 1. ``"mean"``: the median length of the trained shifts. ``"predict"``: their length by a ridge
        regression on the features. ``"calibrated"``: one factor for all genes, with which the effects of training
        perturbations, each predicted from the others, come closest to the measured ones; with the codes ``"unit"`` and
        ``"softmax"``, whose network has seen them all, that of their own features. ``"auto"``: calibrated from 5
        training targets on, else unit.

    Notes
    -----
    No cell of a perturbation that is not trained on enters; for the strength that would suit these cells best, an
    oracle, see :func:`dko.metrics.oracle_strength`.
    """
    targets = _alone(model, training)
    if policy == "auto":
        policy = "calibrated" if len(targets[0]) >= _FEWEST else "unit"
    if policy == "calibrated" and len(targets[0]):
        return np.full(len(model.trained), _calibrated(model, training, columns, *targets), dtype=np.float32)
    lengths = model.network.shifts().norm(dim=1).detach().numpy()
    of_features = unseen_shifts(model, np.arange(len(model.trained))).norm(dim=1).clamp_min(1e-12).detach().numpy()
    if policy == "mean":
        return (np.median(lengths) / of_features).astype(np.float32)
    if policy == "predict":
        return (_predicted(model, lengths) / of_features).astype(np.float32)
    return np.ones(len(model.trained), dtype=np.float32)


def _alone(model: Model, training: Cells) -> tuple[np.ndarray, np.ndarray]:
    """Return the perturbations of one target, and the number of the gene of each."""
    single = np.flatnonzero(
        (training.members.sum(axis=1) == 1) & np.isin(np.arange(len(training.members)), training.perturbation)
    )
    gene_of = np.flatnonzero(model.trained >= 0)[np.argsort(model.trained[model.trained >= 0])]
    return single, gene_of[training.members[single].argmax(axis=1)]


@torch.no_grad()
def _calibrated(
    model: Model, training: Cells, columns: np.ndarray, perturbations: np.ndarray, genes: np.ndarray
) -> float:
    """Return the least-squares factor of predicted on measured effects, without what is said of the target itself."""
    control = training.values[training.control]
    cells = torch.from_numpy(control[:_N_CELLS].toarray())
    before = model.predict(cells, torch.zeros(1, model.coexpression.shape[1]), None)[0].mean(dim=0)
    # Perturbations of several genes train targets too, of which none may be perturbed alone.
    others = len(model.network.features) > 1
    shifts = unseen_shifts(model, genes, leave_out=model.config.code == "neighbours" and others)
    mean = np.asarray(control.mean(axis=0)).ravel()
    both = squares = 0.0
    for perturbation, gene, shift in zip(perturbations, genes, shifts, strict=True):
        predicted = (model.predict(cells, shift[None], None)[0].mean(dim=0) - before).numpy()
        own = training.values[np.flatnonzero(training.perturbation == perturbation)]
        measured = np.asarray(own.mean(axis=0)).ravel() - mean
        if columns[gene] >= 0:
            predicted[columns[gene]] = 0.0
        both += float(predicted @ measured)
        squares += float(predicted @ predicted)
    factor = float(np.clip(both / squares, 0.0, _LARGEST)) if squares else 1.0
    if factor == 0:
        logger.warning(
            "Training perturbations do not foretell each other from these features, so perturbations that were not "
            "trained on are predicted to do nothing; give other features=..., or strength='unit'."
        )
    return factor


def _predicted(model: Model, lengths: np.ndarray) -> np.ndarray:
    from sklearn.linear_model import RidgeCV

    trained = model.network.features.numpy()
    scale = trained.std(axis=0) + 1e-12
    ridge = RidgeCV(alphas=_PENALTIES).fit(trained / scale, lengths)
    return np.clip(ridge.predict(model.features.numpy() / scale), 0.0, lengths.max())
