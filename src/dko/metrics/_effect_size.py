"""How large a measured effect is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._rng import RNG, generator
from ._bray_curtis import bray_curtis
from ._log_profiles import SCALE, log_profiles
from ._subsets import means_of_parts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scipy import sparse

    from .._arrays import Matrix


def effect_size(
    perturbed: Matrix,
    control: Matrix,
    *,
    without: Sequence[int] | np.ndarray = (),
    n_splits: int = 20,
    rng: RNG = 0,
) -> float:
    """Bray-Curtis dissimilarity of the mean profiles of perturbed and unperturbed cells, beyond that of chance.

    The means of two sets of unperturbed cells differ too, the more the fewer cells they have. So, with as many cells on
    every side, the dissimilarity of some unperturbed cells from others is subtracted from that of perturbed cells from
    the same others; mean over random choices.

    Parameters
    ----------
    perturbed, control
        Profiles or counts, cells x genes, dense or sparse; at least 2 unperturbed cells.
    without
        Columns of the perturbed genes, which are taken out of both sides first.
    n_splits
        How many times cells are chosen.
    rng
        Seed or generator.

    Returns
    -------
    At most 1; about 0, and possibly negative, where nothing has changed.
    """
    values = log_profiles(perturbed, without=without), log_profiles(control, without=without)
    return size_of(*values, n_splits, generator(rng))


def size_of(perturbed: sparse.csr_array, control: sparse.csr_array, n_splits: int, rng: np.random.Generator) -> float:
    """Return the same from log values of cells."""
    n_cells = min(perturbed.shape[0], control.shape[0] // 2)
    (after,) = means_of_parts(_shares(perturbed), n_cells, 1, n_splits, rng)
    before, other = means_of_parts(_shares(control), n_cells, 2, n_splits, rng)
    return float(np.mean(bray_curtis(after, before) - bray_curtis(other, before)))


def _shares(values: sparse.csr_array) -> sparse.csr_array:
    shares = values.copy()
    shares.data = np.expm1(values.data) / SCALE
    return shares
