"""One row per knockout and method: what every table and the picture of the scoreboard are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

import dko

from ._models import MODELS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from anndata import AnnData

# As dko.tl.evaluate has it.
RELIABLE = 0.3
CEILING, NO_CHANGE = "ceiling", "no change"


class Target(NamedTuple):
    """How well one method predicts one knockout."""

    data: str
    network: int | None
    target: str  # the gene
    method: str
    seed: int | None
    r: float  # Pearson correlation with the true or measured effect; of the ceiling that of a perfect prediction
    slope: float  # dko.metrics.calibration_slope, NaN where a scale is a convention
    relative_error: float  # dko.metrics.relative_error, likewise
    strength: float  # root mean square of the effect over genes
    share_of_cells: float  # of the unperturbed cells, those that have the gene
    reliable: bool  # whether halves of the cells agree on the effect; of true ones, whether it is among the 15 largest


@dataclass(frozen=True)
class Truth:
    """True or measured effects."""

    data: str
    network: int | None
    names: Sequence[str]  # genes that were knocked out
    effects: np.ndarray  # knockouts x genes; NaN at the genes that were taken out, and where nothing is known
    share: np.ndarray  # of the unperturbed cells that have each
    reliable: np.ndarray
    best: np.ndarray  # correlation that a perfect prediction has, each

    def rows(self, methods: Iterable[str], predicted: np.ndarray, seed: int | None = None) -> Iterator[Target]:
        """Yield the scores of a prediction, knockouts x genes, under the name of each method that has it."""
        for method in methods:
            for number in self._known():
                yield self._row(number, method, seed, *self._scores(number, predicted[number], has_size(method)))

    def ceiling(self) -> Iterator[Target]:
        """Yield what a perfect prediction has."""
        for number in self._known():
            yield self._row(number, CEILING, None, float(self.best[number]), np.nan, np.nan)

    def _known(self) -> np.ndarray:
        return np.flatnonzero(np.isfinite(self.effects).any(axis=1))

    def _scores(self, number: int, predicted: np.ndarray, sized: bool) -> tuple[float, float, float]:
        pair = predicted, self.effects[number]
        r = dko.metrics.correlation(*pair)
        return (
            (r, dko.metrics.calibration_slope(*pair), dko.metrics.relative_error(*pair))
            if sized
            else (r, np.nan, np.nan)
        )

    def _row(self, number: int, method: str, seed: int | None, r: float, slope: float, error: float) -> Target:
        return Target(
            data=self.data,
            network=self.network,
            target=self.names[number],
            method=method,
            seed=seed,
            r=r,
            slope=slope,
            relative_error=error,
            strength=float(np.sqrt(np.nanmean(np.square(self.effects[number])))),
            share_of_cells=float(self.share[number]),
            reliable=bool(self.reliable[number]),
        )


def has_size(method: str) -> bool:
    """Whether the scale of the effects of a method is no convention."""
    return method in (*MODELS, NO_CHANGE)


def simulated(data: str, network: int, cells: AnnData, true: np.ndarray, strong: np.ndarray) -> Truth:
    """Return the true effects of all genes, genes x genes, of which some rows are `strong`."""
    share = np.asarray((cells.X > 0).mean(axis=0)).ravel()
    reliable = np.isin(np.arange(len(true)), strong)
    return Truth(data, network, list(cells.var_names), true, share, reliable, np.ones(len(true)))
