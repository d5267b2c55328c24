"""How well SCCVAEs predict what they were trained on: effects of perturbations, in cells that they have not seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from ...metrics import correlation
from ...metrics._baselines import mean_effect
from .ensemble import Ensemble, Member
from .sampler import Cells

# Perturbations, and control cells to predict their effects in, that tell it.
_MOST, _N_CELLS = 50, 256


def agreement(
    ensemble: Ensemble, cells: Cells, validations: Sequence[np.ndarray], columns: np.ndarray
) -> tuple[float, float]:
    """Return the mean correlations of effects in validation cells with predicted ones, and with the mean effect of all.

    Of each member in its own validation cells; `columns`: where the training targets are among the genes (-1: not),
    whose own expression is left out.
    """
    rows = np.flatnonzero(cells.used)
    pairs = zip(ensemble.members, validations, strict=False)  # fewer members where the user has stopped
    found = [_of_member(one, cells.of(np.setdiff1d(rows, own)), cells.of(own), columns) for one, own in pairs]
    # With two genes, there are no correlations.
    with_predicted, with_mean = pd.concat(found).mean()
    return with_predicted, with_mean


@torch.no_grad()
def _of_member(member: Member, training: Cells, validation: Cells, columns: np.ndarray) -> pd.DataFrame:
    """Return both correlations, a row per perturbation."""
    control = training.of_control()
    some = np.arange(0, control.shape[0], max(1, control.shape[0] // _N_CELLS))[:_N_CELLS]
    before = torch.from_numpy(control[some].toarray())
    known, measured = (means[1:] - means[0] for means in (training.means(), validation.means()))
    usual, shifts = mean_effect(known), torch.from_numpy(training.members.astype(np.float32)) @ member.network.shifts()
    found = []
    for number in range(0, len(measured), max(1, len(measured) // _MOST)):
        effect = measured[number].copy()
        own = columns[training.members[number]]
        effect[own[own >= 0]] = np.nan
        predicted = member.changes(before, shifts[number][None], None)[0].mean(dim=0).numpy()
        found.append((correlation(predicted, effect), correlation(usual, effect)))
    return pd.DataFrame(found)
