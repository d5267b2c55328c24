"""What knockouts have done, as their cells show, and how far predicted cells are from these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...metrics import changed_genes, effect, effect_size, energy_distance, mmd
from ...metrics._effects import agreement, halves, shares
from ...metrics._profiles import columns_mask

if TYPE_CHECKING:
    from scipy import sparse

    from ._screen import Screen

# Most cells on a side of a distance, which is had from all pairs.
_MAX_CELLS = 500
# A rank test with many ties takes the normal distribution for granted, which holds for sides of similar size.
_MAX_RATIO = 2


@dataclass(frozen=True)
class Measurement:
    """A measured knockout.

    Attributes
    ----------
    effect
        Against the unperturbed cells of ``Screen.against``; NaN at the genes that were knocked out.
    effect_elsewhere
        Against those that are not held out.
    changed
        Genes that differ from the held-out unperturbed cells.
    ceiling, size
        See :func:`dko.metrics.ceiling` and :func:`dko.metrics.effect_size`.
    n_cells
        Number of perturbed cells.
    profile
        Mean profile of the unperturbed cells without the genes that were knocked out.
    noise
        Sampling variance of `effect`, mean over its genes: the mean squared error of the truth.
    halves
        Effects that two random halves of the cells show (2 x genes); NaN like `effect`.
    """

    effect: np.ndarray
    effect_elsewhere: np.ndarray
    changed: np.ndarray
    ceiling: float
    size: float
    n_cells: int
    profile: np.ndarray
    noise: float
    halves: np.ndarray


def cells_without(screen: Screen, label: str) -> tuple[sparse.csr_array, sparse.csr_array]:
    """Return the values of perturbed and of unperturbed cells, the genes of one knockout taken out of both."""
    columns = screen.columns[label]
    return screen.take_out(screen.perturbed[label], without=columns), screen.take_out(screen.control, without=columns)


def measure(
    screen: Screen,
    label: str,
    cells: tuple[sparse.csr_array, sparse.csr_array],
    n_size: int,
    n_splits: int,
    rng: np.random.Generator,
) -> Measurement:
    """Measure one knockout in the cells that `cells_without` has returned, its size with `n_size` cells a side."""
    perturbed, control = cells
    without = screen.columns[label]
    gone = columns_mask(without, control.shape[1])
    held_out = control[screen.held_out]
    reference = control if screen.against is None else control[screen.against]
    n_test = _MAX_RATIO * min(perturbed.shape[0], held_out.shape[0])
    changed = changed_genes(some(perturbed, n_test, rng), some(held_out, n_test, rng), without=without, logged=True)
    parts = halves(perturbed, reference, n_splits, rng)
    return Measurement(
        effect=effect(perturbed, reference, without=without, logged=True),
        effect_elsewhere=effect(perturbed, control[~screen.held_out], without=without, logged=True),
        changed=changed,
        ceiling=agreement(parts[..., ~gone]),
        size=effect_size(perturbed, control, logged=True, n_cells=n_size, n_splits=n_splits, rng=rng),
        n_cells=perturbed.shape[0],
        profile=np.asarray(shares(control).mean(axis=0)).ravel(),
        noise=float((_variance_of_mean(perturbed) + _variance_of_mean(reference))[~gone].mean()),
        halves=np.where(gone, np.nan, parts[:, 0]),
    )


def _variance_of_mean(cells: sparse.csr_array) -> np.ndarray:
    """Return the sampling variance of the mean of each gene."""
    n = cells.shape[0]
    mean, squares = (np.asarray(values.mean(axis=0)).ravel() for values in (cells, cells.power(2)))
    return np.maximum(squares - mean**2, 0.0) / (n - 1)


def distances(
    cells: tuple[sparse.csr_array, sparse.csr_array],
    change: np.ndarray,
    axes: np.ndarray,
    rng: np.random.Generator,
    *,
    known: np.ndarray | None = None,
) -> dict[str, dict[str, float]]:
    """Return how far cells are from the perturbed ones, by who says what these look like, in the space of `axes`.

    ``model`` adds the predicted `change` (cells x axes) to unperturbed cells, ``no change`` takes these as they are;
    ``measurement`` is how far they are from other unperturbed cells. With an effect that is `known` (genes,) from
    training cells, ``gaussian`` draws cells from a normal distribution around the unperturbed mean plus this effect,
    with the covariance of the unperturbed cells.
    """
    from scipy.spatial.distance import pdist

    after, control = cells
    order = rng.permutation(control.shape[0])
    size = min(_MAX_CELLS, len(order) // 2)
    before, other = (control[rows] @ axes for rows in (order[:size], order[size : 2 * size]))
    perturbed = some(after, _MAX_CELLS, rng) @ axes
    bandwidth = float(np.median(pdist(before)))
    pairs = {
        "model": (before + change[order[:size]], perturbed),
        "no change": (before, perturbed),
        "measurement": (before, other),
    }
    if known is not None:
        around = control @ axes
        centre = around.mean(axis=0) + np.nan_to_num(known) @ axes
        pairs["gaussian"] = (rng.multivariate_normal(centre, np.cov(around.T), size), perturbed)
    return {
        method: {
            "energy_distance": energy_distance(*pair),
            "mmd": mmd(*pair, bandwidth=bandwidth) if bandwidth > 0 else np.nan,
        }
        for method, pair in pairs.items()
    }


def some(cells: sparse.csr_array, most: int, rng: np.random.Generator) -> sparse.csr_array:
    """Return random cells, at most so many."""
    if cells.shape[0] <= most:
        return cells
    return cells[np.sort(rng.choice(cells.shape[0], most, replace=False))]
