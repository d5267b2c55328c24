"""What the perturbations that a model was trained on have done, and what follows from these for others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..._core import keys
from ...metrics import effect, supervised_effects
from ...metrics._baselines import mean_effect
from ._screen import columns_of, of_split

if TYPE_CHECKING:
    from anndata import AnnData
    from scipy import sparse

    from ..._core.fitted import Fitted
    from ._screen import Named


@dataclass(frozen=True)
class TrainingEffects:
    """Measured effects of perturbations, from the cells that the model was trained and validated on alone.

    Attributes
    ----------
    genes
        Of each perturbation.
    effects
        Perturbations x genes; NaN at the perturbed ones.
    features
        Of every gene that the model can perturb, by its name.
    """

    genes: dict[str, list[str]]
    effects: np.ndarray
    features: dict[str, np.ndarray]

    @property
    def mean(self) -> np.ndarray:
        """Mean effect (genes,); NaN where no perturbation tells."""
        return mean_effect(self.effects)

    def of(self, labels: list[str]) -> np.ndarray:
        """Return the effect of each perturbation that was trained on, and the mean effect for others."""
        numbers = {label: number for number, label in enumerate(self.genes)}
        mean = self.mean
        rows = [self.effects[numbers[label]] if label in numbers else mean for label in labels]
        return np.array(rows)

    def baselines(self, wanted: dict[str, list[str]]) -> dict[str, np.ndarray]:
        """Return what follows for other perturbations (n x genes), by the name of the baseline."""
        found = supervised_effects(self.effects, self._summed(self.genes), wanted=self._summed(wanted))
        return {**found, "additive": np.array([self._added(genes) for genes in wanted.values()])}

    def _summed(self, perturbations: dict[str, list[str]]) -> np.ndarray:
        return np.array([sum(self.features[gene] for gene in genes) for genes in perturbations.values()])

    def _added(self, genes: list[str]) -> np.ndarray:
        """Add the effects of single genes; NaN for one gene, and unless all of several were trained on alone."""
        numbers = {some[0]: number for number, some in enumerate(self.genes.values()) if len(some) == 1}
        if len(genes) < 2 or not numbers.keys() >= set(genes):
            return np.full(self.effects.shape[1], np.nan)
        return self.effects[[numbers[gene] for gene in genes]].sum(axis=0)


def training_effects(
    adata: AnnData, fitted: Fitted, values: sparse.csr_array, named: Named, trained: dict[str, list[str]]
) -> TrainingEffects:
    """Measure the effects of `trained` perturbations in their training and validation cells, against control ones."""

    def used(rows: np.ndarray) -> np.ndarray:
        """Choose cells that were trained on; all where nothing is known of it."""
        if keys.split(fitted.key) not in adata.obs:
            return rows
        return rows[of_split(adata, fitted.key, rows, keys.TRAIN, keys.VALIDATION)]

    rows = {label: used(named.rows(label)) for label in trained}
    control = used(np.flatnonzero(named.control))
    there = {label: genes for label, genes in trained.items() if len(rows[label]) and len(control)}
    effects = np.zeros((len(there), len(fitted.genes)))
    for row, (label, columns) in zip(effects, columns_of(there, fitted.genes).items(), strict=True):
        row[:] = effect(values[rows[label]], values[control], without=columns, logged=True)
    features = dict(zip(fitted.targets, fitted.weights["features"].astype(float), strict=True))
    return TrainingEffects(there, effects, features)
