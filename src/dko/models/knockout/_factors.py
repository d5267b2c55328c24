"""Total effects: by what factor the loss of a gene changes the share of every other gene."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

# Largest change of a log share: no exponential overflows in single precision.
BOUND = 30.0
# Added to the diagonal of a correlation matrix before it is inverted, so that genes that hardly differ share
# their effect instead of having large ones of opposite sign.
_RIDGE = 0.1


@dataclass(frozen=True)
class FactorMap:
    """A knockout multiplies the observed share of gene j by exp(-A_jg), whatever the cell; profiles sum to 1 again.

    Attributes
    ----------
    influence
        A, float32, genes x genes: by how much the log of the share of gene j falls when gene g is lost (column g).
    correlation
        R, genes x genes, of any precision: correlations between genes as predictors of others; by default none.
    step
        s, genes: how many standard deviations of gene g its loss is; by default 1.
    """

    influence: np.ndarray
    correlation: np.ndarray | None = None
    step: np.ndarray | None = None

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays that the map is made of."""
        given = {"influence": self.influence, "correlation": self.correlation, "step": self.step}
        return {name: array for name, array in given.items() if array is not None}

    @property
    def n_genes(self) -> int:
        """Number of genes."""
        return len(self.influence)

    def columns(self, genes: np.ndarray) -> np.ndarray:
        """Return by how much the logs of all shares fall when each of `genes` is lost: float32, genes x all genes."""
        return np.clip(np.take(self.influence, genes, axis=1).T, -BOUND, BOUND)

    def changes(self, genes: np.ndarray, dose: float) -> np.ndarray:
        """Return exp(-dose A_jg) - 1, float32, all genes x `genes`; 0 for a gene itself."""
        found = np.take(self.influence, genes, axis=1)
        np.clip(found, -BOUND, BOUND, out=found)
        found *= np.float32(-dose)
        np.expm1(found, out=found)
        found[genes, np.arange(len(genes))] = 0
        return found

    def weights(self, sets: np.ndarray) -> np.ndarray:
        """Return how much the effect of each gene counts when all genes of a set are lost, w.

        The slopes of gene j on one standard deviation of each gene alone are r_g = A_jg / s_g. Those of the regression
        on all genes of the set at once are inverse(R_SS) r, and the effect of losing all of them is

            s' inverse(R_SS) r = sum_g w_g A_jg    with    w = inverse(R_SS) s / s.

        So what co-expressed genes have in common is counted once; w = 1 for a gene alone, and for uncorrelated genes.
        The correlations are those of a ridge regression, R_SS / (1 + ridge) with ones on the diagonal.

        Parameters
        ----------
        sets
            Genes of each set, sets x genes, -1 pads.

        Returns
        -------
        float64, of the same shape, 0 where there is no gene.
        """
        there = sets >= 0
        if self.correlation is None or sets.shape[1] < 2:
            return there.astype(float)
        together = self.correlation[sets[:, :, None], sets[:, None, :]].astype(float) / (1 + _RIDGE)
        together *= there[:, :, None] & there[:, None, :]
        places = np.arange(sets.shape[1])
        together[:, places, places] = 1
        step = np.ones(sets.shape) if self.step is None else np.where(there, self.step[sets], 1).astype(float)
        return np.linalg.solve(together, (step * there)[..., None])[..., 0] / step

    def of_set(self, genes: np.ndarray) -> np.ndarray:
        """Return by how much the logs of all shares fall when all of `genes` are lost (float64, genes)."""
        return np.clip(self.weights(genes[None])[0] @ self.columns(genes), -BOUND, BOUND)

    def subset(self, genes: Sequence[int]) -> FactorMap:
        """Return the map among some of the genes, in the given order."""
        among, chosen = np.ix_(genes, genes), list(genes)
        return FactorMap(
            np.ascontiguousarray(self.influence[among]),
            None if self.correlation is None else self.correlation[among],
            None if self.step is None else self.step[chosen],
        )
