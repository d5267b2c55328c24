"""How large a measured effect is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._core.verb import verb
from .._rng import RNG, generator
from ._bray_curtis import bray_curtis
from ._log_profiles import SCALE, log_profiles
from ._subsets import means_of_parts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scipy import sparse

    from .._compat import Matrix


@verb
def effect_size(
    perturbed: Matrix,
    control: Matrix,
    *,
    without: Sequence[int] | np.ndarray = (),
    n_cells: int | None = None,
    n_splits: int = 20,
    rng: RNG = 0,
) -> float:
    """Bray-Curtis dissimilarity of the mean profiles of perturbed and unperturbed cells, beyond that of chance.

    The means of two sets of unperturbed cells differ too, the more the fewer cells they have. So, with as many cells on
    every side, the dissimilarity of some unperturbed cells from others is subtracted from that of perturbed cells from
    the same others; mean over random choices. Without any effect this is 0 on average, whatever the number of cells.
    With one, chance adds less to a dissimilarity than it does without, and the size comes out the smaller the fewer
    cells are taken: to compare knockouts, take the same number, `n_cells`, for all of them.

    Parameters
    ----------
    perturbed, control
        Profiles or counts, cells x genes, dense or sparse; at least 2 unperturbed cells.
    without
        Columns of the perturbed genes, which are taken out of both sides first.
    n_cells
        Cells on every side. By default, and at most, those that there are: all perturbed ones, or half of the
        unperturbed ones if these are fewer.
    n_splits
        How many times cells are chosen.
    rng
        Seed or generator.

    Returns
    -------
    At most 1; about 0, and possibly negative, where nothing has changed.

    Raises
    ------
    ValueError
        `n_cells` is below 1.
    """
    if n_cells is not None and n_cells < 1:
        raise ValueError(f"n_cells={n_cells!r} must be at least 1.")
    values = log_profiles(perturbed, without=without), log_profiles(control, without=without)
    most = most_cells(perturbed.shape[0], control.shape[0])
    return size_of(*values, min(most, n_cells or most), n_splits, generator(rng))


def most_cells(n_perturbed: int, n_control: int) -> int:
    """Return how many cells every side can have."""
    return min(n_perturbed, n_control // 2)


def size_of(
    perturbed: sparse.csr_array, control: sparse.csr_array, n_cells: int, n_splits: int, rng: np.random.Generator
) -> float:
    """Return the same from log values of cells."""
    (after,) = means_of_parts(shares(perturbed), n_cells, 1, n_splits, rng)
    before, other = means_of_parts(shares(control), n_cells, 2, n_splits, rng)
    return float(np.mean(bray_curtis(after, before) - bray_curtis(other, before)))


def size_of_effect(effect: np.ndarray, profile: np.ndarray) -> float:
    """Return the dissimilarity of a profile and the same after an effect (genes,), without the genes that are NaN."""
    kept = np.isfinite(effect)
    if not kept.any():
        return np.nan
    before = profile[kept]
    after = np.expm1(np.maximum(np.log1p(SCALE * before) + effect[kept], 0.0))
    before, after = (one / max(one.sum(), np.finfo(float).tiny) for one in (before, after))
    return float(bray_curtis(before[None, :], after[None, :])[0])


def shares(values: sparse.csr_array) -> sparse.csr_array:
    """Turn log values back into profiles."""
    profiles = values.copy()
    profiles.data = np.expm1(values.data) / SCALE
    return profiles
