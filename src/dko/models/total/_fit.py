"""Fitting the total effects of all genes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..knockout import FactorMap
from ._correlation import correlation, steps
from ._regression import regression
from ._shrink import shrink
from ._signal import signal
from ._slopes import slopes

if TYPE_CHECKING:
    from scipy import sparse

    from ._regression import Regression

# Largest change of a log share by one knockout: a factor of 20.
_BOUND = 3.0


@dataclass(frozen=True)
class TotalFit:
    """Total effects.

    Attributes
    ----------
    factors
        What knockouts do to observed profiles.
    signal
        p-value of each gene: that no other gene goes with it.
    """

    factors: FactorMap
    signal: np.ndarray


def fit(profiles: sparse.csr_matrix, totals: np.ndarray, rng: np.random.Generator, *, counts: bool) -> TotalFit:
    """Estimate what every gene does to every other, on all paths, from relative profiles.

    Parameters
    ----------
    profiles
        Relative profiles, cells x genes, float32, no cell empty.
    totals
        Sum of the values of each cell; cells weigh as much.
    rng
        Deals cells for the null of ``signal``; the map does not depend on it.
    counts
        Whether the values are counts.
    """
    cells = regression(profiles, totals, counts=counts)
    influence, z = _influence(cells)
    factors = FactorMap(np.clip(influence, -_BOUND, _BOUND), correlation(cells), steps(cells))
    return TotalFit(factors, signal(z, cells, rng))


def influence(profiles: sparse.csr_matrix, totals: np.ndarray, *, counts: bool) -> np.ndarray:
    """Return what every gene does to every other, as large as it is found to be: genes x genes, column g of gene g.

    The arguments are those of :func:`fit`.
    """
    return _influence(regression(profiles, totals, counts=counts))[0]


def _influence(cells: Regression) -> tuple[np.ndarray, np.ndarray]:
    """Return A, and the z-scores of its slopes: the predictors are 1 on average where a gene is present."""
    found = slopes(cells)
    by_gene, by_response = found.error
    # Where zeros are but few counts, sampling decides most of what little a lowly expressed gene seems to change.
    seen = np.bincount(cells.profiles.indices, minlength=len(cells.level))
    trust = (cells.level / np.average(cells.level, weights=np.maximum(seen, 1))) ** cells.sampled
    influence = shrink(found.z)
    influence *= by_gene[:, None].astype(np.float32)
    influence *= (by_response * trust).astype(np.float32)
    return np.ascontiguousarray(influence.T), found.z
