"""How well a measured effect agrees with itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._core.verb import verb
from .._rng import RNG, generator
from ._correlation import correlation
from ._log_profiles import columns_mask, log_profiles
from ._subsets import means_of_parts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scipy import sparse

    from .._compat import Matrix


@verb
def ceiling(
    perturbed: Matrix,
    control: Matrix,
    *,
    without: Sequence[int] | np.ndarray = (),
    n_splits: int = 20,
    rng: RNG = 0,
) -> float:
    """Pearson correlation of the effects that two halves of the cells show, mean over random halves.

    Perturbed and unperturbed cells are both halved, so that the two effects share no cell. It is the
    agreement of halves: the effect of all cells is known better than that of a half, and a perfect prediction of it has
    a correlation of sqrt(2 r / (1 + r)), which is higher than this r; see Notes.

    Parameters
    ----------
    perturbed, control
        Profiles or counts, cells x genes, dense or sparse, at least 2 cells each.
    without
        Columns of the perturbed genes, which are taken out of both sides first.
    n_splits
        How many times the cells are halved.
    rng
        Seed or generator.

    Returns
    -------
    -1 to 1; about 0 where nothing but noise was measured.

    Notes
    -----
    By Spearman and Brown, two measurements of as many cells as there are would correlate at 2 r / (1 + r), and the
    truth correlates with one at the root of that.
    """
    kept = ~columns_mask(without, perturbed.shape[1])
    values = log_profiles(perturbed, without=without), log_profiles(control, without=without)
    return agreement(halves(*values, n_splits, generator(rng))[..., kept])


def of_whole(halves: np.ndarray) -> np.ndarray:
    """Return what a perfect prediction reaches against all cells, from the agreement of halves; 0 where that is not."""
    agreement = np.maximum(halves, 0.0)
    return np.sqrt(2 * agreement / (1 + agreement))


def halves(
    perturbed: sparse.csr_array, control: sparse.csr_array, n_splits: int, rng: np.random.Generator
) -> np.ndarray:
    """Return the effects that two random halves of the cells show, from values of cells: 2 x splits x genes."""
    after, before = (means_of_parts(values, values.shape[0] // 2, 2, n_splits, rng) for values in (perturbed, control))
    return after - before


def agreement(effects: np.ndarray) -> float:
    """Return the mean over splits of the correlation of halves, 2 x splits x genes."""
    return float(np.mean([correlation(*pair) for pair in zip(*effects, strict=True)]))
