"""Fitting the total effects of all genes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..knockout import predict, presence_of
from ._calibrate import balance, best_scale
from ._deviation import deviation
from ._regression import regression
from ._shrink import shrink
from ._signal import signal
from ._slopes import slopes

if TYPE_CHECKING:
    from scipy import sparse

    from ..knockout import AffineMap
    from ._regression import Regression


@dataclass(frozen=True)
class TotalFit:
    """Total effects.

    Attributes
    ----------
    affine
        The map, with the link ``"exp"``.
    variation
        Squared coefficient of variation of cells around it; NaN where the values are no counts, so that noise cannot
        be told from biology.
    signal
        p-value of each gene: that no other gene goes with it.
    """

    affine: AffineMap
    variation: float
    signal: np.ndarray


def fit(
    profiles: sparse.csr_matrix,
    totals: np.ndarray,
    validation: np.ndarray,
    rng: np.random.Generator,
    *,
    counts: bool,
) -> TotalFit:
    """Estimate what every gene does to every other, on all paths, from relative profiles.

    Parameters
    ----------
    profiles
        Relative profiles, cells x genes, float32, no cell empty.
    totals
        Sum of the values of each cell; cells weigh as much.
    validation
        Cells that decide the scale of all effects, as a mask; the effects are then those of all cells.
    rng
        Deals cells for the null of ``signal``; the map does not depend on it.
    counts
        Whether the values are counts.
    """
    training = profiles[~validation]
    scale = best_scale(
        _influence(regression(training, totals[~validation], counts=counts))[0], training, profiles[validation]
    )
    whole = regression(profiles, totals, counts=counts)
    influence, z = _influence(whole)
    affine = balance(influence * np.float32(scale), profiles)
    variation = _variation(affine, profiles, totals) if counts else float("nan")
    return TotalFit(affine, variation, signal(z, whole, rng))


def influence(profiles: sparse.csr_matrix, totals: np.ndarray, *, counts: bool) -> np.ndarray:
    """Return what every gene does to every other, but for one scale of all: genes x genes, column g of gene g.

    The arguments are those of :func:`fit`.
    """
    return _influence(regression(profiles, totals, counts=counts))[0]


def _influence(cells: Regression) -> tuple[np.ndarray, np.ndarray]:
    """Return A, but for its scale, and the z-scores of its slopes."""
    found = slopes(cells)
    by_gene, by_response = found.error
    # Where zeros are but few counts, sampling decides most of what little a lowly expressed gene seems to change.
    seen = np.bincount(cells.profiles.indices, minlength=len(cells.level))
    trust = (cells.level / np.average(cells.level, weights=np.maximum(seen, 1))) ** cells.sampled
    influence = shrink(found.z)
    influence *= by_gene[:, None].astype(np.float32)
    influence *= (by_response * trust).astype(np.float32)
    return np.ascontiguousarray(influence.T), found.z


def _variation(affine: AffineMap, profiles: sparse.csr_matrix, totals: np.ndarray) -> float:
    counts = profiles.copy()
    counts.data = profiles.data * np.repeat(totals, np.diff(profiles.indptr))
    return deviation(counts, predict(affine, presence_of(profiles)))
