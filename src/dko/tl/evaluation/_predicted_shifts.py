"""What an SCCVAE says of perturbations in control cells, to be held against measured ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...metrics._effects import shares, size_of_effect
from ...metrics._profiles import columns_mask
from ..knockouts._perturb_ko import dissimilarity
from ._predicted import Prediction

if TYPE_CHECKING:
    from ..._core.knockouts import Perturber

# The same draws from the posterior as dko.tl.virtual_ko takes by default.
_NOISE = 0


class ShiftPredictor:
    """Perturbs control cells.

    Parameters
    ----------
    perturber
        The cells, and the model.
    genes
        Of each perturbation.
    columns
        Those of them that are among the genes of the model.
    """

    def __init__(self, perturber: Perturber, genes: dict[str, list[str]], columns: dict[str, np.ndarray]):
        self._perturber, self._genes, self._columns = perturber, genes, columns
        self._profile = np.asarray(shares(perturber.values).mean(axis=0)).ravel()

    def knock_out(self, label: str, axes: np.ndarray) -> Prediction:
        """Predict the perturbation of some genes together, and the change of cells along `axes`."""
        gone = columns_mask(self._columns[label], len(self._profile))
        total, changes, impacts = np.zeros(len(gone)), [], []
        for _, before, after in self._perturber.pairs(self._genes[label], rng=_NOISE):
            impacts.append(dissimilarity(before, after))
            change = np.where(gone, 0.0, after - before)
            total += change.sum(axis=0, dtype=float)
            # Of all genes, those of many cells would not fit into memory.
            changes.append(change @ axes)
        effect = np.where(gone, np.nan, total / len(self._perturber.rows))
        impact = float(np.concatenate(impacts).mean())
        return Prediction(effect, impact, size_of_effect(effect, self._profile), np.concatenate(changes))

    def graded(self, label: str, strengths: np.ndarray) -> np.ndarray:
        """Return the effects of a perturbation whose shift is multiplied with each strength (strengths x genes)."""
        effects = np.zeros((len(strengths), len(self._profile)))
        for _, before, after in self._perturber.doses(self._genes[label], strengths, rng=_NOISE):
            effects += (after - before).sum(axis=1, dtype=float)
        effects[:, self._columns[label]] = np.nan
        return effects / len(self._perturber.rows)
