"""Doses of a perturbation with an SCCVAE."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..._core.messages import progress_of
from ._dose_curves import Curve
from ._perturb_ko import dissimilarity

if TYPE_CHECKING:
    from ..._core.knockouts import Perturber


def perturb_doses(
    perturber: Perturber, sets: dict[str, list[str]], doses: np.ndarray, *, mixture: bool, seed: int
) -> dict[str, Curve]:
    """Return the curve of each perturbation over the control cells, with one draw of their latent state for all."""
    shifts = perturber.shifts(list(sets.values()))
    lengths = perturber.model.propagated(shifts).norm(dim=1).tolist()
    curves, names, n_cells = {}, perturber.fitted.genes, len(perturber.rows)
    with progress_of(len(sets) * len(doses) * n_cells, description="dose_response", unit="cell") as advance:
        for (label, genes), length in zip(sets.items(), lengths, strict=True):
            others = ~np.isin(names, genes)
            impact, downstream, change = [], [], np.zeros((len(doses), len(names)))
            for rows, before, after in perturber.doses(genes, doses, mixture=mixture, rng=seed):
                impact.append(np.stack([dissimilarity(before, one) for one in after], axis=1))
                rest = [dissimilarity(before[:, others], one[:, others]) for one in after]
                downstream.append(np.stack(rest, axis=1))
                change += (after - before).sum(axis=1, dtype=float)
                advance(len(doses) * len(rows))
            change /= n_cells
            change[:, ~others] = np.nan
            curves[label] = Curve(np.concatenate(impact), np.concatenate(downstream), change, length)
    return curves
