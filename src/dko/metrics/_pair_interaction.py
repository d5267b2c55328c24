"""What two perturbations do together that they do not do alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._core.verb import verb

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

# Directions in which the two effects are longer than this part of the longest (as squares) can be told apart.
_COLLINEAR = 1e-9


@verb
def pair_interaction(both: ArrayLike, *, first: ArrayLike, second: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Compare the effect of two perturbations together with the effects of each alone.

    Parameters
    ----------
    both, first, second
        Effects, shape ``(..., n_genes)``, without the perturbed genes.

    Returns
    -------
    size
        Length of ``both - first - second``, relative to ``sqrt(|first|^2 + |second|^2)``, shape ``(...)``, float64: 0
        where effects add up, NaN where neither perturbation does anything.
    coefficients
        Those of the least-squares fit ``both = c1 first + c2 second`` (Norman et al. 2019, Science), shape
        ``(..., 2)``: (1, 1) where effects add up, (1, 0) where both do what the first does alone. The shortest such
        pair where the two effects point in the same direction; NaN as above.

    Raises
    ------
    ValueError
        The shapes differ.
    """
    together, one, other = (np.asarray(effect, dtype=float) for effect in (both, first, second))
    if not together.shape == one.shape == other.shape or together.ndim == 0:
        shapes = f"{together.shape}, {one.shape} and {other.shape}"
        raise ValueError(f"The three effects must have one shape (..., n_genes), got {shapes}.")
    alone = np.stack([one, other], axis=-2)
    products = alone @ np.swapaxes(alone, -1, -2)
    alone_size = np.sqrt(np.trace(products, axis1=-2, axis2=-1))
    solved = np.linalg.pinv(products, rcond=_COLLINEAR, hermitian=True) @ (alone @ together[..., None])
    nothing = alone_size == 0
    length = np.linalg.norm(together - one - other, axis=-1)
    size = np.divide(length, alone_size, out=np.full(alone_size.shape, np.nan), where=~nothing)
    return size, np.where(nothing[..., None], np.nan, solved[..., 0])
