"""What perturbed cells show: the effect, its size, the genes that change, how well halves of the cells agree."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from .._compat import Matrix
from .._core.verb import verb
from .._rng import RNG, generator
from ._agreement import correlation
from ._profiles import SCALE, Columns, bray_curtis, columns_mask, log_profiles

# A test takes dense values of so many genes at a time.
_BLOCK = 500
# Two effects count as collinear where their products span less than this part of the largest one.
_COLLINEAR = 1e-9


@verb
def effect(perturbed: Matrix, control: Matrix, *, without: Columns = (), logged: bool = False) -> np.ndarray:
    """Change of the mean of log1p(1e4 * profile), gene by gene, perturbed minus unperturbed cells.

    Parameters
    ----------
    %(sides)s

    Returns
    -------
    float64, shape (genes,); NaN at the genes that were taken out.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> control = rng.poisson([10, 5, 20, 8, 8], size=(200, 5))  # counts, cells x genes
    >>> perturbed = rng.poisson([0, 10, 20, 8, 8], size=(200, 5))  # the first gene is lost, the second rises
    >>> dko.metrics.effect(perturbed, control, without=[0])[:3].round(1)
    array([ nan,  0.6, -0.1])
    """
    after, before, kept = _sides(perturbed, control, without, logged)
    return np.where(kept, _mean(after) - _mean(before), np.nan)


@verb
def effect_size(
    perturbed: Matrix,
    control: Matrix,
    *,
    without: Columns = (),
    logged: bool = False,
    n_cells: int | None = None,
    n_splits: int = 20,
    rng: RNG = 0,
) -> float:
    """Bray-Curtis dissimilarity of the mean profiles of perturbed and unperturbed cells, minus that of chance.

    Chance is the dissimilarity of some unperturbed cells from the same others, mean over random choices. The size is
    smaller with fewer cells: to compare knockouts, take the same `n_cells` for all of them.

    Parameters
    ----------
    %(sides)s
    n_cells
        Cells on every side; by default, and at most, all perturbed or half of the unperturbed ones.
    %(splits)s
    %(rng)s

    Returns
    -------
    At most 1; about 0, and possibly negative, where nothing has changed.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> control = rng.poisson([10, 5, 20, 8, 8], size=(200, 5))  # counts, cells x genes
    >>> perturbed = rng.poisson([0, 10, 20, 8, 8], size=(200, 5))  # the first gene is lost, the second rises
    >>> round(dko.metrics.effect_size(perturbed, control, without=[0]), 1)
    0.1
    """
    after, before, _ = _sides(perturbed, control, without, logged)
    most, stream = min(after.shape[0], before.shape[0] // 2), generator(rng)
    size = min(most, n_cells or most)
    changed = drawn_parts(after.shape[0], size, 1, n_splits, stream).means(shares(after))
    return size_of_parts(changed, drawn_parts(before.shape[0], size, 2, n_splits, stream).means(shares(before)))


@verb
def changed_genes(
    perturbed: Matrix, control: Matrix, *, without: Columns = (), logged: bool = False, rate: float = 0.05
) -> np.ndarray:
    """Find the genes whose expression differs between perturbed and unperturbed cells.

    Mann-Whitney test of log1p(1e4 * profile), normal approximation with ties; FDR by Benjamini and Hochberg. Sides of
    very different size make false discoveries among genes that few cells express: take a part of the larger side.

    Parameters
    ----------
    %(sides)s
    rate
        False discovery rate.

    Returns
    -------
    Mask of genes, bool, shape (genes,); False for those that were taken out.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> control = rng.poisson([10, 5, 20, 8, 8], size=(200, 5))  # counts, cells x genes
    >>> perturbed = rng.poisson([0, 10, 20, 8, 8], size=(200, 5))  # the first gene is lost, the second rises
    >>> dko.metrics.changed_genes(perturbed, control, without=[0])[:2]
    array([False,  True])
    """
    from scipy.stats import false_discovery_control, mannwhitneyu

    after, before, kept = _sides(perturbed, control, without, logged)
    tested = np.flatnonzero(kept & (np.diff(sparse.vstack([after, before], format="csc").indptr) > 0))
    changed = np.zeros(len(kept), dtype=bool)
    if len(tested):
        blocks = np.split(tested, range(_BLOCK, len(tested), _BLOCK))
        tests = [mannwhitneyu(after[:, b].toarray(), before[:, b].toarray(), method="asymptotic") for b in blocks]
        # A gene that is the same in all cells has no p-value.
        p_values = np.nan_to_num(np.concatenate([test.pvalue for test in tests]), nan=1.0)
        changed[tested] = false_discovery_control(p_values) <= rate
    return changed


@verb
def ceiling(
    perturbed: Matrix,
    control: Matrix,
    *,
    without: Columns = (),
    logged: bool = False,
    n_splits: int = 20,
    rng: RNG = 0,
) -> float:
    """Split-half reliability: Pearson correlation of the effects that two halves of the cells show, mean over splits.

    Both sides are halved, so that the two effects share no cell. With the effect of all cells, a perfect prediction has
    a higher correlation than this r: sqrt(2 r / (1 + r)), by Spearman and Brown.

    Parameters
    ----------
    %(sides)s
    %(splits)s
    %(rng)s

    Returns
    -------
    -1 to 1; about 0 where nothing but noise was measured.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> control = rng.poisson([10, 5, 20, 8, 8], size=(200, 5))  # counts, cells x genes
    >>> perturbed = rng.poisson([0, 10, 20, 8, 8], size=(200, 5))  # the first gene is lost, the second rises
    >>> dko.metrics.ceiling(perturbed, control, without=[0]) > 0.9
    True
    """
    after, before, kept = _sides(perturbed, control, without, logged)
    stream = generator(rng)
    halves = [drawn_halves(one.shape[0], n_splits, stream).means(one) for one in (after, before)]
    return agreement((halves[0] - halves[1])[..., kept])


@verb
def pair_interaction(both: ArrayLike, *, first: ArrayLike, second: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Compare the effect of two perturbations together with the effects of each alone (Norman et al. 2019, Science).

    Parameters
    ----------
    both, first, second
        Effects, shape ``(..., n_genes)``, without the perturbed genes.

    Returns
    -------
    size
        Length of ``both - first - second`` over ``sqrt(|first|^2 + |second|^2)``, shape ``(...)``: 0 where effects add
        up, NaN where neither perturbation does anything.
    coefficients
        Least-squares fit ``both = c1 first + c2 second``, shape ``(..., 2)``: (1, 1) where effects add up, (1, 0) where
        both do what the first does; the shortest pair where the two point in the same direction; NaN as above.

    Examples
    --------
    >>> first, second = np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0])
    >>> size, coefficients = dko.metrics.pair_interaction(first, first=first, second=second)
    >>> coefficients.round(2)  # both together do what the first does
    array([1., 0.])
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


class Parts(NamedTuple):
    """Disjoint random parts of cells, of `size` cells each, again for every split; one byte per cell and split."""

    part_of: np.ndarray  # number of the part, splits x cells; -1 for none
    size: int
    n_parts: int

    def means(self, values: sparse.csr_array, cells: slice = slice(None)) -> np.ndarray:
        """Return the means of the parts, parts x splits x genes; of some of the `cells`, what they add to these."""
        part_of = self.part_of[:, cells]
        weights = np.concatenate([part_of == number for number in range(self.n_parts)]) / self.size
        return np.asarray(weights @ values).reshape(self.n_parts, len(part_of), values.shape[1])

    def among(self, cells: np.ndarray) -> Parts:
        """Return the same parts where these cells are those of a mask among others, which are in none."""
        part_of = np.full((len(self.part_of), len(cells)), -1, dtype=np.int8)
        part_of[:, cells] = self.part_of
        return self._replace(part_of=part_of)


def drawn_parts(n_cells: int, size: int, n_parts: int, n_splits: int, rng: np.random.Generator) -> Parts:
    """Draw disjoint parts of `size` cells, again for every split."""
    part_of = np.full((n_splits, n_cells), -1, dtype=np.int8)
    for parts in part_of:
        order = rng.permutation(n_cells)
        for number in range(n_parts):
            parts[order[number * size : (number + 1) * size]] = number
    return Parts(part_of, size, n_parts)


def drawn_halves(n_cells: int, n_splits: int, rng: np.random.Generator) -> Parts:
    """Draw two halves of the cells, again for every split."""
    return drawn_parts(n_cells, n_cells // 2, 2, n_splits, rng)


def size_of_parts(changed: np.ndarray, control: np.ndarray) -> float:
    """Return the size of an effect from mean profiles of one part of perturbed and two of unperturbed cells."""
    same, other = control
    return float(np.mean(bray_curtis(changed[0], same) - bray_curtis(other, same)))


def agreement(effects: np.ndarray) -> float:
    """Return the mean over splits of the correlation of halves, 2 x splits x genes."""
    return float(np.mean([correlation(*pair) for pair in zip(*effects, strict=True)]))


def of_whole(halves: np.ndarray) -> np.ndarray:
    """Return what a perfect prediction reaches against all cells, from the agreement of halves; at least 0."""
    agreement = np.maximum(halves, 0.0)
    return np.sqrt(2 * agreement / (1 + agreement))


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


def _sides(
    perturbed: Matrix, control: Matrix, without: Columns, logged: bool
) -> tuple[sparse.csr_array, sparse.csr_array, np.ndarray]:
    """Return log values of both sides, and which genes are left."""
    if not perturbed.shape[0] or not control.shape[0] or perturbed.shape[1] != control.shape[1]:
        raise ValueError(f"Both sides need cells, of the same genes; got {perturbed.shape} and {control.shape}.")
    values = [sparse.csr_array(one) if logged else log_profiles(one, without=without) for one in (perturbed, control)]
    return values[0], values[1], ~columns_mask(without, control.shape[1])


def _mean(values: sparse.csr_array) -> np.ndarray:
    return np.asarray(values.mean(axis=0)).ravel()
