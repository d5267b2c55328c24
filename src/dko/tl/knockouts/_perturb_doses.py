"""Doses of a perturbation with an SCCVAE."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..._log import progress_of
from ._dose_curves import Curve
from ._perturb_ko import dissimilarity

if TYPE_CHECKING:
    from ..._perturber import Perturber


def perturb_doses(
    perturber: Perturber, sets: dict[str, list[str]], doses: np.ndarray, *, mixture: bool, seed: int
) -> dict[str, Curve]:
    """Return the curve of each perturbation over the control cells, with one draw of their latent state for all."""
    shifts = perturber.shifts(list(sets.values()))
    lengths = perturber.model.propagated(shifts).norm(dim=1).tolist()
    curves = {}
    n_cells = len(perturber.rows)
    with progress_of(len(sets) * len(doses) * n_cells, description="dose_response", unit="cell") as advance:
        for (label, genes), length in zip(sets.items(), lengths, strict=True):
            found = []
            for dose in doses:
                found.append(_at_dose(perturber, genes, dose, mixture, seed))
                advance(n_cells)
            impact, change = (np.stack(arrays) for arrays in zip(*found, strict=True))
            change[:, np.isin(perturber.fitted.genes, genes)] = np.nan
            curves[label] = Curve(impact.T, change, length)
    return curves


def _at_dose(
    perturber: Perturber, genes: list[str], dose: float, mixture: bool, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the impact in each cell, and the mean change of each gene."""
    total, impact = np.zeros(len(perturber.fitted.genes)), []
    if dose == 0:
        return np.zeros(len(perturber.rows), dtype=np.float32), total
    for _, before, after in perturber.pairs(genes, float(dose), mixture=mixture, rng=seed):
        impact.append(dissimilarity(before, after))
        total += (after - before).sum(axis=0, dtype=float)
    return np.concatenate(impact), total / len(perturber.rows)
