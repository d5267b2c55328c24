"""A fitted model in its simplest form: one gene x gene matrix, whole or as a product, and one intercept per gene."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from ._factors import FactorMap

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class AffineMap:
    """Outputs |A z / sum(z) + b| of a model that is affine before the absolute value (arXiv 2510.03359).

    Attributes
    ----------
    influence
        A, float32, genes x genes: column g is what the presence of gene g adds to every gene j.
    intercept
        b, float32, genes.
    """

    influence: np.ndarray
    intercept: np.ndarray

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays that the map is made of."""
        return {"influence": self.influence, "intercept": self.intercept}

    @property
    def n_genes(self) -> int:
        """Number of genes."""
        return len(self.intercept)

    def rows(self, genes: np.ndarray) -> np.ndarray:
        """Return what every gene adds to each of `genes`: float32, genes x all genes."""
        return self.influence[genes]

    def columns(self, genes: np.ndarray) -> np.ndarray:
        """Return what each of `genes` adds to every gene: float32, genes x all genes."""
        return np.take(self.influence, genes, axis=1).T

    @cached_property
    def diagonal(self) -> np.ndarray:
        """What each gene adds to itself."""
        return np.ascontiguousarray(self.influence.diagonal())

    def subset(self, genes: Sequence[int]) -> AffineMap:
        """Return the map among some of the genes, in the given order."""
        among = np.ascontiguousarray(self.influence[np.ix_(genes, genes)])
        return AffineMap(among, self.intercept[list(genes)])


@dataclass(frozen=True)
class LowRankMap:
    """The same with A = outgoing @ incoming, which is never formed as a whole: for many genes.

    Attributes
    ----------
    outgoing
        float32, genes x rank: what each factor adds to every gene.
    incoming
        float32, rank x genes: what the presence of each gene adds to every factor.
    intercept
        b, float32, genes.
    """

    outgoing: np.ndarray
    incoming: np.ndarray
    intercept: np.ndarray

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays that the map is made of."""
        return {"outgoing": self.outgoing, "incoming": self.incoming, "intercept": self.intercept}

    @property
    def n_genes(self) -> int:
        """Number of genes."""
        return len(self.intercept)

    @property
    def rank(self) -> int:
        """Number of factors."""
        return self.incoming.shape[0]

    def rows(self, genes: np.ndarray) -> np.ndarray:
        """Return what every gene adds to each of `genes`: float32, genes x all genes."""
        return self.outgoing[genes] @ self.incoming

    def columns(self, genes: np.ndarray) -> np.ndarray:
        """Return what each of `genes` adds to every gene: float32, genes x all genes."""
        return self.incoming[:, genes].T @ self.outgoing.T

    @cached_property
    def diagonal(self) -> np.ndarray:
        """What each gene adds to itself."""
        return np.einsum("gr,rg->g", self.outgoing, self.incoming)

    def subset(self, genes: Sequence[int]) -> LowRankMap:
        """Return the map among some of the genes, in the given order."""
        chosen = list(genes)
        incoming = np.ascontiguousarray(self.incoming[:, chosen])
        return LowRankMap(self.outgoing[chosen], incoming, self.intercept[chosen])


Map: TypeAlias = AffineMap | LowRankMap
"""What predicts profiles from assemblages."""
AnyMap: TypeAlias = Map | FactorMap
"""What knockouts go through: a prediction with and without the genes, or factors of what was observed."""


def map_of(arrays: dict[str, np.ndarray]) -> Map:
    """Return the map that is made of some arrays, of any byte order."""
    native = {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in arrays.items()}
    if "outgoing" in native:
        return LowRankMap(native["outgoing"], native["incoming"], native["intercept"])
    return AffineMap(native["influence"], native["intercept"])
